//! The admission core with people waiting in it: a slot is a value that gives itself back when it
//! is dropped, whatever ends its request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frontdoor_core::Reason;
use frontdoor_core::admission::{Admission, Arrival, Bounds, Counts, Slot, TicketId};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep_until;

use crate::clock::Clock;

/// Who runs and who waits, shared by all requests.
pub(crate) struct AdmissionQueue {
    clock: Clock,
    state: Mutex<State>,
    counts: watch::Sender<Counts>,
}

struct State {
    core: Admission,
    waiting: HashMap<TicketId, oneshot::Sender<HeldSlot>>,
}

impl AdmissionQueue {
    pub(crate) fn new(bounds: Bounds, clock: Clock) -> Arc<Self> {
        let state = State { core: Admission::new(bounds), waiting: HashMap::new() };
        let (counts, _) = watch::channel(Counts::default());
        Arc::new(Self { clock, state: Mutex::new(state), counts })
    }

    /// Waits for a slot in order. `give_up` ends the wait with its own reason; dropping the
    /// future frees the place.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        give_up: impl Future<Output = Reason>,
    ) -> Result<HeldSlot, Reason> {
        let (mut place, deadline_ms) = match self.arrive()? {
            Entered::Runs(slot) => return Ok(slot),
            Entered::Waits(place, deadline_ms) => (place, deadline_ms),
        };
        tokio::select! {
            biased;
            slot = &mut place.called => slot.map_err(|_| Reason::MalformedAdmissionState),
            reason = give_up => Err(reason),
            () = sleep_until(self.clock.instant(deadline_ms)) => Err(Reason::QueueTimeout),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().core.counts()
    }

    /// Changes of the counts.
    pub(crate) fn watch(&self) -> watch::Receiver<Counts> {
        self.counts.subscribe()
    }

    fn arrive(self: &Arc<Self>) -> Result<Entered, Reason> {
        let mut state = self.lock();
        let entered = match state.core.arrive(self.clock.now_ms())? {
            Arrival::Admitted(slot) => Entered::Runs(self.hold(slot)),
            Arrival::Queued { ticket, deadline_ms } => {
                let (caller, called) = oneshot::channel();
                state.waiting.insert(ticket, caller);
                Entered::Waits(Place { queue: Arc::clone(self), ticket, called }, deadline_ms)
            }
        };
        self.publish(&state);
        Ok(entered)
    }

    /// Gives a slot back and calls those whose turn it is. Nobody is called under the lock: who
    /// has left in the same moment drops the slot at once, and that comes here again.
    fn complete(self: &Arc<Self>, slot: Slot) {
        let called = {
            let mut state = self.lock();
            let promoted = match state.core.complete(slot, self.clock.now_ms()) {
                Ok(promoted) => promoted,
                Err(reason) => {
                    tracing::error!(reason = reason.as_str(), "a slot could not be given back");
                    return;
                }
            };
            let called: Vec<_> = promoted
                .into_iter()
                .map(|promotion| {
                    (state.waiting.remove(&promotion.ticket), self.hold(promotion.slot))
                })
                .collect();
            self.publish(&state);
            called
        };
        for (caller, slot) in called {
            if let Some(caller) = caller {
                drop(caller.send(slot));
            }
        }
    }

    fn leave(&self, ticket: TicketId) {
        let mut state = self.lock();
        state.core.leave(ticket);
        state.waiting.remove(&ticket);
        self.publish(&state);
    }

    fn hold(self: &Arc<Self>, slot: Slot) -> HeldSlot {
        HeldSlot { slot: Some(slot), queue: Arc::clone(self) }
    }

    fn publish(&self, state: &State) {
        let counts = state.core.counts();
        self.counts.send_if_modified(|known| std::mem::replace(known, counts) != counts);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Entered {
    Runs(HeldSlot),
    Waits(Place, u64),
}

/// A place in the queue; dropping it frees the place.
struct Place {
    queue: Arc<AdmissionQueue>,
    ticket: TicketId,
    called: oneshot::Receiver<HeldSlot>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.leave(self.ticket);
    }
}

/// A slot at the runtime; dropping it gives it back, once.
pub(crate) struct HeldSlot {
    slot: Option<Slot>,
    queue: Arc<AdmissionQueue>,
}

impl HeldSlot {
    /// The core's own value, for the gate; `None` never outside of the drop.
    pub(crate) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }
}

impl Drop for HeldSlot {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.queue.complete(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    fn queue(max_in_flight: u32, queue_bound: u32, queue_timeout_ms: u64) -> Arc<AdmissionQueue> {
        let bounds = Bounds { max_in_flight, queue_bound, queue_timeout_ms };
        AdmissionQueue::new(bounds, Clock::start())
    }

    async fn until(queue: &AdmissionQueue, wanted: Counts) {
        let mut counts = queue.watch();
        counts.wait_for(|counts| *counts == wanted).await.expect("the queue is there");
    }

    #[tokio::test]
    async fn a_dropped_slot_calls_the_next_in_order() {
        let queue = queue(1, 4, 60_000);
        let held = queue.admit(pending()).await.expect("free");
        let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
        for name in 1..=3 {
            let (queue, done) = (Arc::clone(&queue), done.clone());
            let waits = Counts { in_flight: 1, queued: name };
            let ours = Arc::clone(&queue);
            tokio::spawn(async move {
                let slot = queue.admit(pending()).await.expect("its turn comes");
                done.send(name).expect("the test listens");
                drop(slot);
            });
            until(&ours, waits).await;
        }
        drop(held);
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(order.recv().await.expect("all come"));
        }
        assert_eq!(seen, [1, 2, 3]);
        until(&queue, Counts::default()).await;
    }

    #[tokio::test]
    async fn a_client_that_leaves_while_queued_frees_its_place() {
        let queue = queue(1, 1, 60_000);
        let held = queue.admit(pending()).await.expect("free");
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.admit(pending()).await.map(drop) }
        });
        until(&queue, Counts { in_flight: 1, queued: 1 }).await;
        assert_eq!(queue.admit(pending()).await.err(), Some(Reason::QueueFull));
        waiting.abort();
        until(&queue, Counts { in_flight: 1, queued: 0 }).await;
        drop(held);
        assert_eq!(queue.counts(), Counts::default());
        assert!(queue.admit(pending()).await.is_ok());
    }

    #[tokio::test]
    async fn a_slot_called_to_one_who_just_left_goes_to_the_next() {
        let queue = queue(1, 2, 60_000);
        let held = queue.admit(pending()).await.expect("free");
        let Ok(Entered::Waits(gone, _)) = queue.arrive() else { panic!("queued") };
        let Ok(Entered::Waits(mut next, _)) = queue.arrive() else { panic!("queued") };
        drop(held);
        assert_eq!(queue.counts(), Counts { in_flight: 1, queued: 1 }, "the first was called");
        drop(gone);
        assert!((&mut next.called).await.is_ok(), "and never came: the second runs");
    }

    #[tokio::test]
    async fn the_wait_ends_with_queue_timeout() {
        let queue = queue(1, 1, 1);
        let _held = queue.admit(pending()).await.expect("free");
        assert_eq!(queue.admit(pending()).await.err(), Some(Reason::QueueTimeout));
        assert_eq!(queue.counts(), Counts { in_flight: 1, queued: 0 });
    }

    #[tokio::test]
    async fn giving_up_ends_the_wait_with_its_reason() {
        let queue = queue(1, 1, 60_000);
        let _held = queue.admit(pending()).await.expect("free");
        let gave_up = queue.admit(async { Reason::NotReady }).await;
        assert_eq!(gave_up.err(), Some(Reason::NotReady));
        assert_eq!(queue.counts().queued, 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn thousands_of_comings_and_goings_lose_no_slot() {
        let queue = queue(3, 8, 60_000);
        let mut tasks = tokio::task::JoinSet::new();
        for turn in 0..3000_u32 {
            let queue = Arc::clone(&queue);
            tasks.spawn(async move {
                let wait = async {
                    tokio::task::yield_now().await;
                    if turn.is_multiple_of(3) { Reason::NotReady } else { pending().await }
                };
                if let Ok(slot) = queue.admit(wait).await {
                    assert!(queue.counts().in_flight <= 3);
                    tokio::task::yield_now().await;
                    assert!(!turn.is_multiple_of(7), "a panic gives the slot back too");
                    drop(slot);
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        assert_eq!(queue.counts(), Counts::default());
    }
}
