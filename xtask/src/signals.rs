//! INT, TERM and the end of children, read from one descriptor instead of by handlers.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// A person asked to stop.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woke {
    /// INT, TERM or HUP came.
    Asked,
    /// Some child ended.
    ChildEnded,
    /// The descriptor can be read.
    Readable,
    /// The time is up.
    TimeUp,
}

/// The signals of this process, blocked and read from a descriptor.
///
/// Children inherit the blocked set: they are started through [`crate::process::supervised`],
/// which clears it again.
#[derive(Debug)]
pub(crate) struct Signals {
    descriptor: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Blocks INT, TERM, HUP and CHLD for this thread, the only one.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn block() -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
            set.add(signal);
        }
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK).context("signal mask")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self { descriptor: SignalFd::with_flags(&set, flags).context("signalfd")?, before })
    }

    /// Waits for a signal, or for `readable`, until `deadline`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn wait(&self, readable: Option<BorrowedFd<'_>>, deadline: Instant) -> Result<Woke> {
        let own = PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN);
        let mut watched = vec![own];
        watched.extend(readable.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        poll(&mut watched, until(deadline)).context("poll")?;
        if let Some(signal) = self.descriptor.read_signal().context("signalfd")? {
            let child = Signal::SIGCHLD as u32;
            return Ok(if signal.ssi_signo == child { Woke::ChildEnded } else { Woke::Asked });
        }
        let can_read = watched.get(1).and_then(PollFd::any).unwrap_or(false);
        Ok(if can_read { Woke::Readable } else { Woke::TimeUp })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // What this command starts afterwards must not inherit the blocked set.
        let _ = self.before.thread_set_mask();
    }
}

fn until(deadline: Instant) -> PollTimeout {
    let left = deadline.saturating_duration_since(Instant::now());
    // Rounded up, so that a wait never ends just before its deadline and spins.
    let left = if left.is_zero() { left } else { left + Duration::from_millis(1) };
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}
