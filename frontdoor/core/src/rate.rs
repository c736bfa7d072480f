//! The sliding rate window: at most so many requests in any stretch of so many milliseconds.

use std::collections::VecDeque;

use crate::limits::MAX_RATE_REQUESTS;

/// The window and the requests in it. It holds at most `limit` timestamps, whatever comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateWindow {
    limit: u32,
    window_ms: u64,
    taken: VecDeque<u64>,
    /// Whether `taken` is in order. Judged once, when a past is handed in: from then on only
    /// [`Self::take`] adds to it, and a walk over a full window at every request would cost more
    /// than all other steps of the guard.
    is_in_order: bool,
}

/// The answer of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// A place was taken.
    Within,
    /// No place; the oldest request leaves the window after so many seconds, at least 1.
    Full {
        /// For `Retry-After`.
        retry_after_s: u32,
    },
    /// The window makes no sense: deny.
    Malformed,
}

impl RateWindow {
    /// An empty window of `limit` requests in `window_ms`; senseless bounds make a window that
    /// answers [`Rate::Malformed`] for ever.
    #[must_use]
    pub fn new(limit: u32, window_ms: u64) -> Self {
        Self::with_past(limit, window_ms, [])
    }

    /// A window with a past, as it was kept somewhere: never trusted. One that makes no sense
    /// answers [`Rate::Malformed`].
    #[must_use]
    pub fn with_past(limit: u32, window_ms: u64, taken: impl IntoIterator<Item = u64>) -> Self {
        let taken: VecDeque<u64> = taken.into_iter().collect();
        let is_in_order = taken.iter().is_sorted();
        Self { limit, window_ms, taken, is_in_order }
    }

    /// Takes a place at `now_ms`, if there is one.
    pub fn take(&mut self, now_ms: u64) -> Rate {
        if !self.is_well_formed(now_ms) {
            return Rate::Malformed;
        }
        while self.taken.front().is_some_and(|oldest| now_ms - oldest >= self.window_ms) {
            self.taken.pop_front();
        }
        match self.taken.front() {
            Some(oldest) if self.taken.len() >= self.limit as usize => {
                let left_ms = self.window_ms - (now_ms - oldest);
                let seconds = u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX);
                Rate::Full { retry_after_s: seconds.max(1) }
            }
            Some(_) | None => {
                self.taken.push_back(now_ms);
                Rate::Within
            }
        }
    }

    /// Timestamps held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.taken.len()
    }

    /// Bounds sensible, no more timestamps than places, in order, none from the future.
    fn is_well_formed(&self, now_ms: u64) -> bool {
        (1..=MAX_RATE_REQUESTS).contains(&self.limit)
            && self.window_ms > 0
            && self.taken.len() <= self.limit as usize
            && self.taken.back().is_none_or(|newest| *newest <= now_ms)
            && self.is_in_order
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_RATE_REQUESTS, Rate, RateWindow};
    use proptest::prelude::*;

    #[test]
    fn the_window_slides_at_its_exact_edge() {
        let mut window = RateWindow::new(2, 1000);
        assert_eq!(window.take(0), Rate::Within);
        assert_eq!(window.take(400), Rate::Within);
        assert_eq!(window.take(999), Rate::Full { retry_after_s: 1 });
        assert_eq!(window.take(1000), Rate::Within);
        assert_eq!(window.take(1399), Rate::Full { retry_after_s: 1 });
        assert_eq!(window.take(1400), Rate::Within);
    }

    #[test]
    fn retry_after_is_when_the_oldest_leaves_rounded_up() {
        let mut window = RateWindow::new(1, 60_000);
        assert_eq!(window.take(5_000), Rate::Within);
        assert_eq!(window.take(5_001), Rate::Full { retry_after_s: 60 });
        assert_eq!(window.take(64_000), Rate::Full { retry_after_s: 1 });
    }

    #[test]
    fn a_refused_request_takes_no_place() {
        let mut window = RateWindow::new(1, 1000);
        assert_eq!(window.take(0), Rate::Within);
        for now in 1..1000 {
            assert_eq!(window.take(now), Rate::Full { retry_after_s: 1 });
        }
        assert_eq!(window.take(1000), Rate::Within);
    }

    #[test]
    fn senseless_bounds_and_pasts_are_malformed() {
        let cases = [
            RateWindow::new(0, 1000),
            RateWindow::new(1, 0),
            RateWindow::new(MAX_RATE_REQUESTS + 1, 1000),
            RateWindow::with_past(1, 1000, [1, 2]),
            RateWindow::with_past(5, 1000, [3, 2]),
            RateWindow::with_past(5, 1000, [1, 3, 2, 4]),
            RateWindow::with_past(5, 1000, [11]),
        ];
        for mut window in cases {
            let before = window.clone();
            assert_eq!(window.take(10), Rate::Malformed, "{before:?}");
            assert_eq!(window, before, "a malformed window is left as it is");
        }
    }

    proptest! {
        #[test]
        fn no_stretch_of_one_window_holds_more_than_the_limit(
            limit in 1u32..8, window_ms in 1u64..500, steps in prop::collection::vec(0u64..200, 1..200),
        ) {
            let mut window = RateWindow::new(limit, window_ms);
            let (mut now, mut passed) = (0, Vec::new());
            for step in steps {
                now += step;
                if window.take(now) == Rate::Within { passed.push(now); }
                prop_assert!(window.held() <= limit as usize);
            }
            for (index, start) in passed.iter().enumerate() {
                let within = passed[index..].iter().take_while(|t| *t - start < window_ms).count();
                prop_assert!(within <= limit as usize);
            }
        }
    }
}
