//! Readiness for a service manager (sd_notify(3)).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends one state, such as `READY=1`, where NOTIFY_SOCKET says; nothing without one.
pub(crate) fn notify(state: &str) {
    let Ok(target) = std::env::var("NOTIFY_SOCKET") else { return };
    let address = match target.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&target),
    };
    let sent = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if sent.is_err() {
        tracing::warn!("the service manager could not be notified");
    }
}
