//! The front door's own figures: counted here, read by the status and by `/metrics`.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use frontdoor_core::{Reason, routes};

use crate::door::Door;
use crate::runtime_facts;

/// Upper bounds of the histogram's buckets, in milliseconds.
const BUCKETS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 30_000];

/// Requests that were not served and are remembered.
const LAST_REFUSALS: usize = 32;

/// Counters since the start of this process.
#[derive(Debug)]
pub(crate) struct Figures {
    /// By reason within route.
    requests: Vec<AtomicU64>,
    duration: Histogram,
    answer_bytes: AtomicU64,
    question_bytes: AtomicU64,
    connections: AtomicU64,
    admission: Histogram,
    first_byte: Histogram,
    streamed_pieces: AtomicU64,
    broken_answers: AtomicU64,
    /// When, the route by its place in [`routes::names`], why; the newest in front.
    last_refusals: Mutex<VecDeque<(Instant, usize, Reason)>>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            requests: routes::names()
                .flat_map(|_| Reason::ALL.iter().map(|_| AtomicU64::new(0)))
                .collect(),
            duration: Histogram::default(),
            answer_bytes: AtomicU64::new(0),
            question_bytes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            admission: Histogram::default(),
            first_byte: Histogram::default(),
            streamed_pieces: AtomicU64::new(0),
            broken_answers: AtomicU64::new(0),
            last_refusals: Mutex::default(),
        }
    }
}

impl Figures {
    /// One request; the route by its place in [`routes::names`].
    pub(crate) fn count(&self, route: usize, reason: Reason) {
        let place = Reason::ALL.iter().position(|known| *known == reason);
        let counter = place.and_then(|place| self.requests.get(route * Reason::ALL.len() + place));
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if reason != Reason::Ok {
            let mut last = self.last_refusals.lock().unwrap_or_else(PoisonError::into_inner);
            last.truncate(LAST_REFUSALS - 1);
            last.push_front((Instant::now(), route, reason));
        }
    }

    /// A piece of a streamed answer went out.
    pub(crate) fn streamed(&self) {
        self.streamed_pieces.fetch_add(1, Ordering::Relaxed);
    }

    /// The runtime broke off in the middle of an answer, or died before one.
    pub(crate) fn broke_off(&self) {
        self.broken_answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Pieces of streamed answers so far.
    pub(crate) fn streamed_pieces(&self) -> u64 {
        self.streamed_pieces.load(Ordering::Relaxed)
    }

    /// The last requests that were not served, newest first: how long ago, route, reason.
    pub(crate) fn last_refusals(&self) -> Vec<(Duration, &'static str, Reason)> {
        let last = self.last_refusals.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter()
            .map(|(when, route, reason)| {
                (when.elapsed(), routes::names().nth(*route).unwrap_or_default(), *reason)
            })
            .collect()
    }

    /// Reason code to count, over all routes, of those that came up.
    pub(crate) fn requests(&self) -> HashMap<String, u64> {
        let mut counts = HashMap::new();
        for (_, reason, count) in self.counted() {
            *counts.entry(reason.as_str().to_owned()).or_default() += count;
        }
        counts
    }

    /// Route, reason and count of those that came up.
    fn counted(&self) -> impl Iterator<Item = (&'static str, Reason, u64)> {
        let pairs = routes::names()
            .flat_map(|route| Reason::ALL.iter().map(move |reason| (route, *reason)));
        pairs
            .zip(&self.requests)
            .map(|((route, reason), count)| (route, reason, count.load(Ordering::Relaxed)))
            .filter(|(_, _, count)| *count > 0)
    }

    /// An answer ended, whole or not.
    pub(crate) fn ended(&self, time: Duration, bytes: u64) {
        self.duration.observe(time);
        self.answer_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A body was read and found good.
    pub(crate) fn was_asked(&self, bytes: u64) {
        self.question_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A connection is open for as long as the value lives.
    pub(crate) fn connection(&self) -> OpenConnection<'_> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self)
    }

    pub(crate) fn waited_for_a_slot(&self, time: Duration) {
        self.admission.observe(time);
    }

    pub(crate) fn waited_for_the_runtime(&self, time: Duration) {
        self.first_byte.observe(time);
    }
}

pub(crate) struct OpenConnection<'a>(&'a Figures);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS_MS.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    fn observe(&self, time: Duration) {
        for (bucket, bound) in self.buckets.iter().zip(BUCKETS_MS) {
            if time <= Duration::from_millis(bound) {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }
}

/// Everything in the Prometheus text format, version 0.0.4.
pub(crate) fn render(door: &Door) -> String {
    let mut page = Page::default();
    let figures = &door.figures;
    page.head("frontdoor_requests_total", "counter", "Requests by route and outcome.");
    let mut upstream_errors = figures.broken_answers.load(Ordering::Relaxed);
    for (route, reason, count) in figures.counted() {
        let label = format!("{{route=\"{route}\",reason=\"{}\"}}", reason.as_str());
        page.line(&format!("frontdoor_requests_total{label}"), count);
        if matches!(reason, Reason::RuntimeUnreachable | Reason::RuntimeFailed | Reason::PathFailed)
        {
            upstream_errors += count;
        }
    }
    let help = "Requests that the runtime did not answer, or not to the end.";
    page.counter("frontdoor_upstream_errors_total", help, upstream_errors);
    let bytes = figures.question_bytes.load(Ordering::Relaxed);
    page.counter("frontdoor_request_bytes_total", "Bytes of bodies that passed.", bytes);
    let bytes = figures.answer_bytes.load(Ordering::Relaxed);
    page.counter("frontdoor_response_bytes_total", "Bytes of answers' bodies.", bytes);
    let counts = door.queue.counts();
    let connections = figures.connections.load(Ordering::Relaxed);
    page.gauge("frontdoor_connections", "Open client connections.", connections);
    page.gauge("frontdoor_in_flight", "Requests at the runtime.", counts.in_flight);
    page.gauge("frontdoor_queued", "Requests waiting for a slot.", counts.queued);
    let available = u8::from(door.availability().is_available());
    page.gauge("frontdoor_available", "Whether nothing is missing.", available);
    if let Some(age_ms) = door.health_age_ms() {
        let help = "Age of the last end-to-end success.";
        page.gauge("frontdoor_health_age_milliseconds", help, age_ms);
    }
    if let Some(followed) = door.facts().borrow().as_ref() {
        let seen = runtime_facts::observation(&followed.facts);
        page.gauge("runtime_resident_bytes", "Resident memory of the runtime.", seen.ram_bytes);
        page.gauge("runtime_gpu_bytes", "GPU memory, device aggregate.", seen.vram_bytes);
        page.gauge("runtime_cpu_percent", "Of the whole machine.", seen.cpu_percent);
    }
    let waits = "Time from arrival at the gate to a slot.";
    page.histogram("frontdoor_admission_seconds", waits, &figures.admission);
    let answers = "Time from a slot to the head of the runtime's answer.";
    page.histogram("frontdoor_first_byte_seconds", answers, &figures.first_byte);
    let whole = "Time from a request's head to the end of its answer.";
    page.histogram("frontdoor_duration_seconds", whole, &figures.duration);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.push_str(&format!("{name} {value}\n"));
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(name, value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, "gauge", help);
        self.line(name, value);
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people, of sums below 2^52")]
    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        for (bucket, bound) in histogram.buckets.iter().zip(BUCKETS_MS) {
            let label = format!("{{le=\"{}\"}}", bound as f64 / 1e3);
            self.line(&format!("{name}_bucket{label}"), bucket.load(Ordering::Relaxed));
        }
        let count = histogram.count.load(Ordering::Relaxed);
        self.line(&format!("{name}_bucket{{le=\"+Inf\"}}"), count);
        let sum = histogram.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        self.line(&format!("{name}_sum"), sum);
        self.line(&format!("{name}_count"), count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_refusals_are_remembered_newest_first_and_no_more_than_that() {
        let figures = Figures::default();
        figures.count(0, Reason::Ok);
        assert!(figures.last_refusals().is_empty());
        for _ in 0..2 * LAST_REFUSALS {
            figures.count(0, Reason::InvalidToken);
        }
        figures.count(1, Reason::CrossSiteForbidden);
        let last = figures.last_refusals();
        assert_eq!(last.len(), LAST_REFUSALS);
        assert_eq!(last[0].2, Reason::CrossSiteForbidden);
        assert_eq!(last[1].2, Reason::InvalidToken);
        assert_eq!(Some(last[0].1), routes::names().nth(1));
    }

    #[test]
    fn a_histogram_counts_into_every_bucket_that_is_no_smaller() {
        let histogram = Histogram::default();
        for micros in [500, 1000, 1001, 7000, 40_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut page = Page::default();
        page.histogram("times", "Of all kinds.", &histogram);
        let buckets = [
            ("0.001", 2),
            ("0.002", 3),
            ("0.005", 3),
            ("0.01", 4),
            ("0.025", 4),
            ("0.05", 4),
            ("0.1", 4),
            ("0.25", 4),
            ("0.5", 4),
            ("1", 4),
            ("5", 4),
            ("30", 4),
            ("+Inf", 5),
        ];
        let buckets = buckets.map(|(le, count)| format!("times_bucket{{le=\"{le}\"}} {count}\n"));
        let head = "# HELP times Of all kinds.\n# TYPE times histogram\n";
        let wanted = [head, &buckets.concat(), "times_sum 40.009501\ntimes_count 5\n"].concat();
        assert_eq!(page.0, wanted);
    }
}
