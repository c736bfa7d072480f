//! What is written down of one request: its id, and at the end of its answer how it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use frontdoor_core::{Reason, routes};
use http::HeaderValue;

use crate::door::Door;

/// Names requests: different from those of every other start, and in order within this one.
#[derive(Debug)]
pub(crate) struct RequestIds {
    start: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// Without randomness no front door starts (its health credential needs it too).
    pub(crate) fn of_this_start() -> Self {
        Self { start: getrandom::u64().unwrap_or_default(), next: AtomicU64::new(0) }
    }

    /// 24 hexadecimal digits.
    pub(crate) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}{number:08x}", self.start)
    }
}

/// One request, from its head to the end of its answer; dropping it closes the account.
pub(crate) struct Account {
    door: Arc<Door>,
    id: String,
    route: usize,
    is_decided: bool,
    began: Instant,
    bytes: u64,
}

impl Account {
    pub(crate) fn open(door: Arc<Door>, path: &str) -> Self {
        let id = door.ids.next();
        let route = routes::name_index(path);
        Self { door, id, route, is_decided: false, began: Instant::now(), bytes: 0 }
    }

    /// For `X-Request-Id`.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.id).ok()
    }

    /// What was decided. A failure behind the guard is logged: whoever has no token writes no
    /// line, however often it asks.
    pub(crate) fn decide(&mut self, reason: Reason) {
        self.is_decided = true;
        self.door.figures.count(self.route, reason);
        if matches!(reason.status(), 500..) {
            tracing::warn!(
                http.request_id = self.id.as_str(),
                http.route = routes::names().nth(self.route).unwrap_or_default(),
                http.status = reason.status(),
                reason = reason.as_str(),
                "a request was not served"
            );
        }
    }

    /// A frame of the answer's body went out. A runtime that streams sends each event as a frame.
    pub(crate) fn add(&mut self, frame: &[u8]) {
        self.bytes += frame.len() as u64;
        if frame.starts_with(b"data:") {
            self.door.figures.streamed();
        }
    }

    /// The runtime broke off in the middle of its answer.
    pub(crate) fn broke(&self) {
        self.door.figures.broke_off();
        tracing::warn!(http.request_id = self.id.as_str(), "an answer of the runtime broke off");
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let is_panic = std::thread::panicking();
        // What panicked says so by itself, but not for which request.
        if is_panic {
            tracing::error!(http.request_id = self.id.as_str(), "a request ended in a panic");
        }
        if !self.is_decided {
            let reason = if is_panic { Reason::Panicked } else { Reason::ClientLeft };
            self.door.figures.count(self.route, reason);
        }
        self.door.figures.ended(self.began.elapsed(), self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::RequestIds;

    #[test]
    fn the_ids_of_one_start_are_in_order_and_none_is_of_another_start() {
        let (one, other) = (RequestIds::of_this_start(), RequestIds::of_this_start());
        let ids = [one.next(), one.next(), one.next()];
        assert!(ids.is_sorted() && ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
        assert_ne!(ids[0], other.next());
    }
}
