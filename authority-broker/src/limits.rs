//! Every bound of this process in one place.

use std::time::Duration;

/// Threads that drive connections; blocking work has its own.
pub(crate) const WORKER_THREADS: usize = 2;
/// Bytes of an answer of the authorization server (contract 6).
pub(crate) const OAUTH_BODY_BYTES: usize = 64 * 1024;
/// How long one request to the gateway may take (contract 6).
pub(crate) const HTTPS_REQUEST: Duration = Duration::from_secs(30);
/// How long a connection to the gateway may take to come about.
pub(crate) const HTTPS_CONNECT: Duration = Duration::from_secs(15);
/// Bytes of a file that is read before the process is confined.
pub(crate) const FIRST_FILE_BYTES: u64 = 1024 * 1024;
/// How long one sign-in attempt may take (contract 6).
pub(crate) const SIGN_IN: Duration = Duration::from_secs(180);
/// Connections at the redirect listener at one time; beyond it the oldest gives way.
pub(crate) const REDIRECT_CONNECTIONS: usize = 32;
/// How long a browser may take to send its request head to the redirect listener.
pub(crate) const REDIRECT_HEAD: Duration = Duration::from_secs(10);
/// Bytes of that head; the longest code fits.
pub(crate) const REDIRECT_HEAD_BYTES: usize = 64 * 1024;
/// How long the page may take to reach the browser after the listener is gone.
pub(crate) const REDIRECT_LINGER: Duration = Duration::from_secs(5);
/// How long a revocation may hold up a sign-out.
pub(crate) const REVOCATION: Duration = Duration::from_secs(10);
/// How long the keychain may take to answer; the contract allows 10 s in all (contract 7).
pub(crate) const KEYCHAIN: Duration = Duration::from_secs(8);
/// How long it may take over a prompt that should ask nothing: a sign-out may meet three of them.
pub(crate) const KEYCHAIN_PROMPT: Duration = Duration::from_secs(2);
/// How long it may take when it is only watched.
pub(crate) const KEYCHAIN_WATCH: Duration = Duration::from_secs(3);
/// Between two looks at the loopback token in the keychain.
pub(crate) const KEYCHAIN_INTERVAL: Duration = Duration::from_millis(500);
/// Before the front door is dialled again, at first and at most.
pub(crate) const DIGEST_RETRY: (Duration, Duration) =
    (Duration::from_millis(20), Duration::from_secs(1));
/// How old a verified catalog may be before the gateway is asked again.
pub(crate) const CATALOG_FRESH: Duration = Duration::from_secs(60);
/// How long a whole update of the catalog may take.
pub(crate) const CATALOG_UPDATE: Duration = Duration::from_secs(90);
/// Bytes of root, timestamp and snapshot metadata.
pub(crate) const METADATA_BYTES: usize = 1024 * 1024;
/// Bytes of targets metadata.
pub(crate) const TARGETS_BYTES: usize = 10 * 1024 * 1024;
/// Bytes of the copy that is kept for working offline, encoded.
pub(crate) const OFFLINE_COPY_BYTES: u64 = 32 * 1024 * 1024;
/// Successive roots that one update may bring.
pub(crate) const ROOT_UPDATES: u64 = 256;
/// How long the supervisor may take to answer a question.
pub(crate) const SUPERVISOR_ANSWER: Duration = Duration::from_secs(10);
/// How long the supervisor may take to stop the runtime: its drain time and more.
pub(crate) const SUPERVISOR_STOP: Duration = Duration::from_secs(600);
/// Between two looks at whether the wanted model runs.
pub(crate) const WANTED_INTERVAL: Duration = Duration::from_millis(500);
/// Before a start that was refused is tried again.
pub(crate) const WANTED_RETRY: Duration = Duration::from_secs(5);
/// Events that wait for a slow reader.
pub(crate) const EVENTS: usize = 16;
/// How long open streams may hold up the end of the process.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(2);
