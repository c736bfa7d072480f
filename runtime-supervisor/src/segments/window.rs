//! Which parts of a file are asked for, and in which order their bytes leave: a bounded window
//! that moves over the file. It knows no network and no time.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::fetch::Part;

/// The window.
#[derive(Debug)]
pub(super) struct Window {
    /// In the order of the file. The next byte that leaves is in the first one.
    segments: VecDeque<Segment>,
    /// Offset of the first byte that no segment has.
    next: u64,
    /// Bytes of the file.
    size: u64,
    /// Bytes of a segment, but for the last one.
    length: u64,
    /// Segments there may be at once.
    room: usize,
    /// Parts whose bytes somebody else did not bring.
    given_back: Vec<Part>,
    /// Bytes that wait in it.
    waiting: u64,
}

#[derive(Debug)]
struct Segment {
    /// Offset of the next byte to come.
    at: u64,
    end: u64,
    pieces: VecDeque<Bytes>,
}

impl Window {
    /// A window of `room` segments over the file of `size` bytes; its first part is in hand.
    pub(super) fn after(first: Part, size: u64, length: u64, room: usize) -> Self {
        let mut window = Self {
            segments: VecDeque::with_capacity(room),
            next: first.first,
            size,
            length,
            room,
            given_back: Vec::new(),
            waiting: 0,
        };
        window.begin(first.end);
        window
    }

    /// The next part to ask for; `None` while there is no room, and when all are in hand.
    pub(super) fn take(&mut self) -> Option<Part> {
        let earliest = self.given_back.iter().enumerate().min_by_key(|(_, part)| **part);
        if let Some((index, _)) = earliest {
            return Some(self.given_back.swap_remove(index));
        }
        if self.next == self.size || self.segments.len() == self.room {
            return None;
        }
        let end = self.size.min(self.next.saturating_add(self.length));
        Some(self.begin(end))
    }

    fn begin(&mut self, end: u64) -> Part {
        let part = Part { first: self.next, end };
        self.segments.push_back(Segment { at: part.first, end, pieces: VecDeque::new() });
        self.next = end;
        part
    }

    /// Takes back what was not brought of a part.
    pub(super) fn give_back(&mut self, rest: Part) {
        self.given_back.push(rest);
    }

    /// Puts the bytes in their place; each offset is in the hands of one bringer.
    pub(super) fn put(&mut self, at: u64, piece: Bytes) {
        let length = length_of(&piece);
        // A whole segment ends where the next one begins.
        let is_place = |segment: &&mut Segment| segment.at == at && segment.end - at >= length;
        if let Some(segment) = self.segments.iter_mut().find(is_place) {
            segment.at += length;
            segment.pieces.push_back(piece);
            self.waiting += length;
        }
    }

    /// The next bytes of the file, if they are here.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        loop {
            let first = self.segments.front_mut()?;
            if let Some(piece) = first.pieces.pop_front() {
                self.waiting -= length_of(&piece);
                return Some(piece);
            }
            if first.at < first.end {
                return None;
            }
            self.segments.pop_front();
        }
    }

    /// Bytes that came and did not leave yet.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Whether the last byte has left.
    pub(super) fn is_done(&self) -> bool {
        self.next == self.size && self.segments.is_empty()
    }
}

fn length_of(piece: &Bytes) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever arrives when, in whatever pieces, and whoever gives up in the middle: the
        /// bytes leave in order, each once, and never more than the room wait.
        #[test]
        fn bytes_leave_in_order_whatever_the_order_of_arrival(
            size in 2u64..400,
            length in 1u64..60,
            room in 1usize..6,
            begin in 0u64..50,
            turns in prop::collection::vec((any::<prop::sample::Index>(), 1u64..40, 0u8..8), 1..2000),
        ) {
            let begin = begin.min(size - 1);
            let first = Part { first: begin, end: size.min(begin + length) };
            let mut window = Window::after(first, size, length, room);
            let mut hands = vec![first];
            let mut left = Vec::new();
            let mut turns = turns.into_iter().cycle();
            let mut patience = 20_000;
            while !window.is_done() {
                patience -= 1;
                prop_assert!(patience > 0, "bytes were lost");
                hands.extend(std::iter::from_fn(|| window.take()));
                prop_assert!(hands.len() <= room, "more in hand than there is room");
                let (which, some, luck) = turns.next().unwrap();
                if !hands.is_empty() {
                    let index = which.index(hands.len());
                    let part = &mut hands[index];
                    let end = part.end.min(part.first + some);
                    let piece: Vec<u8> = (part.first..end).map(|at| (at % 251) as u8).collect();
                    window.put(part.first, piece.into());
                    part.first = end;
                    if part.first == part.end {
                        hands.swap_remove(index);
                    } else if luck == 0 {
                        window.give_back(hands.swap_remove(index));
                    }
                }
                prop_assert!(window.waiting() <= length * room as u64);
                // Who takes the bytes is not always there; with nothing in hand there is no other turn.
                while (luck > 3 || hands.is_empty()) && let Some(piece) = window.pop() {
                    left.extend_from_slice(&piece);
                }
            }
            let expected: Vec<u8> = (begin..size).map(|at| (at % 251) as u8).collect();
            prop_assert_eq!(left, expected);
            prop_assert_eq!(window.waiting(), 0);
        }
    }

    #[test]
    fn what_was_given_back_first_is_asked_for_first() {
        let mut window = Window::after(Part { first: 0, end: 10 }, 100, 10, 4);
        let (second, third) = (window.take().unwrap(), window.take().unwrap());
        window.give_back(third);
        window.give_back(Part { first: 5, end: 10 });
        assert_eq!(window.take(), Some(Part { first: 5, end: 10 }));
        assert_eq!(window.take(), Some(third));
        assert_eq!(window.take(), Some(Part { first: 30, end: 40 }));
        assert_eq!(window.take(), None, "no room");
        assert_eq!(second, Part { first: 10, end: 20 });
    }
}
