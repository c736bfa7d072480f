//! The places of clients' connections. When all are taken, the one closes that has waited longest
//! without a whole request head: who says nothing keeps nobody out. A connection with a request
//! under way is never closed for another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::head_gate::Exchange;
use crate::limits::CLOSING_TIMEOUT;

/// All places, taken and free.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    turns: Arc<AtomicU64>,
    taken: Mutex<BTreeMap<u64, Arc<Exchange>>>,
}

impl Places {
    pub(crate) fn new(count: u32) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(count as usize));
        Arc::new(Self { free, turns: Arc::default(), taken: Mutex::default() })
    }

    /// A free place, or the one of a connection that waits; `None` when every connection has a
    /// request under way.
    pub(crate) async fn take(self: &Arc<Self>) -> Option<Place> {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.make_free().await?,
        };
        let exchange = Arc::new(Exchange::taking_turns(Arc::clone(&self.turns)));
        let number = self.turns.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Arc::clone(&exchange));
        Some(Place { exchange, number, places: Arc::clone(self), _permit: permit })
    }

    async fn make_free(&self) -> Option<OwnedSemaphorePermit> {
        if !self.close_one() {
            return None;
        }
        let freed = timeout(CLOSING_TIMEOUT, Arc::clone(&self.free).acquire_owned()).await;
        freed.ok()?.ok()
    }

    fn close_one(&self) -> bool {
        let mut waiting: Vec<_> = self
            .lock()
            .values()
            .filter_map(|exchange| Some((exchange.tenure().waits()?, Arc::clone(exchange))))
            .collect();
        waiting.sort_unstable_by_key(|(since, _)| *since);
        waiting.iter().any(|(since, exchange)| exchange.close(*since))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Exchange>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    exchange: Arc<Exchange>,
    number: u64,
    places: Arc<Places>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    pub(crate) fn exchange(&self) -> Arc<Exchange> {
        Arc::clone(&self.exchange)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().remove(&self.number);
    }
}

/// Since when a connection waits; that it serves; or that its place was taken away.
#[derive(Debug)]
pub(crate) struct Tenure {
    state: AtomicU64,
    turns: Arc<AtomicU64>,
}

const SERVES: u64 = 0;
const CLOSED: u64 = u64::MAX;
/// Who asked before waits behind all who never did.
const ASKED_BEFORE: u64 = 1 << 62;

impl Tenure {
    /// Waits for its first head from now on.
    pub(crate) fn new(turns: Arc<AtomicU64>) -> Self {
        let since = turns.fetch_add(1, Ordering::Relaxed) + 1;
        Self { state: AtomicU64::new(since), turns }
    }

    /// Waits for a next head from now on.
    pub(crate) fn rest(&self) {
        let since = ASKED_BEFORE | self.turns.fetch_add(1, Ordering::Relaxed);
        self.go_on(since);
    }

    /// A whole head is there; false when the place is gone.
    pub(crate) fn serve(&self) -> bool {
        self.go_on(SERVES)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    /// Since which turn it waits, if it does.
    fn waits(&self) -> Option<u64> {
        let since = self.state.load(Ordering::Acquire);
        (since != SERVES && since != CLOSED).then_some(since)
    }

    /// Takes the place away, if it still waits since then.
    pub(crate) fn close(&self, since: u64) -> bool {
        self.state.compare_exchange(since, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn go_on(&self, next: u64) -> bool {
        let go_on = |now| (now != CLOSED).then_some(next);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, go_on).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_silent_go_first_and_then_those_between_two_requests_and_nobody_else() {
        let places = Places::new(3);
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(places.take().await.expect("free"));
        }
        assert!(taken[0].exchange().tenure().serve());
        assert!(taken[1].exchange().tenure().serve());
        taken[0].exchange().tenure().rest();
        let closed = |place: &Place| place.exchange().tenure().is_closed();
        for (next, after) in [(2, true), (0, true), (1, false)] {
            assert_eq!(places.close_one(), after);
            assert_eq!(closed(&taken[next]), after, "{next}");
        }
        assert!(!taken[2].exchange().tenure().serve(), "a head that comes too late is not served");
        drop(taken);
        assert!(places.lock().is_empty());
    }
}
