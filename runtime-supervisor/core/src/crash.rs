//! What follows a crash (contract 9): a restart after a growing pause, and after five crashes
//! within five minutes none until a person acts.

use std::collections::VecDeque;

use crate::bounds::{CRASH_WINDOW_MS, FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS, MAX_CRASHES};

/// What to do after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashVerdict {
    /// Restart after this pause in milliseconds.
    RestartAfter(u64),
    /// Stay stopped until a person acts.
    CrashLoop,
}

/// The recent crashes, by a monotonic clock in milliseconds that the caller reads.
#[derive(Debug, Default)]
pub struct CrashHistory {
    /// Within the window, oldest first; never longer than [`MAX_CRASHES`].
    recent: VecDeque<u64>,
    /// Crashes since the last one that came alone in its window; grows the pause.
    in_a_row: u32,
}

impl CrashHistory {
    /// A history without crashes, as after a person's `start`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a crash at `now_ms` and decides what follows.
    #[must_use]
    pub fn record(&mut self, now_ms: u64) -> CrashVerdict {
        while self.recent.front().is_some_and(|at| now_ms.saturating_sub(*at) >= CRASH_WINDOW_MS) {
            self.recent.pop_front();
        }
        if self.recent.is_empty() {
            self.in_a_row = 0;
        }
        self.recent.push_back(now_ms);
        if self.recent.len() >= MAX_CRASHES {
            return CrashVerdict::CrashLoop;
        }
        let pause = FIRST_BACKOFF_MS.saturating_mul(1 << self.in_a_row.min(16));
        self.in_a_row = self.in_a_row.saturating_add(1);
        CrashVerdict::RestartAfter(pause.min(LONGEST_BACKOFF_MS))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_pause_doubles_from_250_ms_and_the_fifth_crash_stops() {
        let mut history = CrashHistory::new();
        let verdicts: Vec<_> = (0..5).map(|n| history.record(n * 1000)).collect();
        assert_eq!(
            verdicts,
            [
                CrashVerdict::RestartAfter(250),
                CrashVerdict::RestartAfter(500),
                CrashVerdict::RestartAfter(1000),
                CrashVerdict::RestartAfter(2000),
                CrashVerdict::CrashLoop,
            ]
        );
        assert_eq!(history.record(6000), CrashVerdict::CrashLoop);
    }

    #[test]
    fn a_crash_a_window_later_starts_from_the_first_pause() {
        let mut history = CrashHistory::new();
        for n in 0..4 {
            let _ = history.record(n);
        }
        assert_eq!(history.record(3 + CRASH_WINDOW_MS), CrashVerdict::RestartAfter(250));
    }

    #[test]
    fn a_crash_just_within_the_window_counts() {
        let mut history = CrashHistory::new();
        for n in 0..4 {
            let _ = history.record(n);
        }
        assert_eq!(history.record(CRASH_WINDOW_MS - 1), CrashVerdict::CrashLoop);
    }

    #[test]
    fn the_pause_never_exceeds_thirty_seconds() {
        let mut history = CrashHistory::new();
        let apart = CRASH_WINDOW_MS / 4;
        let longest = (0..40)
            .map(|n| match history.record(n * apart) {
                CrashVerdict::RestartAfter(pause) => pause,
                CrashVerdict::CrashLoop => panic!("four in a window are no loop"),
            })
            .max();
        assert_eq!(longest, Some(LONGEST_BACKOFF_MS));
    }

    proptest! {
        #[test]
        fn it_is_a_loop_exactly_when_five_lie_within_the_window(
            gaps in prop::collection::vec(0u64..120_000, 1..40),
        ) {
            let mut history = CrashHistory::new();
            let mut all: Vec<u64> = Vec::new();
            let mut now = 0;
            for gap in gaps {
                now += gap;
                all.push(now);
                let within = all.iter().filter(|at| now - **at < CRASH_WINDOW_MS).count();
                let is_loop = history.record(now) == CrashVerdict::CrashLoop;
                prop_assert_eq!(is_loop, within >= MAX_CRASHES);
            }
        }
    }
}
