//! A shell on a terminal, and a person before it.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// The prompt: what the last command ended with, between two marks that nothing else prints.
const PROMPT: &str = "\u{1e}$?\u{1f}";
/// The key that interrupts what runs in the foreground.
const CTRL_C: &[u8] = b"\x03";
/// How a question for a passphrase begins, at first and once more.
const ASKS: [&str; 2] = ["Passphrase", "The same again"];

/// A shell on a terminal of its own. Dropping it hangs the terminal up.
#[derive(Debug)]
pub struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    unread: Vec<u8>,
    passphrase: Option<String>,
    keys: usize,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// Its exit code.
    pub code: u8,
    /// What the terminal showed.
    pub told: String,
}

impl Terminal {
    /// Opens one in this directory, with these variables and no others. What asks for a passphrase is
    /// given this one.
    ///
    /// `script` of bsdutils makes the terminal, and `bash` reads without its line editor: so what
    /// is shown is what programs print, and what is typed does not appear.
    ///
    /// # Errors
    /// When the shell does not come up.
    pub fn open(
        dir: &Path,
        variables: &[(String, String)],
        passphrase: Option<&str>,
    ) -> Result<Self> {
        let mut script = Command::new("script")
            .args(["--quiet", "--flush", "--echo", "never", "--command"])
            .args(["exec bash --noprofile --norc --noediting -i", "/dev/null"])
            .current_dir(dir)
            .env_clear()
            .env("TERM", "dumb")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env("PS1", PROMPT)
            .env("PS2", "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("script, of the package bsdutils")?;
        let keyboard = script.stdin.take().context("no keyboard")?;
        let screen = follow(script.stdout.take().context("no screen")?);
        let passphrase = passphrase.map(str::to_owned);
        let mut terminal =
            Self { script, keyboard, screen, unread: Vec::new(), passphrase, keys: 0 };
        terminal.until_prompt(Duration::from_secs(30))?;
        Ok(terminal)
    }

    /// Types a command and waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn types(&mut self, command: &str, limit: Duration) -> Result<Typed> {
        self.presses(format!("{command}\n").as_bytes())?;
        self.until_prompt(limit).with_context(|| command.to_owned())
    }

    /// Types a command that goes on, waits until it has shown this text, and tells what it showed.
    ///
    /// # Errors
    /// When it does not in time, or ends.
    pub fn leaves_running(&mut self, command: &str, text: &str, limit: Duration) -> Result<String> {
        self.presses(format!("{command}\n").as_bytes())?;
        let deadline = Instant::now() + limit;
        while !self.seen().contains(text) {
            ensure!(ended(&self.seen()).is_none(), "{command} ended: {}", self.seen());
            self.looks(deadline).with_context(|| format!("{command} does not show {text:?}"))?;
        }
        Ok(self.seen())
    }

    /// Keys that were pressed so far.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Presses Ctrl-C and waits for the end of what ran.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn interrupts(&mut self, limit: Duration) -> Result<Typed> {
        self.presses(CTRL_C)?;
        self.until_prompt(limit).context("Ctrl-C")
    }

    fn until_prompt(&mut self, limit: Duration) -> Result<Typed> {
        let deadline = Instant::now() + limit;
        loop {
            let seen = self.seen();
            if let Some(typed) = ended(&seen) {
                self.unread.clear();
                return Ok(typed);
            }
            if let Some(passphrase) = self.passphrase.clone().filter(|_| asks(&seen)) {
                self.unread.push(b'\n');
                self.presses(format!("{passphrase}\n").as_bytes())?;
            }
            self.looks(deadline)?;
        }
    }

    fn presses(&mut self, keys: &[u8]) -> Result<()> {
        self.keys += String::from_utf8_lossy(keys).chars().count();
        self.keyboard.write_all(keys)?;
        Ok(self.keyboard.flush()?)
    }

    fn looks(&mut self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.screen.recv_timeout(left) {
            Ok(bytes) => self.unread.extend(bytes),
            Err(RecvTimeoutError::Timeout) => bail!("not in time; so far: {}", self.seen()),
            Err(RecvTimeoutError::Disconnected) => bail!("the terminal closed: {}", self.seen()),
        }
        Ok(())
    }

    /// What stands on the screen: of a line that was written over, the last.
    fn seen(&self) -> String {
        let text = String::from_utf8_lossy(&self.unread).replace("\r\n", "\n");
        let lines = text.split('\n').map(|line| line.rsplit('\r').next().unwrap_or_default());
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// The command's end, once the prompt stands at the end of what is seen.
fn ended(seen: &str) -> Option<Typed> {
    let (told, code) = seen.strip_suffix('\u{1f}')?.rsplit_once('\u{1e}')?;
    Some(Typed { code: code.parse().ok()?, told: told.to_owned() })
}

fn asks(seen: &str) -> bool {
    let last = seen.rsplit('\n').next().unwrap_or_default();
    last.ends_with(": ") && ASKS.iter().any(|it| last.starts_with(it))
}

fn follow(mut stdout: ChildStdout) -> Receiver<Vec<u8>> {
    let (shows, screen) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stdout.read(&mut bytes) {
            if shows.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    screen
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn terminal() -> Terminal {
        let path = ("PATH".to_owned(), "/usr/bin:/bin".to_owned());
        Terminal::open(&std::env::temp_dir(), &[path], Some("open sesame")).unwrap()
    }

    #[test]
    fn a_command_shows_what_it_prints_and_how_it_ended() {
        let mut terminal = terminal();
        let typed = terminal.types("for n in 1 2 \\\n  3; do echo $n; done; (exit 3)", LIMIT);
        assert_eq!(terminal.keys(), "for n in 1 2 \\\n  3; do echo $n; done; (exit 3)\n".len());
        assert_eq!(typed.unwrap(), Typed { code: 3, told: "1\n2\n3\n".to_owned() });
        let typed = terminal.types("here=there # a remark", LIMIT).unwrap();
        assert_eq!((typed.code, &*typed.told), (0, ""));
        assert_eq!(terminal.types("echo $here", LIMIT).unwrap().told, "there\n");
    }

    #[test]
    fn what_goes_on_is_left_running_and_interrupted() {
        let mut terminal = terminal();
        // One job that says so itself: between two the key would reach neither.
        let job = "sh -c 'echo up; exec sleep 1000'";
        terminal.leaves_running(job, "up", LIMIT).unwrap();
        assert_eq!(terminal.interrupts(LIMIT).unwrap().code, 130);
        assert!(terminal.leaves_running("echo ended", "up", LIMIT).is_err());
    }

    #[test]
    fn a_question_for_a_passphrase_is_answered_without_showing_it() {
        let typed = terminal()
            .types("for q in Passphrase 'The same again'; do read -rsp \"$q: \" it; done; echo; echo ${#it}", LIMIT)
            .unwrap();
        assert!(typed.told.ends_with("11\n") && !typed.told.contains("sesame"), "{typed:?}");
    }
}
