//! Two bounds: requests at the runtime, and requests waiting for it (contract 5). The requests of
//! one client keep their order; clients take turns.

use std::collections::BTreeMap;

use crate::Reason;
use crate::client::ClientId;
use crate::fair_queue::{FairQueue, Waiting};
use crate::limits::HOLD_SMOOTHING;

/// The bounds; both counts must be positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Requests at the runtime at one time.
    pub max_in_flight: u32,
    /// Requests waiting.
    pub queue_bound: u32,
    /// Longest wait.
    pub queue_timeout_ms: u64,
}

/// A place at the runtime. It can be made only by an [`Admission`] and given back only once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a slot must be given back"]
pub struct Slot(u64);

/// Names one waiting request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TicketId(pub(crate) u64);

/// What becomes of a new request.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It may run now.
    Admitted(Slot),
    /// It waits, at most until the deadline.
    Queued {
        /// Its place.
        ticket: TicketId,
        /// When it must be told `queue_timeout`.
        deadline_ms: u64,
        /// Who lost its place for it, and must be told `queue_full`: the newest request of a
        /// client that has more of them waiting.
        displaced: Option<TicketId>,
    },
}

/// A waiting request that may run now.
#[derive(Debug, PartialEq, Eq)]
pub struct Promotion {
    /// Who.
    pub ticket: TicketId,
    /// Its place at the runtime.
    pub slot: Slot,
}

/// How full it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests at the runtime.
    pub in_flight: u32,
    /// Requests waiting.
    pub queued: u32,
}

/// Who runs and who waits.
#[derive(Debug)]
pub struct Admission {
    bounds: Bounds,
    /// Since when each slot is out.
    in_flight: BTreeMap<u64, u64>,
    queue: FairQueue,
    next: u64,
    /// How long a slot is held, smoothed.
    hold_ms: Option<u64>,
    /// Nobody runs who does not yet: whoever comes waits.
    is_closed: bool,
}

impl Admission {
    /// Nobody runs, nobody waits. Senseless bounds deny every arrival.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let (in_flight, queue) = (BTreeMap::new(), FairQueue::default());
        Self { bounds, in_flight, queue, next: 0, hold_ms: None, is_closed: false }
    }

    /// A new request: a free slot, else a place in the queue. In a full queue it gets the place of
    /// a client that would still have as many waiting as this one.
    ///
    /// # Errors
    /// `queue_full` when both are taken; `malformed_admission_state` when the counts make no
    /// sense.
    pub fn arrive(&mut self, client: ClientId, now_ms: u64) -> Result<Arrival, Reason> {
        self.queue.retain(|waiting| waiting.deadline_ms > now_ms);
        if !self.is_well_formed() {
            return Err(Reason::MalformedAdmissionState);
        }
        if self.has_free_slot() {
            return Ok(Arrival::Admitted(self.take_slot(now_ms)));
        }
        let is_full = self.queue.len() >= self.bounds.queue_bound as usize;
        let displaced = if is_full { self.queue.shed_for(client) } else { None };
        if is_full && displaced.is_none() {
            return Err(Reason::QueueFull);
        }
        let ticket = TicketId(self.take_id());
        let deadline_ms = now_ms.saturating_add(self.bounds.queue_timeout_ms);
        self.queue.push(client, Waiting { ticket, deadline_ms });
        Ok(Arrival::Queued { ticket, deadline_ms, displaced })
    }

    /// Gives a slot back; the one whose turn it is, of those who still wait, gets it.
    ///
    /// # Errors
    /// `no_in_flight_to_complete` when that slot is not out.
    #[expect(clippy::needless_pass_by_value, reason = "consuming the slot is what makes it once")]
    pub fn complete(&mut self, slot: Slot, now_ms: u64) -> Result<Vec<Promotion>, Reason> {
        let since_ms = self.in_flight.remove(&slot.0).ok_or(Reason::NoInFlightToComplete)?;
        self.learn(now_ms.saturating_sub(since_ms));
        Ok(self.promote(now_ms))
    }

    /// From now on whoever comes waits, free slots or not: what they want is being fetched.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// The slots are there again; those whose turn it is get them.
    pub fn open(&mut self, now_ms: u64) -> Vec<Promotion> {
        self.is_closed = false;
        self.promote(now_ms)
    }

    fn promote(&mut self, now_ms: u64) -> Vec<Promotion> {
        let mut promoted = Vec::new();
        while self.has_free_slot() {
            let Some(waiting) = self.queue.pop() else { break };
            if waiting.deadline_ms > now_ms {
                let slot = self.take_slot(now_ms);
                promoted.push(Promotion { ticket: waiting.ticket, slot });
            }
        }
        promoted
    }

    /// A waiting request leaves, by its own will or at its deadline. Says whether it was there.
    pub fn leave(&mut self, ticket: TicketId) -> bool {
        let before = self.queue.len();
        self.queue.retain(|waiting| waiting.ticket != ticket);
        self.queue.len() < before
    }

    /// The turn that a waiting request has, the next one being 1, if nobody comes or goes.
    #[must_use]
    pub fn position(&self, ticket: TicketId) -> Option<u32> {
        self.queue.position(ticket).map(count)
    }

    /// About how long a request of such a position waits, in milliseconds; `None` before the first
    /// slot was given back. 0 is the position of one that need not wait.
    #[must_use]
    pub fn wait_ms(&self, position: u32) -> Option<u64> {
        let turns = self.hold_ms?.saturating_mul(u64::from(position));
        Some(turns.div_ceil(u64::from(self.bounds.max_in_flight.max(1))))
    }

    /// The position that a request would get which comes now, at worst.
    #[must_use]
    pub fn next_position(&self) -> u32 {
        if self.has_free_slot() { 0 } else { count(self.queue.len()).saturating_add(1) }
    }

    /// How full it is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { in_flight: count(self.in_flight.len()), queued: count(self.queue.len()) }
    }

    fn has_free_slot(&self) -> bool {
        !self.is_closed && self.in_flight.len() < self.bounds.max_in_flight as usize
    }

    fn take_slot(&mut self, now_ms: u64) -> Slot {
        let id = self.take_id();
        self.in_flight.insert(id, now_ms);
        Slot(id)
    }

    fn learn(&mut self, held_ms: u64) {
        let known = self.hold_ms.unwrap_or(held_ms);
        let sum = known.saturating_mul(HOLD_SMOOTHING - 1).saturating_add(held_ms);
        self.hold_ms = Some(sum / HOLD_SMOOTHING);
    }

    fn take_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn is_well_formed(&self) -> bool {
        self.bounds.max_in_flight > 0
            && self.bounds.queue_bound > 0
            && self.in_flight.len() <= self.bounds.max_in_flight as usize
            && self.queue.len() <= self.bounds.queue_bound as usize
            && (self.queue.len() == 0 || !self.has_free_slot())
            && self.in_flight.keys().all(|id| *id <= self.next)
            && self.queue.iter().all(|waiting| waiting.ticket.0 <= self.next)
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
