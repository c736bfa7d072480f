//! `companionctl ui`, running.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::World;

/// Longest it may take to speak, and to end, before the test fails.
const LIMIT: Duration = Duration::from_secs(30);

/// A running `companionctl ui`. Dropping it kills it.
#[derive(Debug)]
pub struct Ui {
    child: Child,
    url: String,
}

impl Ui {
    /// Starts one for this world's companion; no browser is opened.
    ///
    /// # Errors
    /// When it does not say where it serves.
    pub async fn start(world: &World) -> Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &format!("exec {} --json ui --no-browser", world.companionctl()?)])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", world.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(output).lines();
        let line = tokio::time::timeout(LIMIT, lines.next_line()).await??.context("no line")?;
        let event: Value = serde_json::from_str(&line)?;
        ensure!(event["event"] == "serving", "{event}");
        let url = event["url"].as_str().context("no url")?.to_owned();
        Ok(Self { child, url })
    }

    /// What a person is given to open the page with: once, within a minute.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        self.parts().0
    }

    /// The one-time code in the fragment.
    #[must_use]
    pub fn code(&self) -> &str {
        self.parts().1
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("it has ended")
    }

    fn parts(&self) -> (&str, &str) {
        self.url.trim_start_matches("http://").split_once("/#").unwrap_or_default()
    }

    /// Ends it as a terminal that is closed would, and waits.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn end(mut self) -> Result<()> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.context("it has ended")?, Signal::TERM)?;
        tokio::time::timeout(LIMIT, self.child.wait()).await??;
        Ok(())
    }
}
