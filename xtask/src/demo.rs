//! `cargo xtask demo`: the main job on real input, from nothing to summaries, and its clean end.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::report::Report;
use crate::scratch::Scratch;
use crate::setup;
use crate::signals::Signals;
use crate::stage::{Companion, Servers};
use crate::workspace::{Profile, Programs, Workspace};

/// Longest a download, a start, or the answers of the model may take on a busy machine.
const WORK_LIMIT: Duration = Duration::from_secs(1800);
/// Two computing threads wait for each other at every step: beside other work on two cores they
/// were measured five to twenty times slower than one, and alone they are not twice as fast.
const ONE_THREAD: (&str, &str) = ("COMPANION_RUNTIME_THREADS", "1");
/// What the chat step asks.
const QUESTION: &str =
    "In one or two sentences: why is it good to keep private notes on one's own computer?";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask demo                  run it, stop cleanly
  cargo xtask demo --keep           leave it running until Ctrl-C or TERM
  cargo xtask demo --keep --json    one JSON object a line; the last one tells how to reach it")]
pub(crate) struct DemoArgs {
    /// Leave everything running until Ctrl-C or TERM
    #[arg(long)]
    keep: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs the demo.
///
/// # Errors
/// When a step fails; everything that was started is stopped before.
pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode> {
    let mut report = Report::new(args.json);
    let workspace = Workspace::find()?;
    let assets = setup::everything(&mut report)?;
    let step = report.begin_long("Build the companion", "cargo build");
    let programs = workspace.build(Profile::Dev)?;
    report.done(step, "");

    let signals = Signals::block()?;
    let scratch = Scratch::make()?;
    let step = report.begin("Start the development servers");
    let mut servers = Servers::up(&programs, &assets, &scratch, &signals)?;
    report.done(step, "gateway, model host, session bus with a keyring");
    let step = report.begin("Start the companion");
    let mut companion = Companion::up(&programs, &servers, &scratch, &signals, &[ONE_THREAD])?;
    report.done(step, "broker, supervisor, front door");

    let status = perform(&mut report, &workspace, &programs, &servers, &companion)?;
    what_next(&report, &companion, &status, args.keep);
    if args.keep {
        keep(&report, &mut companion, &mut servers, &status)?;
    }
    stop(&mut report, companion, servers, &signals, &status, args.keep)?;
    Ok(ExitCode::SUCCESS)
}

/// Sign-in to chat. Answers with the last status.
fn perform(
    report: &mut Report,
    workspace: &Workspace,
    programs: &Programs,
    servers: &Servers,
    companion: &Companion<'_>,
) -> Result<Value> {
    first_look(report, companion)?;
    sign_in(report, programs, servers, companion)?;
    let (model, runtime) = read_catalog(report, companion)?;
    pull(report, companion, &runtime)?;
    pull(report, companion, &model)?;
    let status = start(report, companion, &model)?;
    capabilities(report, companion)?;
    enrich(report, workspace, companion)?;
    chat(report, companion)?;
    Ok(status)
}

fn first_look(report: &mut Report, companion: &Companion<'_>) -> Result<()> {
    let step = report.begin("Look before anything is there");
    let status = companion.ask(&["status"])?;
    ensure!(status["available"] == false, "available before anything was started: {status}");
    report.done(step, "available: false");
    report.say(&format!("     missing: {}", words(&status["missing"])));
    Ok(())
}

fn sign_in(
    report: &mut Report,
    programs: &Programs,
    servers: &Servers,
    companion: &Companion<'_>,
) -> Result<()> {
    let step = report.begin("Sign in");
    companion.sign_in(programs, servers)?;
    let session = companion.ask(&["session"])?;
    report.done(step, &format!("OAuth 2.1 with PKCE, session {}", word(&session["session"])));
    Ok(())
}

/// Ids of the first model, and of the first runtime for this machine.
fn read_catalog(report: &mut Report, companion: &Companion<'_>) -> Result<(String, String)> {
    let step = report.begin("Read the signed catalog");
    let catalog = companion.ask(&["models"])?;
    let first = |kind: &str| {
        let entries = catalog["models"].as_array().into_iter().flatten();
        let mut of_kind =
            entries.filter(|entry| entry["kind"] == kind && entry["suits_this_machine"] != false);
        let id = of_kind.next().and_then(|entry| entry["id"].as_str());
        id.map(str::to_owned).with_context(|| format!("no {kind} in the catalog"))
    };
    let (model, runtime) = (first("model")?, first("runtime")?);
    report.done(step, &format!("{model}, {runtime}"));
    Ok((model, runtime))
}

fn pull(report: &mut Report, companion: &Companion<'_>, id: &str) -> Result<()> {
    let step = report.begin(&format!("Pull {id}"));
    let (mut total, mut verified) = (0, false);
    companion.events(&["pull", id], WORK_LIMIT, |event| {
        total = event["total"].as_u64().unwrap_or(total);
        verified |= event["event"] == "verified" && event["id"] == id;
        Ok(())
    })?;
    ensure!(verified, "{id} was not verified");
    report.done(step, &format!("{:.1} MB, size and digest verified", megabytes(total)));
    Ok(())
}

fn start(report: &mut Report, companion: &Companion<'_>, model: &str) -> Result<Value> {
    let step = report.begin(&format!("Start {model}"));
    companion.events(&["start", model], WORK_LIMIT, |_| Ok(()))?;
    let status = companion.ask(&["status"])?;
    ensure!(status["available"] == true, "not available after the start: {status}");
    report.done(step, &format!("available: true, at {}", word(&status["endpoint"])));
    report.event(&json!({ "event": "status", "status": status }));
    Ok(status)
}

/// The matrix as a person sees it; under `--json`, as one event.
fn capabilities(report: &mut Report, companion: &Companion<'_>) -> Result<()> {
    let step = report.begin_long("Try the confinement", "each process makes its own attempts");
    let matrix = companion.ask(&["capabilities"])?;
    ensure!(matrix["as_expected"] == true, "the confinement is not as expected: {matrix}");
    if report.is_json() {
        report.event(&json!({ "event": "capabilities", "capabilities": matrix }));
    } else {
        report.say("");
        for line in companion.shown(&["capabilities"])? {
            report.say(&format!("     {line}"));
        }
        report.say("");
    }
    report.done(step, "as expected");
    Ok(())
}

fn enrich(report: &mut Report, workspace: &Workspace, companion: &Companion<'_>) -> Result<()> {
    let step = report.begin_long("Enrich docs/demo", "summaries and tags");
    let notes_dir = workspace.root.join("docs/demo");
    let notes_dir = notes_dir.to_str().context("the checkout has a name that is no text")?;
    let mut notes = 0;
    companion.events(&["enrich", notes_dir], WORK_LIMIT, |object| {
        if let Some(summary) = object["summary"].as_str() {
            ensure!(!summary.trim().is_empty(), "an empty summary: {object}");
            show_note(report, object);
            notes += 1;
        }
        Ok(())
    })?;
    ensure!(notes >= 3, "only {notes} notes were summarised");
    report.say("");
    report.done(step, &format!("{notes} notes, on this computer"));
    Ok(())
}

fn show_note(report: &Report, note: &Value) {
    let path = word(&note["path"]);
    let name = path.rsplit('/').next().unwrap_or(path);
    report.say(&format!("\n     {name}"));
    for line in wrapped(word(&note["summary"]), 76) {
        report.say(&format!("       {line}"));
    }
    report.say(&format!("       tags: {}", words(&note["tags"])));
    report.say(&format!(
        "       made by {} {} with {}, {}, from {}",
        word(&note["generated_by"]),
        word(&note["version"]),
        word(&note["model"]),
        word(&note["date"]),
        word(&note["source_event_id"]),
    ));
    report.event(&json!({ "event": "note", "note": note }));
}

fn chat(report: &mut Report, companion: &Companion<'_>) -> Result<()> {
    report.say("");
    let step = report.begin("Chat, streamed");
    report.say(&format!("\n     > {QUESTION}"));
    report.piece("     ");
    let mut answer = String::new();
    companion.events(&["chat", "--max-tokens", "80", QUESTION], WORK_LIMIT, |event| {
        if let Some(piece) = event["text"].as_str().filter(|_| event["event"] == "delta") {
            report.piece(&piece.replace('\n', "\n     "));
            answer.push_str(piece);
        }
        Ok(())
    })?;
    report.say("\n");
    ensure!(!answer.trim().is_empty(), "the chat answered nothing");
    report.event(&json!({ "event": "chat", "question": QUESTION, "answer": answer }));
    report.done(step, &format!("{} characters", answer.chars().count()));
    Ok(())
}

fn what_next(report: &Report, companion: &Companion<'_>, status: &Value, keep: bool) {
    let endpoint = word(&status["endpoint"]);
    report.say(&format!("\nThe endpoint: {endpoint}/v1, for OpenAI clients of this user. Next:"));
    if keep {
        report.say(&format!("  alias companionctl='{}'", companion.selection.join(" ")));
    }
    report.say("  companionctl exec -- python notes.py   run an OpenAI client against it");
    report.say("  eval \"$(companionctl env)\"             or set it for this shell");
    if !keep {
        report.say("(`cargo xtask demo --keep` leaves it running, to try these.)");
    }
    report.say("");
}

/// Leaves it running until a person asks to stop.
fn keep(
    report: &Report,
    companion: &mut Companion<'_>,
    servers: &mut Servers,
    status: &Value,
) -> Result<()> {
    report.event(&json!({
        "event": "kept",
        "endpoint": status["endpoint"],
        "companionctl": companion.selection,
        "config": servers.ready["config"],
        "gateway": servers.ready["gateway"],
        "catalog": servers.ready["catalog"],
        "model_host": servers.ready["model_host"],
        "ca_file": servers.ready["ca_file"],
        "pids": status["pids"],
    }));
    report.say("Left running: Ctrl-C, or TERM to this process, stops it.");
    companion.keep(servers)
}

fn stop(
    report: &mut Report,
    companion: Companion<'_>,
    servers: Servers,
    signals: &Signals,
    status: &Value,
    kept: bool,
) -> Result<()> {
    // Processes may have been replaced while it was kept: the newest are asked for.
    let pids =
        companion.ask(&["status"]).map_or_else(|_| status["pids"].clone(), |s| s["pids"].clone());
    let step = report.begin("Stop");
    companion.stop(&pids)?;
    servers.stop(signals)?;
    // The line `kept` stays the last one for programs.
    if !(kept && report.is_json()) {
        report.done(step, "no process and no socket left");
        report.say(&format!("\nDone in {:.1} s.", report.seconds()));
        report.event(&json!({ "event": "done", "seconds": report.seconds() }));
    }
    Ok(())
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}

fn words(values: &Value) -> String {
    values.as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Breaks text at spaces into lines of at most `width` characters, where its words allow.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_spaces_and_a_long_word_stays_whole() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a verylongword b", 5), ["a", "verylongword", "b"]);
        assert_eq!(wrapped("  ", 5), [""; 0]);
    }
}
