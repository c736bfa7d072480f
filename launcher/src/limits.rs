//! Bounds of the launcher: counts and times.

use std::time::Duration;

/// Requests of one child served at one time.
pub(crate) const REQUESTS_AT_ONCE: usize = 64;
/// Names resolved at one time, each on a thread that may hang; further ones wait, within their
/// time limit.
pub(crate) const RESOLVED_AT_ONCE: usize = 16;
/// Longest one request may take; shorter than the child's own patience of 12 s.
pub(crate) const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Longest a name may take to resolve.
pub(crate) const RESOLVE_LIMIT: Duration = Duration::from_secs(5);
/// Longest one address may take to answer.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(4);
/// Addresses of one name that are tried.
pub(crate) const ADDRESSES_TRIED: usize = 4;
/// A child that lived this long starts again at once.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// Second and longest pause before a child that keeps dying is started again; the first is none.
pub(crate) const RESTART_PAUSE: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_secs(10));
/// What a stop may take beyond the drain time.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);
/// Longest that what the processes wrote at their end is waited for.
pub(crate) const LAST_WORDS_LIMIT: Duration = Duration::from_secs(1);
/// What the runtime adds to its out-of-memory score: the kernel takes it first.
pub(crate) const RUNTIME_OOM_SCORE: &str = "800";
/// Longest a stale runtime may take to end after KILL.
pub(crate) const RECLAIM_LIMIT: Duration = Duration::from_secs(10);
/// Longest that names of an earlier start are waited for, and the pause between two looks: the
/// kernel does not tell when a dying process lets go of a listener.
pub(crate) const STALE_LIMIT: Duration = Duration::from_secs(1);
pub(crate) const STALE_PAUSE: Duration = Duration::from_millis(10);
