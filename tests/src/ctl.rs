//! What a `companionctl` command printed, and what a test expects of it.

use std::process::{ExitStatus, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::World;

impl World {
    /// `companionctl sign-in`, once it waits for its browser; gone when it is dropped.
    ///
    /// # Errors
    /// When it ends instead.
    pub async fn waiting_sign_in(&self) -> Result<Child> {
        let mut program =
            self.companion.command(&["--json", "sign-in", "--no-browser"])?.spawn()?;
        let mut output = BufReader::new(program.stdout.take().context("no standard output")?);
        let mut line = String::new();
        output.read_line(&mut line).await?;
        ensure!(line.contains(r#""event":"authorize""#), "{line}");
        program.stdout = Some(output.into_inner());
        Ok(program)
    }

    /// `companionctl --json` with these arguments, its lines read as they come; gone when it is
    /// dropped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn watched(&self, arguments: &[&str]) -> Result<Watched> {
        let mut program = self.companion.command(&[&["--json"], arguments].concat())?.spawn()?;
        let output = program.stdout.take().context("no standard output")?;
        Ok(Watched { program, lines: BufReader::new(output).lines() })
    }
}

/// A command that takes time.
#[derive(Debug)]
pub struct Watched {
    program: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watched {
    /// The next object it prints; `None` when it has ended.
    ///
    /// # Errors
    /// When a line is no object.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        let line = self.lines.next_line().await?;
        line.map(|line| serde_json::from_str(&line).with_context(|| line)).transpose()
    }

    /// Its objects up to the first one that is as wanted.
    ///
    /// # Errors
    /// When it ends before.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let mut seen = Vec::new();
        while let Some(line) = self.next().await? {
            let is_last = wanted(&line);
            seen.push(line);
            if is_last {
                return Ok(seen);
            }
        }
        anyhow::bail!("it ended: {seen:?}")
    }

    /// Ends it as Ctrl-C does.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn interrupt(mut self) -> Result<ExitStatus> {
        let pid = i32::try_from(self.program.id().context("it has ended")?)?;
        let pid = rustix::process::Pid::from_raw(pid).context("no pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        Ok(self.program.wait().await?)
    }
}

/// What a finished command left.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Fails the test unless the command succeeded.
    ///
    /// # Panics
    /// When it did not.
    pub fn expect_success(&self) {
        assert!(self.status.success(), "{self:?}");
    }
}

/// The JSON lines of a finished command.
#[derive(Debug)]
pub struct Events {
    /// How it ended.
    pub status: ExitStatus,
    /// One object a line.
    pub lines: Vec<Value>,
    /// Its standard error.
    pub stderr: String,
}

impl From<devstack::companion::Events> for Events {
    fn from(events: devstack::companion::Events) -> Self {
        Self { status: events.status, lines: events.lines, stderr: events.stderr }
    }
}

impl Events {
    /// The lines of one event name.
    #[must_use]
    pub fn named(&self, event: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["event"] == event).collect()
    }

    /// Fails the test unless the command succeeded.
    ///
    /// # Panics
    /// When it did not.
    pub fn expect_success(&self) {
        assert!(self.status.success(), "{self:?}");
    }

    /// Fails the test unless the command was refused with this one reason and exit code 1.
    ///
    /// # Panics
    /// When it was not.
    pub fn expect_refusal(&self, reason: &str) {
        assert_eq!(self.status.code(), Some(1), "{self:?}");
        let said: Vec<_> = self.lines.iter().filter_map(reason_of).collect();
        assert_eq!(said, [reason], "{self:?}");
    }

    /// Fails the test unless the command was refused, for whatever reason.
    ///
    /// # Panics
    /// When it was not.
    pub fn expect_any_refusal(&self) {
        assert_eq!(self.status.code(), Some(1), "{self:?}");
        assert_eq!(self.lines.iter().filter_map(reason_of).count(), 1, "{self:?}");
    }
}

/// The reason in `{"event":"failed","reason":…}` or `{"error":{"reason":…}}`.
fn reason_of(line: &Value) -> Option<&str> {
    match line["event"].as_str() {
        Some("failed") => line["reason"].as_str(),
        _ => line["error"]["reason"].as_str(),
    }
}
