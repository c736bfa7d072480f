//! A runtime that nobody asks anything is unloaded, and loaded again for the next request. Its job
//! stays at hand meanwhile: the front door's word brings back what slept, and nothing else.

use std::time::Duration;

use tokio::time::Instant;

/// Whether the job's runtime rests, and how long it must have been ready before it may.
#[derive(Debug)]
pub(super) struct Rest {
    /// `None`: never.
    after: Option<Duration>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing rests: there is no job, or it is being started for the first time.
    None,
    /// Ready since then.
    Ready(Instant),
    /// Draining for it, or unloaded.
    Asleep,
    /// To be loaded again, or being loaded.
    Waking,
}

impl Rest {
    /// Of a runtime that is unloaded after so many seconds without a request; 0: never.
    pub(super) fn after_s(seconds: u64) -> Self {
        let after = (seconds > 0).then(|| Duration::from_secs(seconds));
        Self { after, state: State::None }
    }

    /// The runtime is ready: from now on it may be found idle.
    pub(super) fn ready(&mut self) {
        self.state = State::Ready(Instant::now());
    }

    /// Nothing is kept for later: the job ends.
    pub(super) fn forget(&mut self) {
        self.state = State::None;
    }

    /// Whether a front door that calls it idle is believed: never before it has been ready for as
    /// long as it must be idle, so that unloading and loading cannot be made to chase each other.
    pub(super) fn may_begin(&self) -> bool {
        match (self.state, self.after) {
            (State::Ready(since), Some(after)) => since.elapsed() >= after,
            (State::None | State::Ready(_) | State::Asleep | State::Waking, _) => false,
        }
    }

    pub(super) fn begin(&mut self) {
        self.state = State::Asleep;
    }

    /// It is wanted again; whether it slept.
    pub(super) fn wake(&mut self) -> bool {
        let slept = self.state == State::Asleep;
        if slept {
            self.state = State::Waking;
        }
        slept
    }

    /// Asleep, and wanted by nobody.
    pub(super) fn is_undisturbed(&self) -> bool {
        self.state == State::Asleep
    }

    /// Asleep, or on its way back.
    pub(super) fn lasts(&self) -> bool {
        matches!(self.state, State::Asleep | State::Waking)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ready_for_long_enough_falls_asleep_and_only_what_slept_is_woken() {
        let mut rest = Rest::after_s(1);
        assert!(!rest.may_begin() && !rest.wake(), "nothing runs");
        rest.ready();
        assert!(!rest.may_begin(), "too early");
        assert!(!rest.wake() && !rest.lasts(), "it does not sleep");
        rest.state =
            Instant::now().checked_sub(Duration::from_secs(1)).map_or(State::None, State::Ready);
        assert!(rest.may_begin());
        rest.begin();
        assert!(rest.is_undisturbed() && rest.lasts() && !rest.may_begin());
        assert!(rest.wake() && !rest.wake(), "once");
        assert!(rest.lasts() && !rest.is_undisturbed() && !rest.may_begin());
        rest.forget();
        assert!(!rest.lasts() && !rest.wake());
    }

    #[test]
    fn zero_never_unloads() {
        let mut rest = Rest::after_s(0);
        rest.state = State::Ready(Instant::now());
        assert!(!rest.may_begin());
    }
}
