//! How far one download is: at most ten words a second, with the rate of the last seconds and the
//! time that is left at that rate.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::limits::{PROGRESS_PAUSE, RATE_MEMORY};

/// What is shown of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Bytes in place.
    pub(crate) received: u64,
    /// Bytes of the whole.
    pub(crate) total: u64,
    /// Of the last seconds.
    pub(crate) bytes_per_second: u64,
    /// At that rate; `None` while nothing comes.
    pub(crate) seconds_left: Option<u64>,
    /// Another download goes first.
    pub(crate) waiting: bool,
}

/// Whom it is shown to.
type Show = Box<dyn Fn(Shown) + Send + Sync>;

/// How far a download is.
pub(crate) struct Progress {
    show: Show,
    total: u64,
    last: Mutex<Last>,
}

/// What was shown last.
#[derive(Debug, Default)]
struct Last {
    shown: Option<(Instant, u64)>,
    rate: Option<f64>,
    received: u64,
    waiting: bool,
}

impl Progress {
    /// Progress towards `total` bytes.
    pub(crate) fn new(total: u64, show: impl Fn(Shown) + Send + Sync + 'static) -> Self {
        Self { show: Box::new(show), total, last: Mutex::default() }
    }

    /// Another download goes first; this one has so many bytes in place.
    pub(crate) fn waits(&self, received: u64) {
        let mut last = self.last();
        *last = Last { waiting: true, received, ..Last::default() };
        self.say(&mut last, Instant::now(), received);
    }

    /// The download begins with this many bytes in place: they count for no rate.
    pub(crate) fn begins_at(&self, received: u64) {
        let mut last = self.last();
        *last = Last { received, ..Last::default() };
        self.say(&mut last, Instant::now(), received);
    }

    /// So many bytes are there now.
    pub(crate) fn shows(&self, received: u64) {
        let (now, mut last) = (Instant::now(), self.last());
        last.received = received;
        let Some((then, before)) = last.shown else {
            return self.say(&mut last, now, received);
        };
        let elapsed = now.duration_since(then);
        if elapsed >= PROGRESS_PAUSE {
            let seconds = elapsed.as_secs_f64();
            let latest = as_f64(received.saturating_sub(before)) / seconds;
            let fresh = 1.0 - (-seconds / RATE_MEMORY.as_secs_f64()).exp();
            let rate = last.rate.unwrap_or(latest);
            last.rate = Some(rate + fresh * (latest - rate));
        } else if received < self.total {
            return;
        }
        self.say(&mut last, now, received);
    }

    /// Time goes by: what was too soon to be shown is shown, and the rate falls if nothing comes.
    pub(crate) fn shows_again(&self) {
        let (is_begun, received) = {
            let last = self.last();
            (last.shown.is_some(), last.received)
        };
        if is_begun {
            self.shows(received);
        }
    }

    fn say(&self, last: &mut Last, now: Instant, received: u64) {
        last.shown = Some((now, received));
        let rate = whole(last.rate.unwrap_or(0.0));
        let left = self.total.saturating_sub(received);
        (self.show)(Shown {
            received,
            total: self.total,
            bytes_per_second: rate,
            seconds_left: (rate > 0).then(|| left.div_ceil(rate)),
            waiting: last.waiting,
        });
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes between two words, for a rate")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a non-negative rate, shown in whole bytes"
)]
fn whole(rate: f64) -> u64 {
    rate as u64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn watched(total: u64) -> (Progress, Arc<Mutex<Vec<Shown>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keeper = Arc::clone(&seen);
        (Progress::new(total, move |shown| keeper.lock().unwrap().push(shown)), seen)
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_rate_is_told_with_the_time_that_is_left() {
        let (progress, seen) = watched(100_000);
        progress.begins_at(50_000);
        let first = Shown {
            received: 50_000,
            total: 100_000,
            bytes_per_second: 0,
            seconds_left: None,
            waiting: false,
        };
        assert_eq!(seen.lock().unwrap()[..], [first], "what was there before is no rate");
        for second in 1..=4 {
            tokio::time::advance(Duration::from_secs(1)).await;
            progress.shows(50_000 + second * 1000);
        }
        let last = *seen.lock().unwrap().last().unwrap();
        assert_eq!((last.bytes_per_second, last.seconds_left), (1000, Some(46)));
    }

    #[tokio::test(start_paused = true)]
    async fn ten_words_a_second_are_enough_but_the_last_byte_is_told() {
        let (progress, seen) = watched(1000);
        for received in 0..1000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            progress.shows(received);
        }
        assert!((10..=11).contains(&seen.lock().unwrap().len()));
        progress.shows(1000);
        assert_eq!(seen.lock().unwrap().last().unwrap().received, 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_download_that_stands_still_loses_its_rate_and_its_time() {
        let (progress, seen) = watched(1_000_000);
        progress.begins_at(0);
        tokio::time::advance(Duration::from_secs(1)).await;
        progress.shows(100_000);
        for _ in 0..60 {
            tokio::time::advance(Duration::from_secs(1)).await;
            progress.shows_again();
        }
        let last = *seen.lock().unwrap().last().unwrap();
        assert_eq!((last.received, last.bytes_per_second, last.seconds_left), (100_000, 0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_for_another_says_so_until_it_begins() {
        let (progress, seen) = watched(1000);
        // Somebody else had begun it, at some rate.
        for received in [0, 10] {
            progress.shows(received);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        progress.waits(10);
        tokio::time::advance(Duration::from_secs(5)).await;
        progress.shows_again();
        progress.begins_at(10);
        let seen = seen.lock().unwrap();
        let waiting: Vec<_> = seen.iter().map(|it| (it.waiting, it.seconds_left)).collect();
        assert_eq!(waiting[1..], [(false, Some(99)), (true, None), (true, None), (false, None)]);
    }
}
