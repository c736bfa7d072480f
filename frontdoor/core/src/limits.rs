//! Every bound of the front door's decisions.

/// Bytes of a request line and its headers, the closing empty line included.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Header lines of one request; hyper's own default, so that both agree.
pub const MAX_HEADERS: usize = 100;
/// Digits of a `Content-Length`: enough for 10^18 bytes, too few to overflow 64 bits.
pub const MAX_LENGTH_DIGITS: usize = 18;
/// Requests a rate window may be configured to hold, as many as the settings allow; it keeps one
/// timestamp for each.
pub const MAX_RATE_REQUESTS: u32 = 1_000_000;
/// Health requests in one [`HEALTH_RATE_WINDOW_MS`]: the prober needs one in each second at most.
pub const HEALTH_RATE_REQUESTS: u32 = 120;
/// Length of the health credential's own rate window.
pub const HEALTH_RATE_WINDOW_MS: u64 = 60_000;
/// Seconds after which a refused client may try a full queue again, at least.
pub const QUEUE_RETRY_AFTER_S: u32 = 1;
/// The longest wait that `Retry-After` names.
pub const LONGEST_RETRY_AFTER_S: u32 = 600;
/// Bytes of a client's name behind the token.
pub const MAX_CLIENT_NAME_BYTES: usize = 32;
/// Of the time that requests hold a slot the newest one counts for one part in so many (the smoothing
/// of RFC 6298 section 2).
pub const HOLD_SMOOTHING: u64 = 8;
/// Containers that a JSON body may nest.
pub const MAX_JSON_DEPTH: usize = 64;
