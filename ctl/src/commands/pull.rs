//! `companionctl pull ID…`: download and verify, with what is done and what is left.

use std::process::ExitCode;
use std::time::Duration;

use authority_api::v1::{Expected, Progress, PullRequest, work_event};
use clap::Args;
use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};
use crate::terminal::{Paint, draws_progress, plain, size};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  companionctl pull smollm2-135m-instruct
  companionctl pull smollm2-135m-instruct llama-server
  companionctl pull --json smollm2-135m-instruct | jq -c 'select(.event == \"verified\")'

Ctrl-C stops the download; the next pull continues it.")]
pub(crate) struct PullArgs {
    /// Ids of the catalog, as `companionctl models` shows them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

pub(crate) async fn run(
    args: &PullArgs,
    context: &Context,
    out: &Output,
) -> Result<ExitCode, Failure> {
    for id in &args.ids {
        pull(id, context, out).await?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn pull(id: &str, context: &Context, out: &Output) -> Result<(), Failure> {
    let mut broker = context.broker();
    let call = broker.pull(PullRequest { id: id.to_owned() });
    let mut events = context.ask(Process::Broker, limits::NETWORK, call).await?;
    let bar = Bar::new(id, out);
    let mut checks = Checks::new(out);
    while let Some(event) = context.next(Process::Broker, &mut events).await? {
        match event.event {
            Some(work_event::Event::Expected(expected)) => checks.begin(&expected),
            Some(work_event::Event::Progress(progress)) => {
                checks.arriving();
                out.event("progress", as_json(id, &progress))?;
                bar.show(&progress);
            }
            Some(work_event::Event::Verified(_)) => {
                bar.end();
                checks.passed();
                out.event("verified", json!({ "id": id }))?;
                let done = out.style().paint(Paint::Good, "verified");
                out.say(&format!("{} {done}", plain(id)))?;
                return Ok(());
            }
            Some(work_event::Event::Failed(failed)) => {
                bar.end();
                return Err(Refusal::told(&failed.reason).into());
            }
            Some(work_event::Event::Starting(_) | work_event::Event::Ready(_)) | None => {}
        }
    }
    Err(Refusal::new("unexpected_answer").into())
}

/// Progress in the field names of contract 11.
pub(super) fn as_json(id: &str, progress: &Progress) -> Value {
    json!({
        "id": id,
        "received": progress.received_bytes,
        "total": progress.total_bytes,
        "bytes_per_second": progress.bytes_per_second,
        "seconds_left": progress.seconds_left,
        "waiting": progress.waiting,
    })
}

/// Says on a terminal what is checked, as it is.
struct Checks<'a> {
    out: Option<&'a Output>,
    expected: Expected,
    arrived: bool,
}

impl<'a> Checks<'a> {
    fn new(out: &'a Output) -> Self {
        let out = Some(out).filter(|out| !out.is_json() && draws_progress());
        Self { out, expected: Expected::default(), arrived: false }
    }

    fn begin(&mut self, expected: &Expected) {
        self.expected = expected.clone();
        let (id, size, from) = (plain(&expected.id), size(expected.size_bytes), self.from());
        self.say(&format!("{id}: {size} from {from}, as the signed catalog says"));
    }

    /// Bytes come, so the file was not there.
    fn arriving(&mut self) {
        self.arrived = true;
    }

    fn passed(&self) {
        if !self.arrived {
            return self.say("  it is in the store, unchanged since it was verified");
        }
        let size = self.expected.size_bytes;
        self.say(&format!(
            "  source  {}, which the catalog and the configuration allow",
            self.from()
        ));
        self.say(&format!("  size    {size} bytes, as signed"));
        self.say("  digest  SHA-256 of every byte, as signed");
        self.say("  kept    under that digest; a start looks whether it is still that file");
    }

    fn from(&self) -> String {
        match self.expected.hosts.as_slice() {
            [] => "this disk".to_owned(),
            hosts => plain(&hosts.join(" or ")),
        }
    }

    fn say(&self, line: &str) {
        if let Some(out) = self.out {
            out.remark(line);
        }
    }
}

/// The bar on the terminal; hidden elsewhere.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new(id: &str, out: &Output) -> Self {
        if out.is_json() || !draws_progress() {
            return Self { bar: ProgressBar::hidden() };
        }
        let style = ProgressStyle::with_template(
            "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes}{prefix}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::no_length().with_style(style).with_message(plain(id));
        Self { bar }
    }

    fn show(&self, progress: &Progress) {
        self.bar.set_length(progress.total_bytes);
        self.bar.set_position(progress.received_bytes);
        if progress.received_bytes < progress.total_bytes {
            self.bar.set_prefix(pace(progress));
        } else {
            self.bar.set_prefix("");
            self.bar.set_message("verifying");
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// The rate and the time that is left, once they are known, or why there is none.
fn pace(progress: &Progress) -> String {
    if progress.waiting {
        return ", after the download that was asked for first".to_owned();
    }
    let Some(left) = progress.seconds_left else { return String::new() };
    let rate = BinaryBytes(progress.bytes_per_second);
    format!(", {rate}/s, {:#} left", HumanDuration(Duration::from_secs(left)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_the_fields_of_contract_11() {
        let progress = Progress {
            id: "ignored".to_owned(),
            received_bytes: 1,
            total_bytes: 2,
            bytes_per_second: 3,
            seconds_left: Some(1),
            waiting: false,
        };
        assert_eq!(
            as_json("m", &progress),
            json!({ "id": "m", "received": 1, "total": 2, "bytes_per_second": 3,
                "seconds_left": 1, "waiting": false })
        );
    }

    #[test]
    fn the_rate_and_the_time_left_are_those_of_the_download_and_told_once_known() {
        let told = |bytes_per_second, seconds_left| {
            pace(&Progress { bytes_per_second, seconds_left, ..Progress::default() })
        };
        assert_eq!(told(0, None), "");
        assert_eq!(told(3 * 1024 * 1024, Some(75)), ", 3.00 MiB/s, 75s left");
        assert_eq!(told(1024, Some(7200)), ", 1.00 KiB/s, 2h left");
        let waiting = Progress { waiting: true, ..Progress::default() };
        assert_eq!(pace(&waiting), ", after the download that was asked for first");
    }
}
