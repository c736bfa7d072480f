//! How results leave this program: lines for people, or JSON with stable field names.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use crate::refusal::{Failure, Refusal};
use crate::terminal::{Paint, Style};

/// How a failing command reports itself under `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureShape {
    /// `{"event":"failed","reason":…}`
    Event,
    /// `{"error":{"reason":…,"message":…}}`
    Object,
}

/// Standard output and error of one command.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    style: Style,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, style: Style::of_stdout() }
    }

    /// Whether `--json` was given.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Colours of standard output.
    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// Prints a line for people; nothing under `--json`.
    pub(crate) fn say(&self, line: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { self.line(line) }
    }

    /// Prints a line whatever the form.
    pub(crate) fn line(&self, line: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    }

    /// Prints text without a line end, at once.
    pub(crate) fn piece(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Prints one JSON object on one line; nothing without `--json`.
    pub(crate) fn object(&self, object: &impl Serialize) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let text = serde_json::to_string(object).map_err(|_| Refusal::new("internal"))?;
        self.line(&text)
    }

    /// Prints one event; nothing without `--json`.
    pub(crate) fn event(&self, name: &str, fields: Value) -> Result<(), Failure> {
        self.object(&event(name, fields))
    }

    /// A remark for people beside the result; standard error, nothing under `--json`.
    pub(crate) fn remark(&self, text: &str) {
        if !self.json {
            eprintln!("{}", Style::of_stderr().paint(Paint::Quiet, text));
        }
    }

    /// Prints what went wrong with a part of the work; standard error, nothing under `--json`.
    pub(crate) fn complain(&self, text: &str) {
        if !self.json {
            let name = Style::of_stderr().paint(Paint::Bad, "companionctl:");
            eprintln!("{name} {text}");
        }
    }

    /// Reports why a command failed, and gives its exit code.
    pub(crate) fn failed(&self, failure: &Failure, shape: FailureShape) -> ExitCode {
        let refusal = match failure {
            Failure::Refused(refusal) => refusal,
            // The reader has what it wanted, like `head`.
            Failure::OutputClosed => return ExitCode::SUCCESS,
        };
        if self.json {
            // The exit code still tells when nobody can read this.
            let _unread = self.object(&failure_object(refusal, shape));
        } else {
            self.complain(&refusal.message());
        }
        ExitCode::FAILURE
    }
}

/// An event of contract 11: the fields, and which event it is.
pub(crate) fn event(name: &str, mut fields: Value) -> Value {
    if let Value::Object(map) = &mut fields {
        map.insert("event".to_owned(), Value::String(name.to_owned()));
    }
    fields
}

fn failure_object(refusal: &Refusal, shape: FailureShape) -> Value {
    let (reason, message) = (refusal.reason(), refusal.message());
    match shape {
        FailureShape::Event => event("failed", json!({ "reason": reason, "message": message })),
        FailureShape::Object => json!({ "error": { "reason": reason, "message": message } }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_stable_fields_of_its_shape() {
        let refusal = Refusal::new("not_signed_in");
        let event = failure_object(&refusal, FailureShape::Event);
        assert_eq!(event["event"], "failed");
        assert_eq!(event["reason"], "not_signed_in");
        let object = failure_object(&refusal, FailureShape::Object);
        assert_eq!(object["error"]["reason"], "not_signed_in");
        assert!(object["error"]["message"].as_str().expect("text").contains("(not_signed_in)"));
    }

    #[test]
    fn an_event_keeps_its_fields() {
        let value = event("progress", json!({ "id": "m", "received": 1 }));
        assert_eq!(value, json!({ "event": "progress", "id": "m", "received": 1 }));
    }
}
