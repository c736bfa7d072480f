//! A real companion on a development stack: the programs under test, started and driven as a
//! person would, in directories of their own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

use crate::stack::Stack;
use crate::{browser, ending, programs};

/// Longest a start may take before the test fails.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Longest a stop may take: the default drain time, what the launcher adds, and some air.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Search path of the programs under test; nothing else of the caller's environment reaches them.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How to start a companion.
#[derive(Debug, Default)]
pub struct CompanionOptions {
    /// Configuration file; `None`: the stack's.
    pub config: Option<PathBuf>,
    /// Address of the session bus; `None`: a machine without one.
    pub dbus_address: Option<String>,
    /// More environment variables.
    pub env: Vec<(OsString, OsString)>,
    /// Directory of the programs; `None`: where this workspace's are built.
    pub programs: Option<PathBuf>,
    /// Directory for its directories; `None`: a new one, removed when dropped.
    pub dir: Option<PathBuf>,
    /// Where its models and runtimes are; `None`: a directory of its own.
    pub data_dir: Option<PathBuf>,
}

/// A running companion. Dropping it kills the launcher, and the kernel its children.
#[derive(Debug)]
pub struct Companion {
    launcher: Child,
    home: Home,
    tls: Arc<ClientConfig>,
}

/// The directories and the selection of one installation; it outlives restarts.
#[derive(Debug)]
struct Home {
    dir: PathBuf,
    config: PathBuf,
    env: Vec<(OsString, OsString)>,
    programs: Option<PathBuf>,
    data: PathBuf,
    _owned: Option<TempDir>,
}

/// What a `--json` command that takes time printed, and how it ended.
#[derive(Debug)]
pub struct Events {
    /// How it ended.
    pub status: ExitStatus,
    /// One object a line.
    pub lines: Vec<Value>,
    /// Its standard error.
    pub stderr: String,
}

impl Companion {
    /// Starts `companion up` and returns when it says that it is ready (`READY=1` on
    /// `NOTIFY_SOCKET`, see sd_notify(3)).
    ///
    /// # Errors
    /// When a program is not built, or the companion ends or does not get ready in time; the
    /// message holds its last lines.
    pub async fn up(stack: &Stack, options: CompanionOptions) -> Result<Self> {
        let home = Home::new(stack, options)?;
        let tls = stack.client_config()?;
        let launcher = home.start().await?;
        Ok(Self { launcher, home, tls })
    }

    /// Stops it and starts it again on the same directories.
    ///
    /// # Errors
    /// When either does not happen in time.
    pub async fn restart(&mut self) -> Result<()> {
        self.terminate().await?;
        self.launcher = self.home.start().await?;
        Ok(())
    }

    /// The launcher's process id.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.launcher.id().context("the companion has ended")
    }

    /// Sends TERM and waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.terminate().await
    }

    /// Waits until it has ended by itself or by somebody else's hand.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let ended = tokio::time::timeout(STOP_LIMIT, self.launcher.wait()).await;
        Ok(ended.with_context(|| format!("the companion does not end:\n{}", self.log_tail()))??)
    }

    /// The directory that holds everything of this installation.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.home.dir
    }

    /// Where its sockets are.
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        self.home.sub("r")
    }

    /// Where its state is.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.home.sub("s")
    }

    /// Where its models and runtimes are.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.home.data.clone()
    }

    /// Everything it has written to standard error, over restarts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.log_file()).unwrap_or_default()
    }

    /// `companionctl` and the flags that select this instance.
    ///
    /// # Errors
    /// When it is not built.
    pub fn companionctl(&self) -> Result<Vec<OsString>> {
        let mut command = vec![programs::find("companionctl")?.into_os_string()];
        command.extend(self.home.selection());
        Ok(command)
    }

    /// A `companionctl` command for this instance, not yet run. Its environment is a search
    /// path alone.
    ///
    /// # Errors
    /// When it is not built.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Command> {
        let mut command = Command::new(programs::find("companionctl")?);
        command
            .args(self.home.selection())
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.home.sub("h"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Runs `companionctl` to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn ctl(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments)?.output().await.context("companionctl")
    }

    /// Runs `companionctl --json` and reads the one object it prints, whatever its exit code.
    ///
    /// # Errors
    /// When its output is no JSON object.
    pub async fn ctl_json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.command(&[&["--json"], arguments].concat())?.output().await?;
        serde_json::from_slice(&output.stdout).with_context(|| format!("not JSON: {output:?}"))
    }

    /// Runs `companionctl --json` and reads an object from each line.
    ///
    /// # Errors
    /// When a line is no JSON object.
    pub async fn ctl_events(&self, arguments: &[&str]) -> Result<Events> {
        self.events(arguments, |_| Ok(())).await
    }

    /// `companionctl status --json`.
    ///
    /// # Errors
    /// When it prints no JSON object.
    pub async fn status(&self) -> Result<Value> {
        self.ctl_json(&["status"]).await
    }

    /// Signs in, playing the browser. The outcome is in the events.
    ///
    /// # Errors
    /// When a line is no JSON object.
    pub async fn sign_in(&self) -> Result<Events> {
        self.events(&["sign-in", "--no-browser"], |line| {
            if line["event"] == "authorize" {
                let url = line["url"].as_str().context("authorize without url")?.to_owned();
                let tls = Arc::clone(&self.tls);
                // A browser that is sent nowhere shows its own error page; the command tells.
                tokio::spawn(async move { browser::follow(&url, &tls).await });
            }
            Ok(())
        })
        .await
    }

    async fn events(
        &self,
        arguments: &[&str],
        mut on_line: impl FnMut(&Value) -> Result<()>,
    ) -> Result<Events> {
        let mut child = self.command(&[&["--json"], arguments].concat())?.spawn()?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut stderr = child.stderr.take().context("no standard error")?;
        let stderr = tokio::spawn(async move {
            let mut text = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut stderr, &mut text).await.map(|_| text)
        });
        let mut lines = Vec::new();
        let mut output = BufReader::new(stdout).lines();
        while let Some(line) = output.next_line().await? {
            let line = serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?;
            on_line(&line)?;
            lines.push(line);
        }
        let status = child.wait().await?;
        let stderr = String::from_utf8_lossy(&stderr.await??).into_owned();
        Ok(Events { status, lines, stderr })
    }

    async fn terminate(&mut self) -> Result<ExitStatus> {
        if let Some(pid) = self.launcher.id() {
            kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
        }
        self.ended().await
    }

    fn log_tail(&self) -> String {
        self.home.log_tail()
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        ending::end(&mut self.launcher);
    }
}

impl Events {
    /// The lines of one event name.
    #[must_use]
    pub fn named(&self, event: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["event"] == event).collect()
    }

    /// The reason of the `failed` line, if there is one.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.named("failed").last().and_then(|line| line["reason"].as_str())
    }

    /// The events when the command succeeded.
    ///
    /// # Errors
    /// When it did not; the message holds everything it said.
    pub fn success(self) -> Result<Self> {
        ensure!(self.status.success(), "{self:?}");
        Ok(self)
    }
}

impl Home {
    fn new(stack: &Stack, options: CompanionOptions) -> Result<Self> {
        // Socket paths are bounded to 107 bytes (unix(7)): the names are short on purpose.
        let owned = match options.dir {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("cmp").tempdir()?),
        };
        let dir = options.dir.or_else(|| owned.as_ref().map(|dir| dir.path().to_owned()));
        let dir = dir.context("no directory")?;
        let mut env = options.env;
        if let Some(address) = options.dbus_address {
            env.push(("DBUS_SESSION_BUS_ADDRESS".into(), address.into()));
        }
        let config = options.config.unwrap_or_else(|| stack.config().to_owned());
        let data = options.data_dir.unwrap_or_else(|| dir.join("d"));
        let home = Self { dir, config, env, programs: options.programs, data, _owned: owned };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home.sub("h"))?;
        Ok(home)
    }

    fn sub(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn program(&self, name: &str) -> Result<PathBuf> {
        self.programs.as_ref().map_or_else(|| programs::find(name), |dir| Ok(dir.join(name)))
    }

    fn log_file(&self) -> PathBuf {
        self.sub("companion.log")
    }

    fn selection(&self) -> Vec<OsString> {
        let flags = [
            ("--config", self.config.clone()),
            ("--runtime-dir", self.sub("r")),
            ("--state-dir", self.sub("s")),
            ("--data-dir", self.data.clone()),
        ];
        flags.into_iter().flat_map(|(flag, path)| [flag.into(), path.into_os_string()]).collect()
    }

    async fn start(&self) -> Result<Child> {
        let notify_path = self.sub("notify");
        let _ = fs::remove_file(&notify_path);
        let notify = UnixDatagram::bind(&notify_path)?;
        let log = fs::File::options().create(true).append(true).open(self.log_file())?;
        let mut launcher = Command::new(self.program("companion")?)
            .arg("up")
            .args(self.selection())
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.sub("h"))
            .env("NOTIFY_SOCKET", &notify_path)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("companion")?;
        tokio::select! {
            ready = tokio::time::timeout(READY_LIMIT, says_ready(&notify)) => match ready {
                Ok(ready) => ready?,
                Err(_) => bail!("the companion does not get ready:\n{}", self.log_tail()),
            },
            ended = launcher.wait() => {
                bail!("the companion ended ({}):\n{}", ended?, self.log_tail());
            }
        }
        Ok(launcher)
    }

    fn log_tail(&self) -> String {
        const LINES: usize = 40;
        let log = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

async fn says_ready(notify: &UnixDatagram) -> Result<()> {
    let mut message = [0; 4096];
    loop {
        let length = notify.recv(&mut message).await?;
        if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
            return Ok(());
        }
    }
}
