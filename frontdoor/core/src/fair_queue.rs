//! Who waits: a line for each client, in its order of arrival. Turns go round the clients, one
//! request each, so that what a client waits for depends on how many clients there are, and not on
//! how much one of them asks (Nagle, RFC 970).

use std::collections::VecDeque;

use crate::admission::TicketId;
use crate::client::ClientId;

/// One waiting request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) ticket: TicketId,
    pub(crate) deadline_ms: u64,
}

/// The requests of one client, the oldest first; never none.
#[derive(Debug)]
struct Line {
    client: ClientId,
    waiting: VecDeque<Waiting>,
}

/// All lines; the one whose turn is next comes first.
#[derive(Debug, Default)]
pub(crate) struct FairQueue(VecDeque<Line>);

impl FairQueue {
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|line| line.waiting.len()).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.0.iter().flat_map(|line| &line.waiting)
    }

    /// Behind the client's own requests; a client that had none waits for its first turn.
    pub(crate) fn push(&mut self, client: ClientId, waiting: Waiting) {
        match self.0.iter_mut().find(|line| line.client == client) {
            Some(line) => line.waiting.push_back(waiting),
            None => self.0.push_back(Line { client, waiting: VecDeque::from([waiting]) }),
        }
    }

    /// The request whose turn it is; its client's next one waits for all others' turns.
    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let mut line = self.0.pop_front()?;
        let waiting = line.waiting.pop_front();
        if !line.waiting.is_empty() {
            self.0.push_back(line);
        }
        waiting
    }

    /// Keeps only those for whom `keep` holds.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Waiting) -> bool) {
        for line in &mut self.0 {
            line.waiting.retain(&keep);
        }
        self.0.retain(|line| !line.waiting.is_empty());
    }

    /// Makes a place for a client in a full queue: the newest request of the longest line goes,
    /// unless the client would then have no shorter line itself.
    pub(crate) fn shed_for(&mut self, client: ClientId) -> Option<TicketId> {
        let own = self.0.iter().find(|line| line.client == client);
        let own = own.map_or(0, |line| line.waiting.len());
        let longest = self.0.iter_mut().max_by_key(|line| line.waiting.len())?;
        if longest.waiting.len() <= own + 1 {
            return None;
        }
        longest.waiting.pop_back().map(|waiting| waiting.ticket)
    }

    /// The turn that this request would get, the next one being 1, if nobody came or went.
    pub(crate) fn position(&self, ticket: TicketId) -> Option<usize> {
        let (place, depth) = self.0.iter().enumerate().find_map(|(place, line)| {
            Some((place, line.waiting.iter().position(|waiting| waiting.ticket == ticket)?))
        })?;
        let ahead = |(other, line): (usize, &Line)| {
            line.waiting.len().min(if other <= place { depth + 1 } else { depth })
        };
        Some(self.0.iter().enumerate().map(ahead).sum())
    }
}
