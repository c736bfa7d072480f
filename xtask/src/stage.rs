//! A whole companion on the development servers, in one temporary directory, and its end.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{Lines, Running, is_alive, supervised};
use crate::scratch::Scratch;
use crate::setup::Assets;
use crate::signals::{Interrupted, Signals, Woke};
use crate::workspace::Programs;

/// Longest the development servers, or the three processes, may take to be up.
const UP_LIMIT: Duration = Duration::from_secs(60);
/// Longest a quick question to `companionctl` may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(90);
/// Longest a stop may take: the drain time, ten seconds (contract 11), and the machine's own.
const STOP_LIMIT: Duration = Duration::from_secs(30 + 10 + 10);
/// Lines of the log that are shown when something fails.
const LOG_TAIL: usize = 25;
/// The development servers: gateway, model host, session bus with a Secret Service.
#[derive(Debug)]
pub(crate) struct Servers {
    running: Running,
    /// What they said when they were up.
    pub(crate) ready: Value,
}

impl Servers {
    /// Starts them and waits until they are up.
    ///
    /// # Errors
    /// When they do not come up.
    pub(crate) fn up(
        programs: &Programs,
        assets: &Assets,
        scratch: &Scratch,
        signals: &Signals,
    ) -> Result<Self> {
        Self::up_with(programs, assets, scratch, signals, &[])
    }

    /// [`Self::up`] with more flags.
    ///
    /// # Errors
    /// When they do not come up.
    pub(crate) fn up_with(
        programs: &Programs,
        assets: &Assets,
        scratch: &Scratch,
        signals: &Signals,
        flags: &[String],
    ) -> Result<Self> {
        let log = scratch.path("devstack.log");
        let mut command = supervised(&programs.path("devstack"));
        command.arg("up").arg("--dir").arg(scratch.directory("servers")?);
        command.arg("--llama-server").arg(&assets.llama_server);
        command.arg("--model").arg(&assets.model).args(["--json", "--session-bus"]);
        command.args(flags);
        // Its input stays open for as long as this process lives: it ends with its input.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut running = Running::start("devstack", &mut command)?;
        let line = running.lines(signals, UP_LIMIT)?.next_line()?;
        let Some(line) = line else {
            bail!("the development servers did not come up\n{}", tail(&log));
        };
        let ready: Value = serde_json::from_str(&line).context("what devstack printed")?;
        ensure!(ready["event"] == "ready", "devstack printed {line}");
        Ok(Self { running, ready })
    }

    /// One of the names in what they said.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn value(&self, name: &str) -> Result<&str> {
        self.ready[name].as_str().with_context(|| format!("devstack did not say its {name}"))
    }

    /// Stops them.
    ///
    /// # Errors
    /// When they do not stop cleanly.
    pub(crate) fn stop(self, signals: &Signals) -> Result<()> {
        self.running.stop(signals, STOP_LIMIT)
    }

    /// Fails once they have ended by themselves.
    ///
    /// # Errors
    /// When they have.
    pub(crate) fn still_run(&mut self) -> Result<()> {
        match self.running.ended()? {
            Some(status) => bail!("the development servers ended ({status})"),
            None => Ok(()),
        }
    }
}

/// A running `companion up`, and how to ask it.
#[derive(Debug)]
pub(crate) struct Companion<'a> {
    running: Running,
    signals: &'a Signals,
    log: PathBuf,
    runtime_dir: PathBuf,
    /// `companionctl` and the flags that select this instance.
    pub(crate) selection: Vec<String>,
}

impl<'a> Companion<'a> {
    /// Starts it on the configuration that the servers wrote, with `settings` over it
    /// (`COMPANION_<SECTION>_<KEY>`), and waits until it says it is up.
    ///
    /// # Errors
    /// When it does not come up; with the end of its log.
    pub(crate) fn up(
        programs: &Programs,
        servers: &Servers,
        scratch: &Scratch,
        signals: &'a Signals,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let log = scratch.path("companion.log");
        let runtime_dir = scratch.path("run");
        let mut flags = vec!["--config".to_owned(), servers.value("config")?.to_owned()];
        for (flag, name) in
            [("--runtime-dir", "run"), ("--state-dir", "state"), ("--data-dir", "data")]
        {
            flags.push(flag.to_owned());
            flags.push(text(&scratch.path(name))?);
        }
        let told = scratch.path("notify.sock");
        let notify = UnixDatagram::bind(&told).context("the notification socket")?;
        let mut command = supervised(&programs.path("companion"));
        command
            .arg("up")
            .args(&flags)
            // Nothing of this shell's configuration applies.
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", scratch.path("home"))
            .env("DBUS_SESSION_BUS_ADDRESS", servers.value("dbus_address")?)
            .env("NOTIFY_SOCKET", &told)
            .envs(settings.iter().copied())
            .stdout(File::create(scratch.path("companion.out"))?)
            .stderr(File::create(&log)?);
        let running = Running::start("companion", &mut command)?;
        let mut selection = vec![text(&programs.path("companionctl"))?];
        selection.extend(flags);
        let mut companion = Self { running, signals, log, runtime_dir, selection };
        companion.wait_until_up(&notify)?;
        Ok(companion)
    }

    /// sd_notify(3): one datagram `READY=1`.
    fn wait_until_up(&mut self, notify: &UnixDatagram) -> Result<()> {
        notify.set_nonblocking(true)?;
        let deadline = Instant::now() + UP_LIMIT;
        loop {
            match self.signals.wait(Some(notify.as_fd()), deadline)? {
                Woke::Asked => return Err(Interrupted.into()),
                Woke::TimeUp => bail!("the companion did not come up\n{}", self.log_tail()),
                Woke::ChildEnded => self.still_runs()?,
                Woke::Readable => {
                    let mut datagram = [0; 256];
                    let length = notify.recv(&mut datagram)?;
                    let told = String::from_utf8_lossy(&datagram[..length]).into_owned();
                    if told.lines().any(|line| line == "READY=1") {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Fails once it has ended by itself.
    ///
    /// # Errors
    /// When it has; with the end of its log.
    pub(crate) fn still_runs(&mut self) -> Result<()> {
        match self.running.ended()? {
            Some(status) => bail!("the companion ended ({status})\n{}", self.log_tail()),
            None => Ok(()),
        }
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Runs `companionctl --json …` and gives each object it prints to `each`.
    ///
    /// # Errors
    /// When it fails (with its reason), when `each` does, or when a person asks to stop.
    pub(crate) fn events(
        &self,
        arguments: &[&str],
        limit: Duration,
        mut each: impl FnMut(&Value) -> Result<()>,
    ) -> Result<()> {
        let mut running = self.ctl(&[&["--json"], arguments].concat())?;
        let mut lines = running.lines(self.signals, limit)?;
        let mut last = Value::Null;
        while let Some(object) = next_object(&mut lines)? {
            each(&object)?;
            last = object;
        }
        let name = format!("companionctl {}", arguments.first().unwrap_or(&""));
        match running.wait(self.signals, QUESTION_LIMIT)? {
            Some(status) if status.success() => Ok(()),
            Some(_) => bail!("{name} was refused: {last}\n{}", self.log_tail()),
            None => Err(Interrupted.into()),
        }
    }

    /// Runs `companionctl` as a person does; what it prints, line by line.
    ///
    /// # Errors
    /// As [`Self::events`].
    pub(crate) fn shown(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let mut running = self.ctl(arguments)?;
        let mut lines = running.lines(self.signals, QUESTION_LIMIT)?;
        let mut shown = Vec::new();
        while let Some(line) = lines.next_line()? {
            shown.push(line);
        }
        match running.wait(self.signals, QUESTION_LIMIT)? {
            Some(status) if status.success() => Ok(shown),
            Some(_) => bail!("companionctl {arguments:?} was refused: {shown:?}"),
            None => Err(Interrupted.into()),
        }
    }

    /// Runs `companionctl --json …` that prints one object.
    ///
    /// # Errors
    /// As [`Self::events`].
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let mut answer = Value::Null;
        self.events(arguments, QUESTION_LIMIT, |object| {
            answer = object.clone();
            Ok(())
        })?;
        Ok(answer)
    }

    /// Signs in, with the browser step followed by itself.
    ///
    /// # Errors
    /// As [`Self::events`], and when the browser step fails.
    pub(crate) fn sign_in(&self, programs: &Programs, servers: &Servers) -> Result<()> {
        let ca_file = servers.value("ca_file")?;
        let mut signed_in = false;
        self.events(&["sign-in", "--no-browser"], QUESTION_LIMIT, |event| {
            match event["event"].as_str() {
                Some("authorize") => {
                    let url = event["url"].as_str().context("no URL to sign in at")?;
                    let mut command = supervised(&programs.path("devstack"));
                    command.args(["follow", "--ca", ca_file, url]).stdout(Stdio::null());
                    let mut browser = Running::start("the browser step", &mut command)?;
                    let status = browser.wait(self.signals, QUESTION_LIMIT)?;
                    ensure!(status.is_some_and(|s| s.success()), "the browser step failed");
                }
                Some("signed_in") => signed_in = true,
                _ => {}
            }
            Ok(())
        })?;
        ensure!(signed_in, "sign-in ended without a session");
        Ok(())
    }

    fn ctl(&self, arguments: &[&str]) -> Result<Running> {
        let (program, flags) = self.selection.split_first().context("no program")?;
        let mut command = supervised(Path::new(program));
        command
            .args(flags)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdout(Stdio::piped());
        Running::start("companionctl", &mut command)
    }

    /// Stops it by TERM, then makes sure that none of `pids` and no socket is left.
    ///
    /// # Errors
    /// When something is.
    pub(crate) fn stop(self, pids: &Value) -> Result<()> {
        let Self { running, signals, log, runtime_dir, .. } = self;
        running.stop(signals, STOP_LIMIT).with_context(|| tail(&log))?;
        let left: Vec<_> = pids
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, pid)| pid.as_u64().is_some_and(is_alive))
            .map(|(role, _)| role.clone())
            .collect();
        ensure!(left.is_empty(), "still running after the stop: {}", left.join(", "));
        let sockets = sockets_in(&runtime_dir)?;
        ensure!(sockets.is_empty(), "left behind: {}", sockets.join(", "));
        Ok(())
    }

    /// Waits until a person asks to stop.
    ///
    /// # Errors
    /// When it, or the servers, end before that.
    pub(crate) fn keep(&mut self, servers: &mut Servers) -> Result<()> {
        loop {
            let hour = Instant::now() + Duration::from_secs(3600);
            if self.signals.wait(None, hour)? == Woke::Asked {
                return Ok(());
            }
            self.still_runs()?;
            servers.still_run()?;
        }
    }
}

fn next_object(lines: &mut Lines<'_>) -> Result<Option<Value>> {
    let Some(line) = lines.next_line()? else { return Ok(None) };
    Ok(Some(serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?))
}

fn sockets_in(dir: &Path) -> Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(Vec::new()) };
    let mut sockets = Vec::new();
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_socket() {
            sockets.push(entry.path().display().to_string());
        } else if kind.is_dir() {
            sockets.extend(sockets_in(&entry.path())?);
        }
    }
    Ok(sockets)
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines.len().saturating_sub(LOG_TAIL);
    format!("--- the end of {} ---\n{}", log.display(), lines[last..].join("\n"))
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is no text", path.display()))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_in_directories_beneath() {
        let scratch = Scratch::make().unwrap();
        let inner = scratch.directory("inner").unwrap();
        fs::write(inner.join("file"), b"").unwrap();
        assert_eq!(sockets_in(&scratch.path("")).unwrap(), [""; 0]);
        let socket = UnixDatagram::bind(inner.join("s")).unwrap();
        assert_eq!(sockets_in(&scratch.path("")).unwrap().len(), 1);
        drop(socket);
    }
}
