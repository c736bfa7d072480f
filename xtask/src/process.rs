//! Programs run by these commands: each in a group of its own, each ending with this one.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getpid, getppid};

use crate::signals::{Interrupted, Signals, Woke};

/// Longest line of output that is read, in bytes.
const LONGEST_LINE: usize = 1 << 20;
/// What a program is given to end after a failure, before it is killed.
const DROP_LIMIT: Duration = Duration::from_secs(15);

/// A command that starts in a group of its own (Ctrl-C of the terminal does not reach it), with
/// no signal blocked, and is sent TERM when this process dies, however it dies.
pub(crate) fn supervised(program: &Path) -> Command {
    // The link and not its target: a build that runs meanwhile may replace the file.
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["child", "--parent", &getpid().to_string(), "--"])
        .arg(program)
        .process_group(0)
        .stdin(Stdio::null());
    command
}

/// The child's half of [`supervised`].
///
/// # Errors
/// When the parent is gone already or the program cannot be started; never returns otherwise.
pub(crate) fn become_program(parent: i32, program: &[OsString]) -> Result<ExitCode> {
    prctl::set_pdeathsig(Signal::SIGTERM).context("parent-death signal")?;
    ensure!(getppid() == Pid::from_raw(parent), "the parent is gone");
    SigSet::empty().thread_set_mask().context("signal mask")?;
    let (name, arguments) = program.split_first().context("no program")?;
    let never: Result<Infallible> = Err(Command::new(name).args(arguments).exec().into());
    never.with_context(|| name.display().to_string()).map(|never| match never {})
}

/// A program under way; ended by TERM, and KILL if need be, when dropped before its end.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Child,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// The lines of its piped standard output, until `deadline`.
    ///
    /// # Errors
    /// When its output was not piped, or was taken before.
    pub(crate) fn lines<'a>(&mut self, signals: &'a Signals, limit: Duration) -> Result<Lines<'a>> {
        let stdout = self.child.stdout.take().context("output not piped")?;
        let deadline = Instant::now() + limit;
        Ok(Lines { name: self.name.clone(), stdout, buffer: Vec::new(), signals, deadline })
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the kernel does not know it.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end; nothing after `limit`, or when a person asks to stop.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn wait(
        &mut self,
        signals: &Signals,
        limit: Duration,
    ) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if matches!(signals.wait(None, deadline)?, Woke::Asked | Woke::TimeUp) {
                return self.ended();
            }
        }
    }

    /// TERM, then KILL after `limit` or when a person asks once more.
    ///
    /// # Errors
    /// When it had to be killed or ended unsuccessfully.
    pub(crate) fn stop(mut self, signals: &Signals, limit: Duration) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} had ended before ({status})", self.name);
        }
        self.terminate().with_context(|| format!("TERM to {}", self.name))?;
        match self.wait(signals, limit)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("{} ended with {status}", self.name),
            None => bail!("{} did not end within {} s", self.name, limit.as_secs()),
        }
    }
}

impl Running {
    fn terminate(&self) -> Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Gone already is as good, in each of these.
        let _ = self.terminate();
        let deadline = Instant::now() + DROP_LIMIT;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines of a program's output as they come.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    name: String,
    stdout: ChildStdout,
    buffer: Vec<u8>,
    signals: &'a Signals,
    deadline: Instant,
}

impl Lines<'_> {
    /// The next line without its end; nothing at the end of the output.
    ///
    /// # Errors
    /// [`Interrupted`] when a person asks to stop; else when the time is up.
    pub(crate) fn next_line(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.drain(..=end).collect::<Vec<_>>();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            ensure!(self.buffer.len() < LONGEST_LINE, "{} prints an endless line", self.name);
            match self.signals.wait(Some(self.stdout.as_fd()), self.deadline)? {
                Woke::Asked => return Err(Interrupted.into()),
                Woke::ChildEnded => {}
                Woke::TimeUp => bail!("{} takes too long", self.name),
                Woke::Readable => {
                    let mut piece = [0; 8192];
                    let read = self.stdout.read(&mut piece)?;
                    if read == 0 {
                        return Ok(None);
                    }
                    self.buffer.extend_from_slice(&piece[..read]);
                }
            }
        }
    }
}

/// Runs a command to its end with its output on our standard error.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn must_succeed(command: &mut Command) -> Result<()> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let status = shown(command)?.status().with_context(|| format!("cannot start: {line}"))?;
    ensure!(status.success(), "failed ({status}): {line}");
    Ok(())
}

/// The same command with its output on our standard error, so that ours stays what we print.
///
/// # Errors
/// When there is no standard error.
pub(crate) fn shown(command: &mut Command) -> Result<&mut Command> {
    let stderr = std::io::stderr().as_fd().try_clone_to_owned()?;
    Ok(command.stdout(Stdio::from(stderr)))
}

/// What a command prints; nothing when it cannot be started or fails.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Finds a program in PATH, or where system programs lie.
pub(crate) fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name.as_ref()))
        .find(|file| file.is_file())
}

/// Whether a process of this number is there (a zombie counts as gone).
pub(crate) fn is_alive(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(')').map(|(_, rest)| !rest.starts_with(" Z")))
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_or_impossible_process_is_not_alive() {
        assert!(is_alive(u64::from(std::process::id())));
        assert!(!is_alive(u64::from(u32::MAX)));
    }

    #[test]
    fn programs_are_found_without_a_path_variable() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-here").is_none());
    }
}
