//! Every bound of this process, in one place.

use std::time::Duration;

/// Longest time without a byte of a download, a handshake or a response head (contract 8).
pub(crate) const STALL: Duration = Duration::from_secs(30);
/// Pieces of a download that wait for the disk; each is at most a TLS record or two.
pub(crate) const QUEUED_PIECES: usize = 64;
/// So many pieces or more are written at once; fewer are let gather for a moment.
pub(crate) const FEW_PIECES: usize = QUEUED_PIECES / 2;
/// That moment.
pub(crate) const GATHERING: Duration = Duration::from_millis(1);
/// Bytes of a download after which the kernel is told to begin to write them.
pub(crate) const WRITE_BEHIND: u64 = 16 * 1024 * 1024;
/// Bytes of an imported file between two looks at progress and cancellation.
pub(crate) const IMPORT_STEP: u64 = 16 * 1024 * 1024;
/// Bytes read at a time when a file is hashed again.
pub(crate) const HASH_PIECE: usize = 1024 * 1024;
/// Header block of a model host, in bytes; also a piece of its body: the plaintext of one TLS
/// record (RFC 8446 section 5.1).
pub(crate) const HTTP_BUFFER: usize = 16 * 1024;
/// Bytes of TLS that are read from a connection at a time.
pub(crate) const READ_AHEAD: usize = 128 * 1024;
/// Connections that fetch one file.
pub(crate) const CONNECTIONS: usize = 4;
/// Bytes that one request asks for where several connections fetch a file. As many segments as
/// connections may wait in memory for the one before them.
pub(crate) const SEGMENT: u64 = 4 * 1024 * 1024;
/// Shortest time between two words of progress.
pub(crate) const PROGRESS_PAUSE: Duration = Duration::from_millis(100);
/// How long a rate is remembered in the one that is shown.
pub(crate) const RATE_MEMORY: Duration = Duration::from_secs(3);
/// Time between two words of progress while nothing comes.
pub(crate) const STANDSTILL_PAUSE: Duration = Duration::from_secs(1);
/// Time between two looks at a lock that another download holds.
pub(crate) const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// Age of a partial file that nobody is expected to come back for.
pub(crate) const GARBAGE_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Time between two looks for such files.
pub(crate) const GARBAGE_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of an identity record.
pub(crate) const MAX_RECORD_BYTES: u64 = 4096;
/// Bytes of a record of unpacked files.
pub(crate) const MAX_FILES_RECORD_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes of a note of where a download comes from.
pub(crate) const MAX_ORIGIN_BYTES: u64 = 16 * 1024;
/// Characters of an entity tag that is kept.
pub(crate) const MAX_ETAG: usize = 256;
/// Longest time from spawn to the first good health answer.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(120);
/// Time between two looks at a starting runtime.
pub(crate) const HEALTH_PAUSE: Duration = Duration::from_millis(20);
/// Longest time one health answer may take.
pub(crate) const HEALTH_LIMIT: Duration = Duration::from_secs(2);
/// Time from TERM to KILL (contract 9).
pub(crate) const TERM_GRACE: Duration = Duration::from_secs(5);
/// Time between two samples of the runtime's figures; contract 9 allows 500 ms of age.
pub(crate) const SAMPLE_PAUSE: Duration = Duration::from_millis(400);
/// Lines of the runtime's output that are kept.
pub(crate) const OUTPUT_LINES: usize = 1000;
/// Bytes of the runtime's output that are kept.
pub(crate) const OUTPUT_BYTES: usize = 256 * 1024;
/// Bytes of one line of output; the rest of a longer one is dropped.
pub(crate) const LINE_BYTES: usize = 4096;
/// Longest the probe of a runtime's confinement may take.
pub(crate) const PROBE_PATIENCE: Duration = Duration::from_secs(10);
/// Longest it may tell, in bytes.
pub(crate) const PROBE_WORDS: u64 = 64 * 1024;
/// Messages that wait between a stream and its reader.
pub(crate) const STREAM_QUEUE: usize = 16;
