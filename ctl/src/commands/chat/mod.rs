//! `companionctl chat [PROMPT]`: one answer, or a conversation.

mod conversation;
mod editor;
mod said;
mod speed;
mod talk;

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use clap::Args;
use runtime_api::v1::GetStatusRequest;

use crate::cli::usage;
use crate::context::{Context, Process, limits};
use crate::endpoint::{Access, Http};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};
use conversation::Conversation;

/// Most that is read from standard input, in bytes.
const MAX_INPUT_BYTES: u64 = 8 * 1024 * 1024;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  companionctl chat \"Explain tides in two sentences\"
  companionctl chat --system \"Answer in German\" \"What is a sluice?\"
  cat note.md | companionctl chat \"three bullets\"
  companionctl chat --speed \"Name three rivers\"
  companionctl chat                      a conversation; Ctrl-D ends it

What is piped in is appended to the prompt. In a conversation Ctrl-C stops an answer and keeps what
came of it; a line that ends in a backslash goes on in the next, and text between two lines of
three double quotes may have many. /help lists the commands. What is typed is kept in memory only.")]
pub(crate) struct ChatArgs {
    /// What to ask; without it, on a terminal, a conversation begins
    #[arg(value_name = "PROMPT")]
    prompt: Vec<String>,
    /// Model to name in the request; else the running one
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// Instruction that stands before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// How far answers may wander, 0 to 2
    #[arg(long, value_name = "T", value_parser = temperature)]
    temperature: Option<f64>,
    /// Say after each answer how many tokens a second it took
    #[arg(long)]
    speed: bool,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=2.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 2".to_owned()),
    }
}

pub(crate) async fn run(
    args: &ChatArgs,
    context: &Context,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let on_terminal = std::io::stdin().is_terminal();
    let piped = if on_terminal { String::new() } else { read_input()? };
    let prompt = joined(&args.prompt.join(" "), &piped);
    if prompt.is_empty() && (!on_terminal || out.is_json()) {
        return Ok(usage("chat needs a PROMPT, or text on standard input"));
    }
    let http = Http::new(Access::ask_available(context).await?);
    let mut conversation = Conversation::new(args, running_model(context).await);
    if prompt.is_empty() {
        return talk::talk(&mut conversation, context, out).await;
    }
    let answer = conversation.ask(prompt, &http, out).await?;
    out.event("done", answer.as_json(&conversation))?;
    Ok(ExitCode::SUCCESS)
}

/// Prompt and piped text, a blank line between them.
fn joined(prompt: &str, piped: &str) -> String {
    let parts = [prompt.trim(), piped.trim()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn read_input() -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|_| Refusal::new("input_unreadable"))?;
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        return Err(Refusal::new("input_too_large"));
    }
    String::from_utf8(bytes).map_err(|_| Refusal::new("input_not_text"))
}

/// The running model's id; empty, and so left to the runtime, when it is not known.
async fn running_model(context: &Context) -> String {
    let mut supervisor = context.supervisor();
    let call = supervisor.get_status(GetStatusRequest {});
    let facts = context.ask(Process::Supervisor, limits::FACTS, call).await;
    facts.map(|facts| facts.model_id).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piped_text_is_appended_to_the_prompt() {
        assert_eq!(joined("Summarise:", "a\nb\n"), "Summarise:\n\na\nb");
        assert_eq!(joined("", "piped"), "piped");
        assert_eq!(joined(" ask ", ""), "ask");
        assert_eq!(joined("", "\n"), "");
    }

    #[test]
    fn a_temperature_lies_between_zero_and_two() {
        assert_eq!(temperature("0.7"), Ok(0.7));
        for bad in ["-0.1", "2.1", "NaN", "inf", "warm", ""] {
            assert!(temperature(bad).is_err(), "{bad}");
        }
    }
}
