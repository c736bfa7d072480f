//! Unix sockets that yield only authenticated peers, and the child's side of the monitor.
//!
//! The launcher binds with [`bind_private`]; a child adopts what it inherited with
//! [`PeerListener::adopt`] and [`Monitor::adopt`]; people's programs dial with [`channel_to`].

mod bind;
mod channel;
mod credentials;
mod inherited;
mod listener;
mod monitor;

pub use bind::{bind_private, remove_stale};
pub use channel::channel_to;
pub use credentials::{PeerCredentials, peer_credentials};
pub use inherited::{inherited, read_charter};
pub use listener::{AuthenticatedPeer, PeerListener, PeerRule, PeerStream};
pub use monitor::{Monitor, MonitorError, receive, send};

/// Longest charter a child reads, in bytes.
pub const MAX_CHARTER_BYTES: u64 = 256 * 1024;
/// Longest a child waits for the launcher, in seconds; the launcher's own limit is shorter.
pub const MONITOR_TIMEOUT_S: u64 = 12;
