//! Every bound of the front door's input and output; those of its decisions are in
//! `frontdoor_core::limits`.

use std::time::Duration;

/// From the accept, or from the first byte of a later request, to the end of the head.
pub(crate) const HEAD_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Between requests on one connection.
pub(crate) const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection that lost its place may take to close.
pub(crate) const CLOSING_TIMEOUT: Duration = Duration::from_millis(500);
/// Between two pieces of a body.
pub(crate) const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that takes no byte of its answer for so long is gone.
pub(crate) const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// After an answer that ends the connection: how long, and how much, is still read and thrown
/// away, so that the answer arrives instead of a reset.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
pub(crate) const LINGER_BYTES: usize = 1024 * 1024;
/// A connection to the runtime at rest is closed after so long at least, and twice as long at
/// most: before `llama-server` does it (5 s).
pub(crate) const IDLE_UPSTREAM: Duration = Duration::from_secs(2);
/// Bodies held in memory at one time, in multiples of the largest body allowed.
pub(crate) const BODIES_IN_MEMORY: u64 = 8;
/// Head and body of a request up to so many bytes are copied to leave in one `send`, which takes less
/// time than a `writev` (docs/endpoint.md); a longer body is not copied.
pub(crate) const SMALL_REQUEST_BYTES: usize = 2048;
/// Of an answer that its client does not take yet, beyond the piece that came last.
pub(crate) const ANSWER_BUFFER_BYTES: usize = 64 * 1024;
/// A body from this size on is checked off the executor.
pub(crate) const BODY_CHECKED_ASIDE_BYTES: usize = 64 * 1024;
/// The runtime's answer to the health question.
pub(crate) const HEALTH_ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// The whole probe through the own listener; longer than the runtime's part of it, so that a
/// runtime that hangs is told from a path that hangs.
pub(crate) const HEALTH_PROBE_TIMEOUT: Duration = Duration::from_secs(6);
/// Bytes of an answer to the health question that are read.
pub(crate) const HEALTH_ANSWER_BYTES: usize = 64 * 1024;
/// After a failure of the own path, which counts against nobody.
pub(crate) const PATH_RETRY: Duration = Duration::from_secs(1);
/// A runtime that died is known to be dead within 100 ms (contract 9); on a busy machine later.
pub(crate) const DEATH_KNOWN_WITHIN: Duration = Duration::from_millis(500);
/// While the runtime is ready its facts come at least every 500 ms; without any for so long they
/// are not believed any more.
pub(crate) const FACTS_STALE_AFTER: Duration = Duration::from_secs(3);
/// First and longest pause between two attempts to reach the supervisor.
pub(crate) const FOLLOW_RETRY_FIRST: Duration = Duration::from_millis(20);
pub(crate) const FOLLOW_RETRY_LONGEST: Duration = Duration::from_secs(1);
/// Health reports waiting to be sent.
pub(crate) const REPORTS_WAITING: usize = 64;
/// A watcher hears of changes at most, and without any change at least, so often.
pub(crate) const WATCH_SHORTEST: Duration = Duration::from_millis(20);
pub(crate) const WATCH_LONGEST: Duration = Duration::from_millis(500);
/// Bytes of one gRPC message.
pub(crate) const GRPC_MESSAGE_BYTES: usize = 64 * 1024;
/// After an error of `accept` that is not one connection's own.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
