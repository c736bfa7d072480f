//! Every listening socket, bound before anything runs and held over a child's restarts.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::time::Instant;

use crate::limits::{STALE_LIMIT, STALE_PAUSE};
use companion_settings::Dirs;
use peer_socket::{bind_private, remove_stale};
use socket2::{Domain, Protocol, Socket, Type};

/// Names of the six sockets in the runtime directory.
pub(crate) const BROKER: &str = "broker.sock";
pub(crate) const SUPERVISOR: &str = "supervisor.sock";
pub(crate) const FRONTDOOR: &str = "frontdoor.sock";
pub(crate) const SUPERVISOR_CONTROL: &str = "supervisor-control.sock";
pub(crate) const SUPERVISOR_STATUS: &str = "supervisor-status.sock";
pub(crate) const FRONTDOOR_CONTROL: &str = "frontdoor-control.sock";
const ALL: [&str; 6] =
    [BROKER, SUPERVISOR, FRONTDOOR, SUPERVISOR_CONTROL, SUPERVISOR_STATUS, FRONTDOOR_CONTROL];

/// Connections the kernel keeps waiting before the front door accepts them.
const BACKLOG: i32 = 256;
/// Connections the kernel keeps waiting for the sign-in redirect.
const REDIRECT_BACKLOG: i32 = 16;

/// A socket that could not be bound; the start ends here, never with a wider bind.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    #[error("the socket {name} cannot be bound")]
    Unix {
        name: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the loopback endpoint cannot be bound")]
    Endpoint(#[source] io::Error),
    #[error("the loopback endpoint was bound to another address than asked for")]
    WrongAddress,
}

/// The bound sockets, by name.
pub(crate) struct Listeners {
    pub(crate) broker: OwnedFd,
    pub(crate) supervisor: OwnedFd,
    pub(crate) frontdoor: OwnedFd,
    pub(crate) supervisor_control: OwnedFd,
    pub(crate) supervisor_status: OwnedFd,
    pub(crate) frontdoor_control: OwnedFd,
    pub(crate) endpoint: OwnedFd,
    /// Where the endpoint listens, read back from the kernel.
    pub(crate) bound: SocketAddr,
}

impl Listeners {
    pub(crate) fn bind(dirs: &Dirs, address: IpAddr) -> Result<Self, BindError> {
        let unix = |name: &'static str| {
            bind_private(&dirs.socket(name))
                .map(OwnedFd::from)
                .map_err(|source| BindError::Unix { name, source })
        };
        let endpoint = loopback_listener(address, BACKLOG).map_err(BindError::Endpoint)?;
        let bound = endpoint.local_addr().map_err(BindError::Endpoint)?;
        if bound.ip() != address || !bound.ip().is_loopback() || bound.port() == 0 {
            return Err(BindError::WrongAddress);
        }
        Ok(Self {
            broker: unix(BROKER)?,
            supervisor: unix(SUPERVISOR)?,
            frontdoor: unix(FRONTDOOR)?,
            supervisor_control: unix(SUPERVISOR_CONTROL)?,
            supervisor_status: unix(SUPERVISOR_STATUS)?,
            frontdoor_control: unix(FRONTDOOR_CONTROL)?,
            endpoint: OwnedFd::from(endpoint),
            bound,
        })
    }
}

/// Before the start: takes away what an earlier one left, the six names and a runtime's socket
/// that was never dialled. A name that somebody listens on stays, and the start will fail there;
/// the killed children of a killed launcher may need a moment to let go.
pub(crate) fn remove_stale_names(dirs: &Dirs) {
    let last = Instant::now() + STALE_LIMIT;
    for path in names(dirs) {
        while remove_stale(&path).is_err() {
            if Instant::now() >= last {
                tracing::warn!("a socket's name is in use, or cannot be removed, and was left");
                break;
            }
            std::thread::sleep(STALE_PAUSE);
        }
    }
}

/// At the end: takes this start's own names away, though a child that was killed may still hold
/// its listener.
pub(crate) fn remove_names(dirs: &Dirs) {
    for path in names(dirs) {
        let is_socket =
            fs::symlink_metadata(&path).is_ok_and(|facts| facts.file_type().is_socket());
        if is_socket && fs::remove_file(&path).is_err() {
            tracing::warn!("a socket could not be removed");
        }
    }
}

fn names(dirs: &Dirs) -> impl Iterator<Item = PathBuf> {
    let scratch = dirs.runtime_scratch().join(crate::runtime_socket::NAME);
    ALL.iter().map(|name| dirs.socket(name)).chain([scratch])
}

/// A listener for one sign-in redirect on 127.0.0.1, port chosen by the kernel.
pub(crate) fn redirect_listener() -> io::Result<OwnedFd> {
    loopback_listener(IpAddr::from(Ipv4Addr::LOCALHOST), REDIRECT_BACKLOG).map(OwnedFd::from)
}

/// Neither SO_REUSEADDR nor SO_REUSEPORT: the port is this socket's alone (contract 2, Pd).
fn loopback_listener(address: IpAddr, backlog: i32) -> io::Result<TcpListener> {
    let address = SocketAddr::new(address, 0);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    /// A rival that listens keeps its name; a name left by a dead one goes.
    #[test]
    fn a_name_that_somebody_listens_on_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let overrides = companion_settings::Overrides {
            runtime: Some(dir.path().join("run")),
            state: Some(dir.path().join("state")),
            data: Some(dir.path().join("data")),
        };
        let dirs = Dirs::resolve("default", &overrides, |_| None);
        crate::directories::prepare(&dirs).unwrap();
        let held = bind_private(&dirs.socket(BROKER)).unwrap();
        drop(bind_private(&dirs.socket(SUPERVISOR)).unwrap());
        remove_stale_names(&dirs);
        assert!(dirs.socket(BROKER).exists());
        assert!(!dirs.socket(SUPERVISOR).exists());
        drop(held);
        remove_stale_names(&dirs);
        assert!(!dirs.socket(BROKER).exists());
    }

    #[test]
    fn a_listener_is_loopback_with_a_port_of_its_own_that_nobody_can_share() {
        for address in ["127.0.0.1", "::1"] {
            let listener = loopback_listener(address.parse().unwrap(), 1).unwrap();
            let bound = listener.local_addr().unwrap();
            assert_eq!(bound.ip().to_string(), address);
            assert_ne!(bound.port(), 0);
            let socket = SockRef::from(&listener);
            assert!(!socket.reuse_address().unwrap());
            assert!(!socket.reuse_port().unwrap());
            let rival = Socket::new(Domain::for_address(bound), Type::STREAM, None).unwrap();
            rival.set_reuse_address(true).unwrap();
            rival.set_reuse_port(true).unwrap();
            assert!(rival.bind(&bound.into()).is_err());
        }
    }
}
