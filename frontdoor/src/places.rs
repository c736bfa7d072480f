//! The places of clients' connections. When all are taken, one closes whose last answer is out, else
//! the oldest one that waits and never passed the guard, else the one that has rested longest: who
//! says nothing, or nothing right, keeps nobody out. A connection with a request under way is never
//! closed for another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    born: u64,
    is_known: AtomicBool,
}

const SERVES: u64 = 0;
const CLOSED: u64 = u64::MAX;
/// Whose last answer is out goes before all others.
const LINGERS: u64 = 1;
/// Who passed the guard before waits behind all who never did.
const KNOWN: u64 = 1 << 62;

impl Tenure {
    /// Waits for its first head from now on.
    pub(crate) fn new(turns: Arc<AtomicU64>) -> Self {
        // Beyond the words for other states.
        let born = turns.fetch_add(1, Ordering::Relaxed) + LINGERS + 1;
        Self { state: AtomicU64::new(born), turns, born, is_known: AtomicBool::new(false) }
    }

    /// A request on it passed the guard.
    pub(crate) fn know(&self) {
        self.is_known.store(true, Ordering::Release);
    }

    /// Waits for a next head from now on; who was only ever refused, since it came.
    pub(crate) fn rest(&self) {
        let now = self.turns.fetch_add(1, Ordering::Relaxed);
        let is_known = self.is_known.load(Ordering::Acquire);
        self.go_on(if is_known { KNOWN | now } else { self.born });
    }

    /// Its last answer is out; what the client still sends is only thrown away.
    pub(crate) fn linger(&self) {
        self.go_on(LINGERS);
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
    async fn who_is_done_goes_first_then_strangers_by_age_then_who_rests_and_nobody_else() {
        let places = Places::new(5);
        let mut taken = Vec::new();
        for _ in 0..5 {
            taken.push(places.take().await.expect("free"));
        }
        let [known, refused, silent, busy, done] = [0, 1, 2, 3, 4];
        for serves in [known, refused, busy, done] {
            assert!(taken[serves].exchange().tenure().serve());
        }
        taken[known].exchange().tenure().know();
        for rests in [known, refused] {
            taken[rests].exchange().tenure().rest();
        }
        taken[done].exchange().tenure().linger();
        let closed = |place: &Place| place.exchange().tenure().is_closed();
        for next in [done, refused, silent, known] {
            assert!(!closed(&taken[next]));
            assert!(places.close_one());
            assert!(closed(&taken[next]), "{next}");
        }
        assert!(!places.close_one() && !closed(&taken[busy]));
        assert!(!taken[silent].exchange().tenure().serve(), "a head that comes too late");
        drop(taken);
        assert!(places.lock().is_empty());
    }
}
