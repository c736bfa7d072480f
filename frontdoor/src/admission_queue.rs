//! The admission core with people waiting in it: a slot is a value that gives itself back when it
//! is dropped, whatever ends its request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frontdoor_core::Reason;
use frontdoor_core::admission::{Admission, Arrival, Bounds, Counts, Promotion, Slot, TicketId};
use frontdoor_core::client::ClientId;
use frontdoor_core::guard::Refusal;
use frontdoor_core::limits::{LONGEST_RETRY_AFTER_S, QUEUE_RETRY_AFTER_S};
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
    /// By whom the waiting are called. One that is dropped unused tells of a lost place.
    waiting: HashMap<TicketId, oneshot::Sender<HeldSlot>>,
    /// Since when nobody runs and nobody waits.
    at_rest_since_ms: Option<u64>,
}

impl AdmissionQueue {
    pub(crate) fn new(bounds: Bounds, clock: Clock) -> Arc<Self> {
        let at_rest_since_ms = Some(clock.now_ms());
        let core = Admission::new(bounds);
        let state = State { core, waiting: HashMap::new(), at_rest_since_ms };
        let (counts, _) = watch::channel(Counts::default());
        Arc::new(Self { clock, state: Mutex::new(state), counts })
    }

    /// Waits for a slot in turn. `give_up` ends the wait with its own reason; dropping the
    /// future frees the place.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        client: ClientId,
        give_up: impl Future<Output = Reason>,
    ) -> Result<HeldSlot, Refusal> {
        let (mut place, deadline_ms) = match self.arrive(client)? {
            Entered::Runs(slot) => return Ok(slot),
            Entered::Waits(place, deadline_ms) => (place, deadline_ms),
        };
        let waited = tokio::select! {
            biased;
            slot = &mut place.called => slot.map_err(|_| Reason::QueueFull),
            reason = give_up => Err(reason),
            () = sleep_until(self.clock.instant(deadline_ms)) => Err(Reason::QueueTimeout),
        };
        match waited {
            Ok(slot) => Ok(slot.which_waited_at(place.position)),
            Err(reason) => {
                // What it is told is of a queue that it is no longer in.
                drop(place);
                Err(self.lock().refusal(reason))
            }
        }
    }

    /// About how long one waits who comes now, in milliseconds; `None` while nothing is known.
    pub(crate) fn next_wait_ms(&self) -> Option<u64> {
        let state = self.lock();
        state.core.wait_ms(state.core.next_position())
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().core.counts()
    }

    /// Changes of the counts.
    pub(crate) fn watch(&self) -> watch::Receiver<Counts> {
        self.counts.subscribe()
    }

    /// Since when nobody runs and nobody waits, on the clock of this process; `None`: somebody does.
    pub(crate) fn at_rest_since_ms(&self) -> Option<u64> {
        self.lock().at_rest_since_ms
    }

    /// Whoever comes from now on waits, free slots or not.
    pub(crate) fn close(&self) {
        self.lock().core.close();
    }

    /// Calls those whose turn it is.
    pub(crate) fn open(self: &Arc<Self>) {
        self.promote(|core, now_ms| Ok(core.open(now_ms)));
    }

    fn arrive(self: &Arc<Self>, client: ClientId) -> Result<Entered, Refusal> {
        let mut state = self.lock();
        let arrival = state.core.arrive(client, self.clock.now_ms());
        let entered = match arrival.map_err(|reason| state.refusal(reason))? {
            Arrival::Admitted(slot) => Entered::Runs(self.hold(slot)),
            Arrival::Queued { ticket, deadline_ms, displaced } => {
                if let Some(displaced) = displaced {
                    state.waiting.remove(&displaced);
                }
                let position = state.core.position(ticket).unwrap_or_default();
                let (caller, called) = oneshot::channel();
                state.waiting.insert(ticket, caller);
                let queue = Arc::clone(self);
                Entered::Waits(Place { queue, ticket, position, called }, deadline_ms)
            }
        };
        self.publish(&mut state);
        Ok(entered)
    }

    /// Gives a slot back and calls those whose turn it is.
    fn complete(self: &Arc<Self>, slot: Slot) {
        self.promote(|core, now_ms| core.complete(slot, now_ms));
    }

    /// Nobody is called under the lock: who has left in the same moment drops the slot at once,
    /// and that comes here again.
    fn promote(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Admission, u64) -> Result<Vec<Promotion>, Reason>,
    ) {
        let called = {
            let mut state = self.lock();
            let promoted = match act(&mut state.core, self.clock.now_ms()) {
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
            self.publish(&mut state);
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
        self.publish(&mut state);
    }

    fn hold(self: &Arc<Self>, slot: Slot) -> HeldSlot {
        HeldSlot { slot: Some(slot), position: 0, queue: Arc::clone(self) }
    }

    fn publish(&self, state: &mut State) {
        let counts = state.core.counts();
        if self.counts.send_if_modified(|known| std::mem::replace(known, counts) != counts) {
            let is_at_rest = counts == Counts::default();
            state.at_rest_since_ms = is_at_rest.then(|| self.clock.now_ms());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// With what the queue says of itself to those that it refuses.
    fn refusal(&self, reason: Reason) -> Refusal {
        if !matches!(reason, Reason::QueueFull | Reason::QueueTimeout) {
            return reason.into();
        }
        let position = self.core.next_position();
        let wait_s = self.core.wait_ms(position).unwrap_or_default().div_ceil(1000);
        let wait_s = u32::try_from(wait_s).unwrap_or(u32::MAX);
        let retry_after_s = wait_s.clamp(QUEUE_RETRY_AFTER_S, LONGEST_RETRY_AFTER_S);
        Refusal {
            retry_after_s: Some(retry_after_s),
            queue_position: Some(position),
            ..reason.into()
        }
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
    /// Its turn when it came.
    position: u32,
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
    position: u32,
    queue: Arc<AdmissionQueue>,
}

impl HeldSlot {
    /// The core's own value, for the gate; `None` never outside of the drop.
    pub(crate) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// The turn that it waited for; 0 when it did not wait.
    pub(crate) fn position(&self) -> u32 {
        self.position
    }

    fn which_waited_at(mut self, position: u32) -> Self {
        self.position = position;
        self
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

    const ME: ClientId = ClientId::UNNAMED;

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
        let held = queue.admit(ME, pending()).await.expect("free");
        let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
        for name in 1..=3 {
            let (queue, done) = (Arc::clone(&queue), done.clone());
            let waits = Counts { in_flight: 1, queued: name };
            let ours = Arc::clone(&queue);
            tokio::spawn(async move {
                let slot = queue.admit(ME, pending()).await.expect("its turn comes");
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
        let held = queue.admit(ME, pending()).await.expect("free");
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.admit(ME, pending()).await.map(drop) }
        });
        until(&queue, Counts { in_flight: 1, queued: 1 }).await;
        assert_eq!(
            queue.admit(ME, pending()).await.err().map(|refused| refused.reason),
            Some(Reason::QueueFull)
        );
        waiting.abort();
        until(&queue, Counts { in_flight: 1, queued: 0 }).await;
        drop(held);
        assert_eq!(queue.counts(), Counts::default());
        assert!(queue.admit(ME, pending()).await.is_ok());
    }

    #[tokio::test]
    async fn a_slot_called_to_one_who_just_left_goes_to_the_next() {
        let queue = queue(1, 2, 60_000);
        let held = queue.admit(ME, pending()).await.expect("free");
        let Ok(Entered::Waits(gone, _)) = queue.arrive(ME) else { panic!("queued") };
        let Ok(Entered::Waits(mut next, _)) = queue.arrive(ME) else { panic!("queued") };
        drop(held);
        assert_eq!(queue.counts(), Counts { in_flight: 1, queued: 1 }, "the first was called");
        drop(gone);
        assert!((&mut next.called).await.is_ok(), "and never came: the second runs");
    }

    #[tokio::test]
    async fn the_wait_ends_with_queue_timeout() {
        let queue = queue(1, 1, 1);
        let _held = queue.admit(ME, pending()).await.expect("free");
        let refused = queue.admit(ME, pending()).await.err().expect("its time is over");
        assert_eq!(refused.reason, Reason::QueueTimeout);
        let told = (refused.retry_after_s, refused.queue_position);
        assert_eq!(told, (Some(1), Some(1)), "it waits no more itself");
        assert_eq!(queue.counts(), Counts { in_flight: 1, queued: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_told_to_come_back_later_than_in_ten_minutes() {
        let queue = queue(1, 1, 60_000);
        let held = queue.admit(ME, pending()).await.expect("free");
        tokio::time::advance(std::time::Duration::from_secs(3600)).await;
        drop(held);
        let _held = queue.admit(ME, pending()).await.expect("free");
        let mut waits = Box::pin(queue.admit(ME, pending()));
        assert!(futures_util::poll!(&mut waits).is_pending());
        let refused = queue.admit(ME, pending()).await.err().expect("full");
        assert_eq!((refused.reason, refused.retry_after_s), (Reason::QueueFull, Some(600)));
    }

    #[tokio::test]
    async fn giving_up_ends_the_wait_with_its_reason() {
        let queue = queue(1, 1, 60_000);
        let _held = queue.admit(ME, pending()).await.expect("free");
        let gave_up = queue.admit(ME, async { Reason::NotReady }).await;
        assert_eq!(gave_up.err(), Some(Reason::NotReady.into()));
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
                let client = ClientId::named(&[b'a' + (turn % 5) as u8]).expect("a name");
                if let Ok(slot) = queue.admit(client, wait).await {
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

    #[tokio::test]
    async fn who_loses_its_place_to_a_more_modest_client_is_told_that_the_queue_is_full() {
        let queue = queue(1, 2, 60_000);
        let held = queue.admit(ME, pending()).await.expect("free");
        let greedy: Vec<_> = (0..2)
            .map(|_| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move { queue.admit(ME, pending()).await })
            })
            .collect();
        until(&queue, Counts { in_flight: 1, queued: 2 }).await;
        let modest = ClientId::named(b"modest").expect("a name");
        let mut modest = Box::pin(queue.admit(modest, pending()));
        assert!(futures_util::poll!(&mut modest).is_pending());
        let mut ended = futures_util::future::select_all(greedy).await;
        let refused = ended.0.expect("ran").err().expect("one is displaced");
        assert_eq!((refused.reason, refused.queue_position), (Reason::QueueFull, Some(3)));
        drop(held);
        let first = ended.2.remove(0).await.expect("ran").expect("its turn");
        assert_eq!(first.position(), 1);
        drop(first);
        assert_eq!(modest.await.expect("its turn").position(), 2);
        assert_eq!(queue.counts(), Counts::default());
    }
}
