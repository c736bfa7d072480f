//! What a person at a terminal is told, and what a log is.
//!
//! A log has every line with its time. Who started the companion by hand wants to know what is ready
//! and what to do next; of the log such a person sees warnings and errors, and `--verbose` shows all.

use std::io::{self, IsTerminal, Write, stderr};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tracing::Level;

use crate::words::colours_wanted;

/// Longest line of a process that is shown in one piece, in bytes.
const LONGEST_LINE: usize = 8 * 1024;

/// To whom the launcher speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    Person,
    Log,
}

impl Voice {
    /// A person, where there is a terminal and not the whole log was asked for.
    pub(crate) fn at_start(verbose: bool) -> Self {
        if stderr().is_terminal() && !verbose { Self::Person } else { Self::Log }
    }

    /// Starts this process's own log.
    pub(crate) fn start_log(self) {
        let colours = colours_wanted(stderr().is_terminal(), |name| std::env::var(name).ok());
        let log =
            tracing_subscriber::fmt().with_writer(stderr).with_ansi(colours).with_target(false);
        match self {
            Self::Person => log.with_max_level(Level::WARN).without_time().init(),
            Self::Log => log.init(),
        }
    }

    /// A sentence that a log has in words of its own.
    pub(crate) fn say(self, sentence: &str) {
        if self == Self::Person {
            show(sentence);
        }
    }
}

/// Where the processes write their logs.
pub(crate) enum Output {
    /// To where this process writes its own.
    Inherited,
    /// To this pipe, which [`relay`] reads.
    Relayed(OwnedFd),
}

impl Output {
    /// As this voice needs it, and the other end where there is one.
    ///
    /// # Errors
    /// When there is no pipe to be had.
    pub(crate) fn of(voice: Voice) -> io::Result<(Self, Option<OwnedFd>)> {
        match voice {
            Voice::Log => Ok((Self::Inherited, None)),
            Voice::Person => {
                let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
                rustix::io::ioctl_fionbio(&ours, true)?;
                Ok((Self::Relayed(theirs), Some(ours)))
            }
        }
    }

    /// For a child's standard output or error: a child has nothing to say to programs.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub(crate) fn stdio(&self) -> io::Result<Stdio> {
        let there = match self {
            Self::Inherited => io::stderr().as_fd().try_clone_to_owned(),
            Self::Relayed(pipe) => pipe.try_clone(),
        };
        there.map(Stdio::from)
    }
}

/// Shows of the processes' lines what a person is to see, for as long as one of them can write.
pub(crate) async fn relay(ours: OwnedFd) {
    let Ok(mut pipe) = Receiver::from_owned_fd(ours) else { return };
    let (mut unread, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = pipe.read(&mut piece).await {
        unread.extend_from_slice(&piece[..count]);
        while let Some(end) = line_end(&unread) {
            let line: Vec<u8> = unread.drain(..end).collect();
            if let Some(shown) = for_people(&String::from_utf8_lossy(&line)) {
                show(&shown);
            }
        }
    }
}

/// A terminal that is gone is no reason to end.
fn show(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// Behind the next line, or the next piece of one that is too long.
fn line_end(unread: &[u8]) -> Option<usize> {
    let end = unread.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
    end.or((unread.len() >= LONGEST_LINE).then_some(LONGEST_LINE))
}

/// A line without its time and its module; nothing, when it only tells how things go. What is no
/// line of a log stays as it is, but for what could act on the terminal.
fn for_people(line: &str) -> Option<String> {
    let line: String = line.trim_end().chars().filter(|letter| !letter.is_control()).collect();
    let mut words = line.split_whitespace();
    let is_time = words.next().is_some_and(|it| it.ends_with('Z') && it.contains('T'));
    let said = |level: &str| {
        let (_, rest) = line.split_once(level)?;
        Some(format!("{level:>5} {}", rest.split_once(": ").map_or(rest, |(_, said)| said)))
    };
    match words.next().filter(|_| is_time) {
        Some("TRACE" | "DEBUG" | "INFO") => None,
        // Of the kernel, the same at every start: `companionctl doctor` has it in better words.
        Some("WARN") if line.contains(": this kernel leaves a gap") => None,
        Some(level @ ("WARN" | "ERROR")) => said(level),
        Some(_) | None => (!line.is_empty()).then_some(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_shown_warnings_without_what_only_a_log_needs() {
        for (line, shown) in [
            ("2026-11-27T15:00:00.000001Z  INFO broker: confined landlock.abi=9\n", None),
            (
                "2026-11-27T15:00:00.000001Z  WARN broker: this kernel leaves a gap gap=\"a\"\n",
                None,
            ),
            ("2026-11-27T15:00:00.000001Z DEBUG broker: it: is\n", None),
            (
                "2026-11-27T15:00:00.000001Z  WARN broker::session: not renewed reason=a: b\n",
                Some(" WARN not renewed reason=a: b"),
            ),
            ("2026-11-27T15:00:00.000001Z ERROR frontdoor: it ends\n", Some("ERROR it ends")),
            ("thread 'main' panicked at a.rs:1\n", Some("thread 'main' panicked at a.rs:1")),
            ("\u{1b}[2Jcleared\n", Some("[2Jcleared")),
            ("\n", None),
        ] {
            assert_eq!(for_people(line).as_deref(), shown, "{line:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_shown_in_pieces_and_never_kept() {
        assert_eq!(line_end(b"half"), None);
        assert_eq!(line_end(b"one\ntwo\n"), Some(4));
        assert_eq!(line_end(&[b'x'; LONGEST_LINE + 9]), Some(LONGEST_LINE));
    }
}
