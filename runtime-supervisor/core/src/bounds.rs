//! Every bound that the decisions use, in one place.

/// Redirects followed for one request (contract 8).
pub const MAX_REDIRECTS: u32 = 5;
/// Bytes of a URL.
pub const MAX_URL_BYTES: usize = 8192;
/// Allowed sources and URLs of one artifact.
pub const MAX_SOURCES: usize = 64;
/// Bytes of an artifact's id.
pub const MAX_ID_BYTES: usize = 128;
/// Crashes within [`CRASH_WINDOW_MS`] that stop the runtime until a person acts (contract 9).
pub const MAX_CRASHES: usize = 5;
/// Length of the crash window in milliseconds.
pub const CRASH_WINDOW_MS: u64 = 5 * 60 * 1000;
/// First pause before a restart, in milliseconds.
pub const FIRST_BACKOFF_MS: u64 = 250;
/// Longest pause before a restart, in milliseconds.
pub const LONGEST_BACKOFF_MS: u64 = 30_000;
/// Failed health probes in a row that end a ready runtime (contract 9).
pub const MAX_HEALTH_FAILURES: u32 = 3;
/// Entries of a runtime's archive.
pub const MAX_ARCHIVE_ENTRIES: usize = 4096;
/// Segments of a name in it.
pub const MAX_ARCHIVE_DEPTH: usize = 8;
/// Bytes of such a name.
pub const MAX_ARCHIVE_NAME_BYTES: usize = 255;
/// Bytes of all its files.
pub const MAX_UNPACKED_BYTES: u64 = 8 << 30;
/// The same, as a multiple of the archive's own size; programs and libraries shrink to a third.
pub const MAX_UNPACKED_RATIO: u64 = 64;
/// Bytes of a Unix socket's path (`sun_path` of unix(7), less its terminating zero).
pub const MAX_SOCKET_PATH_BYTES: usize = 107;
/// Most memory that the runtime's prompt cache may take, in MiB.
pub const MAX_PROMPT_CACHE_MIB: u64 = 512;
