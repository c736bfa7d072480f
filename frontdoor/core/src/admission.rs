//! Two bounds: requests at the runtime, and requests waiting for it, in order (contract 5).

use std::collections::{BTreeSet, VecDeque};

use crate::Reason;

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
pub struct TicketId(u64);

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
    in_flight: BTreeSet<u64>,
    queue: VecDeque<Waiting>,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    ticket: TicketId,
    deadline_ms: u64,
}

impl Admission {
    /// Nobody runs, nobody waits. Senseless bounds deny every arrival.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, in_flight: BTreeSet::new(), queue: VecDeque::new(), next: 0 }
    }

    /// A new request: a free slot, else a place in the queue.
    ///
    /// # Errors
    /// `queue_full` when both are taken; `malformed_admission_state` when the counts make no
    /// sense.
    pub fn arrive(&mut self, now_ms: u64) -> Result<Arrival, Reason> {
        self.queue.retain(|waiting| waiting.deadline_ms > now_ms);
        if !self.is_well_formed() {
            return Err(Reason::MalformedAdmissionState);
        }
        if self.has_free_slot() {
            return Ok(Arrival::Admitted(self.take_slot()));
        }
        if self.queue.len() >= self.bounds.queue_bound as usize {
            return Err(Reason::QueueFull);
        }
        let ticket = TicketId(self.take_id());
        let deadline_ms = now_ms.saturating_add(self.bounds.queue_timeout_ms);
        self.queue.push_back(Waiting { ticket, deadline_ms });
        Ok(Arrival::Queued { ticket, deadline_ms })
    }

    /// Gives a slot back; the oldest who still waits gets it.
    ///
    /// # Errors
    /// `no_in_flight_to_complete` when that slot is not out.
    #[expect(clippy::needless_pass_by_value, reason = "consuming the slot is what makes it once")]
    pub fn complete(&mut self, slot: Slot, now_ms: u64) -> Result<Vec<Promotion>, Reason> {
        if !self.in_flight.remove(&slot.0) {
            return Err(Reason::NoInFlightToComplete);
        }
        let mut promoted = Vec::new();
        while self.has_free_slot() {
            let Some(waiting) = self.queue.pop_front() else { break };
            if waiting.deadline_ms > now_ms {
                promoted.push(Promotion { ticket: waiting.ticket, slot: self.take_slot() });
            }
        }
        Ok(promoted)
    }

    /// A waiting request leaves, by its own will or at its deadline. Says whether it was there.
    pub fn leave(&mut self, ticket: TicketId) -> bool {
        let before = self.queue.len();
        self.queue.retain(|waiting| waiting.ticket != ticket);
        self.queue.len() < before
    }

    /// How full it is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Counts { in_flight: count(self.in_flight.len()), queued: count(self.queue.len()) }
    }

    fn has_free_slot(&self) -> bool {
        self.in_flight.len() < self.bounds.max_in_flight as usize
    }

    fn take_slot(&mut self) -> Slot {
        let id = self.take_id();
        self.in_flight.insert(id);
        Slot(id)
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
            && (self.queue.is_empty() || !self.has_free_slot())
            && self.in_flight.iter().all(|id| *id <= self.next)
            && self.queue.iter().all(|waiting| waiting.ticket.0 <= self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const BOUNDS: Bounds = Bounds { max_in_flight: 2, queue_bound: 2, queue_timeout_ms: 100 };

    fn admitted(admission: &mut Admission, now: u64) -> Slot {
        match admission.arrive(now) {
            Ok(Arrival::Admitted(slot)) => slot,
            other => panic!("not admitted: {other:?}"),
        }
    }

    fn queued(admission: &mut Admission, now: u64) -> (TicketId, u64) {
        match admission.arrive(now) {
            Ok(Arrival::Queued { ticket, deadline_ms }) => (ticket, deadline_ms),
            other => panic!("not queued: {other:?}"),
        }
    }

    #[test]
    fn slots_first_then_the_queue_then_queue_full() {
        let mut admission = Admission::new(BOUNDS);
        let _a = admitted(&mut admission, 0);
        let _b = admitted(&mut admission, 0);
        let _c = queued(&mut admission, 0);
        let _d = queued(&mut admission, 0);
        assert_eq!(admission.arrive(0).err(), Some(Reason::QueueFull));
        assert_eq!(admission.counts(), Counts { in_flight: 2, queued: 2 });
    }

    #[test]
    fn who_waited_longest_runs_next() {
        let mut admission = Admission::new(BOUNDS);
        let a = admitted(&mut admission, 0);
        let b = admitted(&mut admission, 0);
        let (first, _) = queued(&mut admission, 0);
        let (second, _) = queued(&mut admission, 0);
        let tickets =
            |promoted: &[Promotion]| promoted.iter().map(|p| p.ticket).collect::<Vec<_>>();
        let promoted = admission.complete(b, 1).expect("out");
        assert_eq!(tickets(&promoted), [first]);
        let promoted = admission.complete(a, 1).expect("out");
        assert_eq!(tickets(&promoted), [second]);
    }

    #[test]
    fn one_who_leaves_frees_its_place_and_is_never_promoted() {
        let mut admission = Admission::new(BOUNDS);
        let a = admitted(&mut admission, 0);
        let _b = admitted(&mut admission, 0);
        let (gone, _) = queued(&mut admission, 0);
        let (stays, _) = queued(&mut admission, 0);
        assert!(admission.leave(gone));
        assert!(!admission.leave(gone), "only once");
        let _another = queued(&mut admission, 0);
        assert_eq!(admission.complete(a, 1).expect("out")[0].ticket, stays);
    }

    #[test]
    fn a_wait_ends_exactly_at_its_deadline() {
        let mut admission = Admission::new(BOUNDS);
        let a = admitted(&mut admission, 0);
        let b = admitted(&mut admission, 0);
        let (_, deadline) = queued(&mut admission, 5);
        assert_eq!(deadline, 105);
        let (late, _) = queued(&mut admission, 6);
        assert_eq!(admission.complete(a, 105).expect("out")[0].ticket, late, "the first is over");
        assert_eq!(admission.complete(b, 106).expect("out"), [], "nobody waits");
    }

    #[test]
    fn those_whose_time_is_over_do_not_fill_the_queue() {
        let mut admission = Admission::new(BOUNDS);
        let _slots = [admitted(&mut admission, 0), admitted(&mut admission, 0)];
        let _waiting = [queued(&mut admission, 0), queued(&mut admission, 0)];
        assert_eq!(admission.arrive(99).err(), Some(Reason::QueueFull));
        let _fresh = queued(&mut admission, 100);
        assert_eq!(admission.counts().queued, 1);
    }

    #[test]
    fn a_slot_of_another_house_completes_nothing() {
        let mut other = Admission::new(Bounds { max_in_flight: 9, ..BOUNDS });
        let mut foreign = None;
        for _ in 0..5 {
            foreign = Some(admitted(&mut other, 0));
        }
        let mut admission = Admission::new(BOUNDS);
        let _mine = admitted(&mut admission, 0);
        let refused = admission.complete(foreign.expect("five"), 0);
        assert_eq!(refused.err(), Some(Reason::NoInFlightToComplete));
        assert_eq!(admission.counts().in_flight, 1);
    }

    #[test]
    fn senseless_bounds_deny() {
        for bounds in [Bounds { max_in_flight: 0, ..BOUNDS }, Bounds { queue_bound: 0, ..BOUNDS }] {
            let refused = Admission::new(bounds).arrive(0);
            assert_eq!(refused.err(), Some(Reason::MalformedAdmissionState));
        }
    }

    #[test]
    fn a_state_that_cannot_be_denies() {
        let mut too_many = Admission::new(BOUNDS);
        too_many.in_flight.extend([1, 2, 3]);
        too_many.next = 3;
        let mut from_the_future = Admission::new(BOUNDS);
        from_the_future.in_flight.insert(7);
        let mut overfull = Admission::new(BOUNDS);
        overfull.next = 9;
        overfull.in_flight.extend([8, 9]);
        overfull.queue.extend((1..4).map(|n| Waiting { ticket: TicketId(n), deadline_ms: 99 }));
        let mut unborn = Admission::new(BOUNDS);
        unborn.in_flight.extend([1, 2]);
        unborn.next = 2;
        unborn.queue.push_back(Waiting { ticket: TicketId(4), deadline_ms: 99 });
        let mut forgotten = Admission::new(BOUNDS);
        forgotten.next = 1;
        forgotten.queue.push_back(Waiting { ticket: TicketId(1), deadline_ms: 99 });
        for mut admission in [too_many, from_the_future, overfull, unborn, forgotten] {
            assert_eq!(admission.arrive(0).err(), Some(Reason::MalformedAdmissionState));
        }
    }

    #[derive(Debug, Clone)]
    enum Act {
        Arrive,
        Complete(usize),
        Leave(usize),
        Wait(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            3 => Just(Act::Arrive),
            2 => any::<usize>().prop_map(Act::Complete),
            1 => any::<usize>().prop_map(Act::Leave),
            1 => (0u64..60).prop_map(Act::Wait),
        ]
    }

    proptest! {
        /// Contract 5: every admitted request releases its slot exactly once, the bounds hold at
        /// every moment, and those who wait are served in order.
        #[test]
        fn slots_out_are_exactly_those_not_given_back(
            max in 1u32..5, bound in 1u32..5, acts in prop::collection::vec(act(), 1..200),
        ) {
            let mut admission = Admission::new(
                Bounds { max_in_flight: max, queue_bound: bound, queue_timeout_ms: 100 });
            let (mut now, mut out, mut waiting) = (0, Vec::new(), BTreeMap::new());
            for act in acts {
                match act {
                    Act::Arrive => match admission.arrive(now) {
                        Ok(Arrival::Admitted(slot)) => out.push(slot),
                        Ok(Arrival::Queued { ticket, deadline_ms }) => {
                            waiting.insert(ticket, deadline_ms);
                        }
                        Err(reason) => {
                            prop_assert_eq!(reason, Reason::QueueFull);
                            prop_assert_eq!(out.len(), max as usize);
                        }
                    },
                    Act::Complete(n) if !out.is_empty() => {
                        let slot = out.swap_remove(n % out.len());
                        for Promotion { ticket, slot } in admission.complete(slot, now).unwrap() {
                            let deadline = waiting.remove(&ticket).expect("was waiting");
                            prop_assert!(deadline > now);
                            let older = waiting.iter().any(|(t, d)| *t < ticket && *d > now);
                            prop_assert!(!older, "somebody older still waits");
                            out.push(slot);
                        }
                    }
                    Act::Leave(n) if !waiting.is_empty() => {
                        let ticket = *waiting.keys().nth(n % waiting.len()).expect("one");
                        waiting.remove(&ticket);
                        admission.leave(ticket);
                    }
                    Act::Complete(_) | Act::Leave(_) => {}
                    Act::Wait(ms) => now += ms,
                }
                waiting.retain(|_, deadline| *deadline > now);
                prop_assert_eq!(admission.counts().in_flight as usize, out.len());
                prop_assert!(out.len() <= max as usize && admission.counts().queued <= bound);
                prop_assert!(waiting.is_empty() || out.len() == max as usize, "a slot is wasted");
            }
            for slot in out {
                prop_assert!(admission.complete(slot, u64::MAX).is_ok());
            }
            prop_assert_eq!(admission.counts().in_flight, 0);
        }
    }
}
