//! A pace that all responses share: each piece has a time at which it is due, so that a timer that
//! wakes late costs nothing in the end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How much of its time a sender may make up for that came late.
const CATCHING_UP: Duration = Duration::from_millis(50);

/// When the next piece is due.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    due: Mutex<Option<Instant>>,
}

impl Pacer {
    /// When these bytes may be sent, at so many bytes a second.
    pub(super) fn turn_of(&self, bytes: u64, pace: u64) -> Instant {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earliest = now.checked_sub(CATCHING_UP).unwrap_or(now);
        let turn = due.map_or(now, |due| due.max(earliest));
        *due = Some(turn + Duration::from_secs_f64(bytes as f64 / pace.max(1) as f64));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pieces_are_due_by_the_schedule_and_a_late_one_is_made_up_for_a_little() {
        let (pacer, begun) = (Pacer::default(), Instant::now());
        let at = |millis| begun + Duration::from_millis(millis);
        assert_eq!(pacer.turn_of(100, 10_000), at(0));
        assert_eq!(pacer.turn_of(100, 10_000), at(10));
        tokio::time::advance(Duration::from_millis(35)).await;
        assert_eq!(pacer.turn_of(100, 10_000), at(20), "at once");
        assert_eq!(pacer.turn_of(100, 10_000), at(30), "at once");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(pacer.turn_of(100, 10_000), at(10_035 - 50));
    }
}
