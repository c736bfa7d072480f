//! Progress of one download: at most ten events a second, with the rate of the last seconds.

use std::time::Instant;

use runtime_api::v1;
use tokio::sync::mpsc;
use tonic::Status;

use crate::limits::PROGRESS_PAUSE;

/// Share of a new measurement in the rate that is shown.
const SMOOTHING: f64 = 0.2;

/// Where progress events go; a reader that does not keep up misses some.
#[derive(Debug)]
pub(crate) struct Progress {
    events: mpsc::Sender<Result<v1::ProvisionEvent, Status>>,
    total: u64,
    shown: Option<(Instant, u64)>,
    rate: Option<f64>,
}

impl Progress {
    /// Progress towards `total` bytes.
    pub(crate) fn new(
        events: mpsc::Sender<Result<v1::ProvisionEvent, Status>>,
        total: u64,
    ) -> Self {
        Self { events, total, shown: None, rate: None }
    }

    /// The download begins with this many bytes in place: they count for no rate.
    pub(crate) fn begins_at(&mut self, received: u64) {
        self.rate = None;
        self.send(Instant::now(), received);
    }

    /// So many bytes are there now.
    pub(crate) fn shows(&mut self, received: u64) {
        let now = Instant::now();
        let Some((then, before)) = self.shown else {
            self.send(now, received);
            return;
        };
        let elapsed = now.duration_since(then);
        if elapsed < PROGRESS_PAUSE && received < self.total {
            return;
        }
        if elapsed >= PROGRESS_PAUSE {
            let latest = as_f64(received.saturating_sub(before)) / elapsed.as_secs_f64();
            let rate = self.rate.unwrap_or(latest);
            self.rate = Some(rate + SMOOTHING * (latest - rate));
        }
        self.send(now, received);
    }

    fn send(&mut self, now: Instant, received: u64) {
        self.shown = Some((now, received));
        let event = v1::provision_event::Event::Progress(v1::Progress {
            received_bytes: received,
            total_bytes: self.total,
            bytes_per_second: whole(self.rate.unwrap_or(0.0)),
        });
        let _ = self.events.try_send(Ok(v1::ProvisionEvent { event: Some(event) }));
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes between two events, for a rate")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a non-negative rate, shown in whole bytes"
)]
fn whole(rate: f64) -> u64 {
    rate as u64
}
