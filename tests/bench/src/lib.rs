//! What the stand-in runtime and the load have in common: the questions, and the clock by which
//! a piece of a stream is timed from one process to the other.

/// Answered at once, in one piece.
pub const WHOLE: &str = "/v1/completions";
/// Answered by a stream of timed pieces.
pub const STREAM: &str = "/v1/chat/completions";
/// Never answered.
pub const SILENT: &str = "/v1/embeddings";
/// Answered with all that was asked: member `asked`, method and path to count.
pub const ASKED: &str = "/v1/models";

/// Microseconds of the machine's monotonic clock, the same for all processes.
#[must_use]
pub fn now_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    part(now.tv_sec) * 1_000_000 + part(now.tv_nsec) / 1000
}

/// The member of a piece that says when it was written.
pub const WRITTEN_AT: &str = "\"written_us\":";
