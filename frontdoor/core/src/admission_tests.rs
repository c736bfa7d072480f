//! The bounds, the order and the turns (contract 5).

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const BOUNDS: Bounds = Bounds { max_in_flight: 2, queue_bound: 2, queue_timeout_ms: 100 };

fn admitted(admission: &mut Admission, now: u64) -> Slot {
    match admission.arrive(ClientId::UNNAMED, now) {
        Ok(Arrival::Admitted(slot)) => slot,
        other => panic!("not admitted: {other:?}"),
    }
}

fn queued(admission: &mut Admission, now: u64) -> (TicketId, u64) {
    match admission.arrive(ClientId::UNNAMED, now) {
        Ok(Arrival::Queued { ticket, deadline_ms, displaced: None }) => (ticket, deadline_ms),
        other => panic!("not queued: {other:?}"),
    }
}

fn client(number: u8) -> ClientId {
    ClientId::named(&[b'a' + number]).expect("a name")
}

fn queued_of(admission: &mut Admission, number: u8) -> TicketId {
    match admission.arrive(client(number), 0) {
        Ok(Arrival::Queued { ticket, displaced: None, .. }) => ticket,
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
    assert_eq!(admission.arrive(ClientId::UNNAMED, 0).err(), Some(Reason::QueueFull));
    assert_eq!(admission.counts(), Counts { in_flight: 2, queued: 2 });
}

#[test]
fn who_waited_longest_runs_next() {
    let mut admission = Admission::new(BOUNDS);
    let a = admitted(&mut admission, 0);
    let b = admitted(&mut admission, 0);
    let (first, _) = queued(&mut admission, 0);
    let (second, _) = queued(&mut admission, 0);
    let tickets = |promoted: &[Promotion]| promoted.iter().map(|p| p.ticket).collect::<Vec<_>>();
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
    assert_eq!(admission.arrive(ClientId::UNNAMED, 99).err(), Some(Reason::QueueFull));
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
        let refused = Admission::new(bounds).arrive(ClientId::UNNAMED, 0);
        assert_eq!(refused.err(), Some(Reason::MalformedAdmissionState));
    }
}

#[test]
fn a_state_that_cannot_be_denies() {
    let waiting = |n| Waiting { ticket: TicketId(n), deadline_ms: 99 };
    let mut too_many = Admission::new(BOUNDS);
    too_many.in_flight.extend([(1, 0), (2, 0), (3, 0)]);
    too_many.next = 3;
    let mut from_the_future = Admission::new(BOUNDS);
    from_the_future.in_flight.insert(7, 0);
    let mut overfull = Admission::new(BOUNDS);
    overfull.next = 9;
    overfull.in_flight.extend([(8, 0), (9, 0)]);
    for n in 1..4 {
        overfull.queue.push(ClientId::UNNAMED, waiting(n));
    }
    let mut unborn = Admission::new(BOUNDS);
    unborn.in_flight.extend([(1, 0), (2, 0)]);
    unborn.next = 2;
    unborn.queue.push(ClientId::UNNAMED, waiting(4));
    let mut forgotten = Admission::new(BOUNDS);
    forgotten.next = 1;
    forgotten.queue.push(ClientId::UNNAMED, waiting(1));
    for mut admission in [too_many, from_the_future, overfull, unborn, forgotten] {
        assert_eq!(
            admission.arrive(ClientId::UNNAMED, 0).err(),
            Some(Reason::MalformedAdmissionState)
        );
    }
}

#[test]
fn a_client_that_asks_much_waits_behind_one_that_asks_little() {
    let mut admission = Admission::new(Bounds { max_in_flight: 1, queue_bound: 9, ..BOUNDS });
    let mut slot = admitted(&mut admission, 0);
    let greedy: Vec<_> = (0..4).map(|_| queued_of(&mut admission, 0)).collect();
    let modest = [queued_of(&mut admission, 1), queued_of(&mut admission, 1)];
    let wanted = [greedy[0], modest[0], greedy[1], modest[1], greedy[2], greedy[3]];
    let places: Vec<_> = wanted.iter().map(|ticket| admission.position(*ticket)).collect();
    assert_eq!(places, (1..=6).map(Some).collect::<Vec<_>>());
    for ticket in wanted {
        assert_eq!(admission.position(ticket), Some(1));
        let promotion = admission.complete(slot, 1).expect("out").remove(0);
        assert_eq!(promotion.ticket, ticket);
        slot = promotion.slot;
    }
    assert_eq!(admission.position(wanted[5]), None);
}

#[test]
fn a_full_queue_makes_place_for_who_has_less_in_it_and_for_nobody_else() {
    let mut admission = Admission::new(Bounds { max_in_flight: 1, queue_bound: 4, ..BOUNDS });
    let _slot = admitted(&mut admission, 0);
    let greedy: Vec<_> = (0..4).map(|_| queued_of(&mut admission, 0)).collect();
    assert_eq!(admission.arrive(client(0), 0).err(), Some(Reason::QueueFull));
    let mut displaced_by = |number| match admission.arrive(client(number), 0) {
        Ok(Arrival::Queued { displaced, .. }) => displaced,
        _ => None,
    };
    assert_eq!(displaced_by(1), Some(greedy[3]), "the newest of the longest line");
    assert_eq!(displaced_by(1), Some(greedy[2]), "as many as the other");
    assert_eq!(displaced_by(1), None, "and no more than the other");
    assert!(displaced_by(2).is_some());
    assert_eq!(admission.counts().queued, 4);
}

#[test]
fn the_wait_is_told_from_how_long_slots_are_held() {
    let mut admission = Admission::new(BOUNDS);
    assert_eq!((admission.wait_ms(1), admission.next_position()), (None, 0));
    let slot = admitted(&mut admission, 0);
    assert_eq!(admission.complete(slot, 80).expect("out"), []);
    assert_eq!(admission.wait_ms(0), Some(0));
    assert_eq!((admission.wait_ms(1), admission.wait_ms(3)), (Some(40), Some(120)), "two slots");
    let slot = admitted(&mut admission, 100);
    assert_eq!(admission.complete(slot, 100).expect("out"), []);
    assert_eq!(admission.wait_ms(2), Some(70), "the newest counts for an eighth");
    let _slots = [admitted(&mut admission, 100), admitted(&mut admission, 100)];
    assert_eq!(admission.next_position(), 1);
}

#[test]
fn who_comes_while_it_is_closed_waits_in_turn_and_runs_when_it_opens() {
    let mut admission = Admission::new(BOUNDS);
    let running = admitted(&mut admission, 0);
    admission.close();
    let (first, _) = queued(&mut admission, 0);
    let (second, _) = queued(&mut admission, 50);
    assert_eq!(admission.arrive(ClientId::UNNAMED, 0).err(), Some(Reason::QueueFull));
    assert_eq!(admission.position(second), Some(2));
    assert_eq!(admission.complete(running, 60).expect("out"), [], "nobody runs in its place");
    assert_eq!(admission.counts(), Counts { in_flight: 0, queued: 2 });
    let promoted = admission.open(99);
    assert_eq!(promoted.iter().map(|p| p.ticket).collect::<Vec<_>>(), [first, second]);
    admission.close();
    let (late, deadline) = queued(&mut admission, 100);
    assert!(admission.leave(late), "who waits may leave");
    queued(&mut admission, 100);
    assert_eq!(admission.open(deadline), [], "a wait that is over is over");
}

#[derive(Debug, Clone)]
enum Act {
    Close,
    Open,
    Arrive(u8),
    Complete(usize),
    Leave(usize),
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        // The first client asks as much as all others together.
        3 => prop_oneof![Just(0), 1u8..4].prop_map(Act::Arrive),
        2 => any::<usize>().prop_map(Act::Complete),
        1 => any::<usize>().prop_map(Act::Leave),
        1 => (0u64..60).prop_map(Act::Wait),
        1 => Just(Act::Close),
        1 => Just(Act::Open),
    ]
}

/// One that waits, as the test sees it: when it must go, of which client it is, and how many of
/// each client were served since it came.
struct Seen {
    deadline_ms: u64,
    client: u8,
    /// Of its own client, ahead of it when it came.
    ahead: usize,
    passed_by: [usize; 4],
}

/// Admission, and beside it who must be in which place.
struct Model {
    admission: Admission,
    out: Vec<Slot>,
    waiting: BTreeMap<TicketId, Seen>,
    now: u64,
    is_closed: bool,
}

impl Model {
    fn arrive(&mut self, number: u8, max: u32) -> Result<(), TestCaseError> {
        let own = |seen: &BTreeMap<TicketId, Seen>, number| {
            seen.values().filter(|seen| seen.client == number).count()
        };
        let ahead = own(&self.waiting, number);
        match self.admission.arrive(client(number), self.now) {
            Ok(Arrival::Admitted(slot)) => self.out.push(slot),
            Ok(Arrival::Queued { ticket, deadline_ms, displaced }) => {
                if let Some(displaced) = displaced {
                    let lost = self.waiting.remove(&displaced).expect("was waiting");
                    let left = own(&self.waiting, lost.client);
                    prop_assert!(lost.client != number && left > ahead, "no worse off than it");
                }
                let seen = Seen { deadline_ms, client: number, ahead, passed_by: [0; 4] };
                self.waiting.insert(ticket, seen);
            }
            Err(reason) => {
                prop_assert_eq!(reason, Reason::QueueFull);
                prop_assert!(self.is_closed || self.out.len() == max as usize);
                let longest = (0..4).map(|number| own(&self.waiting, number)).max();
                prop_assert!(longest <= Some(ahead + 1), "a greedier one waits");
            }
        }
        Ok(())
    }

    fn complete(&mut self, n: usize) -> Result<(), TestCaseError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let slot = self.out.swap_remove(n % self.out.len());
        let promoted = self.admission.complete(slot, self.now).unwrap();
        prop_assert!(!self.is_closed || promoted.is_empty(), "let in while it was closed");
        self.run(promoted)
    }

    fn run(&mut self, promoted: Vec<Promotion>) -> Result<(), TestCaseError> {
        for Promotion { ticket, slot } in promoted {
            let served = self.waiting.remove(&ticket).expect("was waiting");
            prop_assert!(served.deadline_ms > self.now);
            for (other, seen) in &mut self.waiting {
                prop_assert!(seen.client != served.client || ticket < *other, "out of order");
                let passed_by = &mut seen.passed_by[usize::from(served.client)];
                *passed_by += 1;
                prop_assert!(*passed_by <= seen.ahead + 1, "passed by out of turn");
            }
            self.out.push(slot);
        }
        Ok(())
    }

    fn leave(&mut self, n: usize) {
        if let Some(ticket) = self.waiting.keys().nth(n % self.waiting.len().max(1)).copied() {
            self.waiting.remove(&ticket);
            assert!(self.admission.leave(ticket));
        }
    }

    /// Every place from 1 on is taken once, and within a client they are in order.
    fn positions_are_whole(&self) -> Result<(), TestCaseError> {
        let place = |ticket: &TicketId| self.admission.position(*ticket).expect("it waits");
        let mut places: Vec<_> = self.waiting.keys().map(place).collect();
        places.sort_unstable();
        let wanted: Vec<_> = (1..).take(places.len()).collect();
        prop_assert_eq!(places, wanted);
        for number in 0..4 {
            let own = self.waiting.iter().filter(|(_, seen)| seen.client == number);
            let own: Vec<_> = own.map(|(ticket, _)| place(ticket)).collect();
            prop_assert!(own.is_sorted());
        }
        Ok(())
    }
}

proptest! {
    /// Contract 5: every admitted request releases its slot exactly once, the bounds hold at
    /// every moment, those of one client are served in order, and nobody is passed by another
    /// client more often than it is that client's turn.
    #[test]
    fn slots_out_are_exactly_those_not_given_back_and_clients_take_turns(
        max in 1u32..5, bound in 1u32..9, acts in prop::collection::vec(act(), 1..200),
    ) {
        let admission = Admission::new(
            Bounds { max_in_flight: max, queue_bound: bound, queue_timeout_ms: 100 });
        let (out, waiting) = (Vec::new(), BTreeMap::new());
        let mut model = Model { admission, out, waiting, now: 0, is_closed: false };
        for act in acts {
            match act {
                Act::Close => {
                    model.is_closed = true;
                    model.admission.close();
                }
                Act::Open => {
                    model.is_closed = false;
                    let promoted = model.admission.open(model.now);
                    model.run(promoted)?;
                }
                Act::Arrive(number) => model.arrive(number, max)?,
                Act::Complete(n) => model.complete(n)?,
                Act::Leave(n) => model.leave(n),
                Act::Wait(ms) => {
                    model.now += ms;
                    let now = model.now;
                    model.waiting.retain(|_, seen| seen.deadline_ms > now);
                    model.admission.queue.retain(|waiting| waiting.deadline_ms > now);
                }
            }
            model.positions_are_whole()?;
            let counts = model.admission.counts();
            prop_assert_eq!(counts.in_flight as usize, model.out.len());
            prop_assert_eq!(counts.queued as usize, model.waiting.len());
            prop_assert!(model.out.len() <= max as usize && counts.queued <= bound);
            let is_busy = model.out.len() == max as usize;
            let must_wait = is_busy || model.is_closed;
            prop_assert!(model.waiting.is_empty() || must_wait, "a slot is wasted");
        }
        for slot in std::mem::take(&mut model.out) {
            prop_assert!(model.admission.complete(slot, u64::MAX).is_ok());
        }
        prop_assert_eq!(model.admission.counts().in_flight, 0);
    }
}
