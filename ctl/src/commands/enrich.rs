//! `companionctl enrich FILE|DIR`: summary and tags of notes, with provenance.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueHint};
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use runtime_api::v1::{GetStatusRequest, Lifecycle};
use serde::Serialize;
use serde_json::json;

use crate::context::{Context, Process, limits as call_limits};
use crate::endpoint::{Access, Http, Request, text_until};
use crate::enrich::{
    Model, Note, Provenance, enrich_text, find_notes, limits, room, sidecar_holds, write_beside,
};
use crate::output::{Output, event};
use crate::refusal::{Failure, Refusal};
use crate::terminal::{Paint, draws_progress, plain};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  companionctl enrich notes/
  companionctl enrich --write notes/ diary.md
  companionctl enrich --write --again notes/
  companionctl enrich --json notes/ | jq -r '.summary'

Of a directory every Markdown file is taken; hidden entries and symbolic links are not. Notes
stay on this computer, and are only read: --write puts `NAME.md.companion.json` beside each, as
soon as it is made. A note that has one of the same content, model and companionctl is passed over,
so that a run that was interrupted goes on where it stopped; --again makes all of them anew.
`grounding` says which share of a summary's words stands in its note.")]
pub(crate) struct EnrichArgs {
    /// Notes, or directories of notes
    #[arg(required = true, value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// Write each result beside its note
    #[arg(long)]
    write: bool,
    /// Make results anew that are there already
    #[arg(long, requires = "write")]
    again: bool,
}

/// What became of a note.
enum Done {
    Made(Enriched),
    /// Its sidecar is of this content, this model and this program.
    Unchanged,
}

/// What is made of one note: the fields of `--json` and of the sidecar.
#[derive(Debug, Clone, Serialize)]
struct Enriched {
    path: String,
    summary: String,
    tags: Vec<String>,
    grounding: f64,
    truncated: bool,
    #[serde(flatten)]
    provenance: Provenance,
}

pub(crate) async fn run(
    args: &EnrichArgs,
    context: &Context,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let found = find_notes(&args.paths)?;
    let http = Http::new(Access::ask_available(context).await?);
    let work = Work {
        context,
        http,
        room: room(context_of_one_sequence(context)),
        write: args.write,
        again: args.again,
    };
    let admitted = context.settings().frontdoor.max_in_flight as usize;
    let bar = progress(found.notes.len());
    let (mut failures, mut unchanged) = (0_usize, 0_usize);
    for dir in &found.unreadable {
        failures += 1;
        report(out, &bar, dir, &Err(Refusal::new("note_unreadable")))?;
    }
    let results = futures_util::stream::iter(&found.notes)
        .map(|path| {
            let work = &work;
            async move { (path, work.enrich(path).await) }
        })
        .buffered(admitted.clamp(1, limits::CONCURRENT));
    let mut results = std::pin::pin!(results);
    while let Some((path, result)) = results.next().await {
        failures += usize::from(result.is_err());
        unchanged += usize::from(matches!(result, Ok(Done::Unchanged)));
        report(out, &bar, path, &result)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    if unchanged > 0 {
        out.remark(&format!("{unchanged} unchanged since they were enriched; --again takes all."));
    }
    if failures == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let total = found.notes.len() + found.unreadable.len();
    let counted = format!("{failures} of {total}");
    out.complain(&Refusal::new("some_notes_failed").with_detail(&counted).message());
    Ok(ExitCode::FAILURE)
}

/// Tokens that one of the runtime's parallel sequences has.
fn context_of_one_sequence(context: &Context) -> u32 {
    let runtime = &context.settings().runtime;
    runtime.context_length / runtime.parallel.max(1)
}

struct Work<'a> {
    context: &'a Context,
    http: Http,
    room: usize,
    write: bool,
    again: bool,
}

impl Work<'_> {
    async fn enrich(&self, path: &Path) -> Result<Done, Refusal> {
        let note = Note::read(path)?;
        let model = self.running().await?;
        let provenance = Provenance::new(&model.0, note.digest(), SystemTime::now())?;
        if self.write && !self.again && sidecar_holds(path, &provenance) {
            return Ok(Done::Unchanged);
        }
        let asked = Asked { http: &self.http, model: &model.0 };
        let made = enrich_text(&asked, note.text(), self.room).await?;
        // Provenance must name the model that answered.
        if self.running().await? != model {
            return Err(Refusal::new("model_changed"));
        }
        let enriched = Enriched {
            path: path.display().to_string(),
            summary: made.summary,
            tags: made.tags,
            grounding: made.grounding,
            truncated: made.truncated,
            provenance,
        };
        if self.write {
            write_beside(path, &enriched)?;
        }
        Ok(Done::Made(enriched))
    }

    /// Catalog id of the model that answers, and in which start of it: of one that rests, in its
    /// next one.
    async fn running(&self) -> Result<(String, u64), Refusal> {
        let mut supervisor = self.context.supervisor();
        let call = supervisor.get_status(GetStatusRequest {});
        let facts = self.context.ask(Process::Supervisor, call_limits::FACTS, call).await?;
        if facts.model_id.is_empty() {
            return Err(Refusal::new("not_ready"));
        }
        let rests = facts.asleep && facts.lifecycle() != Lifecycle::Starting;
        Ok((facts.model_id, facts.generation + u64::from(rests)))
    }
}

/// The running model behind the endpoint.
struct Asked<'a> {
    http: &'a Http,
    model: &'a str,
}

impl Model for Asked<'_> {
    async fn ask(
        &self,
        mut request: Request,
        is_enough: impl Fn(&str) -> bool,
    ) -> Result<String, Refusal> {
        self.model.clone_into(&mut request.model);
        let mut attempt = 0;
        loop {
            match text_until(self.http, &request, &is_enough).await {
                Err(refusal) if is_busy(&refusal) && attempt < limits::BUSY_RETRIES => {
                    attempt += 1;
                    tokio::time::sleep(pause(&refusal)).await;
                }
                outcome => return outcome,
            }
        }
    }
}

fn is_busy(refusal: &Refusal) -> bool {
    matches!(refusal.reason(), "at_capacity" | "queue_full" | "queue_timeout" | "rate_limited")
}

/// Between two looks of the progress on a terminal.
const SPIN: Duration = Duration::from_millis(200);

fn pause(refusal: &Refusal) -> Duration {
    refusal
        .retry_after()
        .unwrap_or(Duration::from_secs(1))
        .clamp(Duration::from_millis(100), Duration::from_secs(60))
}

/// Moves while the model works: a note alone takes a while too.
fn progress(notes: usize) -> ProgressBar {
    if notes == 0 || !draws_progress() {
        return ProgressBar::hidden();
    }
    let template = match notes {
        1 => "{spinner} the model reads the note, {elapsed}",
        _ => "{spinner} {bar:30} {pos}/{len} notes, {eta} left",
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(notes as u64).with_style(style);
    bar.enable_steady_tick(SPIN);
    bar
}

fn report(
    out: &Output,
    bar: &ProgressBar,
    path: &Path,
    result: &Result<Done, Refusal>,
) -> Result<(), Failure> {
    bar.suspend(|| match result {
        Ok(Done::Unchanged) => {
            out.event("unchanged", json!({ "path": path.display().to_string() }))
        }
        Ok(Done::Made(enriched)) if out.is_json() => {
            let fields = serde_json::to_value(enriched).map_err(|_| Refusal::new("internal"))?;
            out.object(&event("note", fields))
        }
        Ok(Done::Made(enriched)) => out.line(&for_people(enriched, out)),
        Err(refusal) => {
            out.event(
                "failed",
                json!({
                    "path": path.display().to_string(),
                    "reason": refusal.reason(),
                    "message": refusal.message(),
                }),
            )?;
            let text = format!("{}: {}", plain(&path.display().to_string()), refusal.message());
            out.complain(&text);
            Ok(())
        }
    })
}

fn for_people(enriched: &Enriched, out: &Output) -> String {
    let style = out.style();
    let provenance = &enriched.provenance;
    let cut = if enriched.truncated { ", of parts of it" } else { "" };
    let from = format!(
        "{} {} with {}, {}{cut}; {:.0} % of its words stand in the note",
        provenance.generated_by,
        provenance.version,
        plain(&provenance.model),
        provenance.date,
        enriched.grounding * 100.0,
    );
    format!(
        "{}\n  {}\n  {}\n  {}\n",
        style.paint(Paint::Strong, &plain(&enriched.path)),
        enriched.summary,
        style.paint(Paint::Careful, &enriched.tags.join(", ")),
        style.paint(Paint::Quiet, &from),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enriched() -> Enriched {
        Enriched {
            path: "notes/a.md".to_owned(),
            summary: "A short summary.".to_owned(),
            tags: vec!["one".to_owned()],
            grounding: 0.9,
            truncated: false,
            provenance: Provenance::new("m", &[0; 32], SystemTime::UNIX_EPOCH).expect("value"),
        }
    }

    #[test]
    fn a_note_has_stable_field_names_and_its_provenance() {
        let value = serde_json::to_value(enriched()).expect("value");
        for field in [
            "path",
            "summary",
            "tags",
            "generated_by",
            "model",
            "version",
            "date",
            "source_event_id",
        ] {
            assert!(!value[field].is_null(), "{field}");
        }
        assert_eq!(value["date"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn people_see_summary_tags_and_who_made_them() {
        let text = for_people(&enriched(), &Output::new(false));
        for part in ["notes/a.md", "A short summary.", "one", "companion", "with m", "90 %"] {
            assert!(text.contains(part), "{part}");
        }
    }

    #[test]
    fn a_busy_endpoint_is_asked_again_after_the_time_it_names() {
        let busy = Refusal::new("queue_full").with_retry_after(Some(Duration::from_secs(2)));
        assert!(is_busy(&busy) && !is_busy(&Refusal::new("invalid_token")));
        assert_eq!(pause(&busy), Duration::from_secs(2));
        assert_eq!(pause(&Refusal::new("queue_full")), Duration::from_secs(1));
        let endless = Refusal::new("queue_full").with_retry_after(Some(Duration::MAX));
        assert_eq!(pause(&endless), Duration::from_secs(60));
    }
}
