//! The passphrase of the keys: from a file, or asked for on the terminal, which does not show it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::refusal::{Refusal, reason};

/// Shortest one that is taken, in characters.
const SHORTEST: usize = 8;
/// How often a new one is asked for until it is long enough and was typed twice alike.
const ATTEMPTS: usize = 3;
/// What asking once more may mend.
const MISTYPED: [&str; 2] = ["passphrases_differ", "passphrase_too_short"];

pub(crate) type Passphrase = Zeroizing<String>;

/// The one that keys are sealed with from now on.
pub(crate) fn new(file: Option<&PathBuf>) -> Result<Passphrase> {
    if let Some(file) = file {
        return read(file).and_then(long_enough);
    }
    for _ in 1..ATTEMPTS {
        match twice() {
            Err(error) if MISTYPED.contains(&reason(&error)) => eprintln!("{error}. Once more."),
            other => return other,
        }
    }
    twice()
}

/// The one that they were sealed with.
pub(crate) fn known(file: Option<&PathBuf>) -> Result<Passphrase> {
    file.map_or_else(|| ask("Passphrase of the catalog's keys: "), |file| read(file))
}

fn twice() -> Result<Passphrase> {
    let given = long_enough(ask("Passphrase for the catalog's keys: ")?)?;
    if *given != *ask("The same again: ")? {
        bail!(Refusal::new("passphrases_differ", "The two passphrases differ", "Try again."));
    }
    Ok(given)
}

fn long_enough(given: Passphrase) -> Result<Passphrase> {
    if given.chars().count() < SHORTEST {
        let what = format!("A passphrase has at least {SHORTEST} characters");
        bail!(Refusal::new("passphrase_too_short", what, "Choose a longer one."));
    }
    Ok(given)
}

fn read(file: &Path) -> Result<Passphrase> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new).with_context(|| {
        let what = format!("The passphrase file {} cannot be read", file.display());
        Refusal::new("file_unreadable", what, "Check its name, owner and mode.")
    })?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// Ctrl-C ends the program once the terminal shows again what is typed: until then its signal
/// waits.
fn ask(prompt: &str) -> Result<Passphrase> {
    let mut interrupt = SigSet::empty();
    interrupt.add(Signal::SIGINT);
    interrupt.thread_block()?;
    let given = Hidden::terminal().and_then(|_until_read| rpassword::prompt_password(prompt));
    interrupt.thread_unblock()?;
    given.map(Zeroizing::new).map_err(|error| {
        let refusal = match error.kind() {
            ErrorKind::UnexpectedEof => Refusal::new(
                "passphrase_missing",
                "No passphrase was given",
                "Nothing was changed.",
            ),
            _ => Refusal::new(
                "not_a_terminal",
                "There is no terminal to ask for the passphrase",
                "Give it in a file: --passphrase-file FILE.",
            ),
        };
        anyhow::Error::new(error).context(refusal)
    })
}

/// The terminal, hiding what is typed from before the question is shown: `rpassword` asks first,
/// and a quick hand would see its first characters.
struct Hidden {
    terminal: File,
    before: Termios,
}

impl Hidden {
    /// What was typed ahead is dropped, as `readpassphrase(3)` does: it was seen.
    fn terminal() -> io::Result<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut hiding = before.clone();
        hiding.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(&terminal, OptionalActions::Flush, &hiding)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
