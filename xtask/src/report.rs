//! What these commands say: numbered steps for people, one JSON object a line for programs.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use serde_json::{Value, json};

/// Column at which the seconds stand.
const TITLE_WIDTH: usize = 72;

/// Standard output of a command.
#[derive(Debug)]
pub(crate) struct Report {
    audience: Audience,
    terminal: bool,
    number: u32,
    started: Instant,
}

/// Who reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    People,
    Programs,
    Nobody,
}

/// A step under way.
#[derive(Debug)]
#[must_use]
pub(crate) struct Step {
    title: String,
    started: Instant,
}

impl Report {
    /// Lines for people.
    pub(crate) fn for_people() -> Self {
        Self::to(Audience::People)
    }

    /// Lines for people, or JSON for programs.
    pub(crate) fn new(json: bool) -> Self {
        Self::to(if json { Audience::Programs } else { Audience::People })
    }

    /// Nothing on standard output; long steps are still announced on standard error.
    pub(crate) fn quiet() -> Self {
        Self::to(Audience::Nobody)
    }

    fn to(audience: Audience) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { audience, terminal, number: 0, started: Instant::now() }
    }

    /// Whether programs read.
    pub(crate) fn is_json(&self) -> bool {
        self.audience == Audience::Programs
    }

    /// Begins a step; on a terminal its title is shown at once.
    pub(crate) fn begin(&mut self, title: &str) -> Step {
        self.number += 1;
        if self.terminal {
            self.piece(&format!("{:>3}  {title} …\r", self.number));
        }
        Step { title: title.to_owned(), started: Instant::now() }
    }

    /// Begins a step whose tools talk for themselves, on standard error.
    pub(crate) fn begin_long(&mut self, title: &str, remark: &str) -> Step {
        self.number += 1;
        eprintln!("{:>3}  {title} … ({remark})", self.number);
        Step { title: title.to_owned(), started: Instant::now() }
    }

    /// Ends a step with what came of it.
    pub(crate) fn done(&self, step: Step, detail: &str) {
        let seconds = step.started.elapsed().as_secs_f64();
        self.event(&json!({
            "event": "step", "step": self.number, "title": step.title,
            "detail": detail, "seconds": (seconds * 1000.0).round() / 1000.0,
        }));
        let text = if detail.is_empty() { step.title } else { format!("{}: {detail}", step.title) };
        self.say(&format!("{:>3}  {text:<TITLE_WIDTH$} {seconds:>7.1} s", self.number));
    }

    /// A line for people.
    pub(crate) fn say(&self, line: &str) {
        self.piece(&format!("{line}\n"));
    }

    /// Text for people without a line end.
    pub(crate) fn piece(&self, text: &str) {
        if self.audience == Audience::People {
            write(text);
        }
    }

    /// An object for programs.
    pub(crate) fn event(&self, object: &Value) {
        if self.audience == Audience::Programs {
            write(&format!("{object}\n"));
        }
    }

    /// Seconds since this command began.
    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// A reader that went away must not keep the command from cleaning up.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _unread = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
