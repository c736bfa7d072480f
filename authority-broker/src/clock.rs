//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch; 0 before it, where no session is valid for long and no metadata new.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
