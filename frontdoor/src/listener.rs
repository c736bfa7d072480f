//! The inherited TCP listener, checked again: it must be the loopback one of the charter, shared
//! with nobody (contract 2 Pb and Pd, contract 4).

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::OwnedFd;

use frontdoor_core::guard::AllowedHosts;
use rustix::net::sockopt;
use tokio::net::TcpListener;

/// Why a listener is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenerError {
    #[error("the listener could not be examined")]
    Examine(#[source] io::Error),
    #[error("the listener's address is not the one of the charter")]
    OtherAddress,
    #[error("the listener's address is not a loopback literal")]
    NotLoopback,
    #[error("the socket does not listen")]
    NotListening,
    #[error("the listener's address may be shared")]
    Shared,
}

/// Takes the listener and the names it may be called by, both from its real address.
pub(crate) fn adopt(
    descriptor: OwnedFd,
    bound: SocketAddr,
) -> Result<(TcpListener, AllowedHosts), ListenerError> {
    if !sockopt::socket_acceptconn(&descriptor).map_err(examine)? {
        return Err(ListenerError::NotListening);
    }
    if sockopt::socket_reuseaddr(&descriptor).map_err(examine)?
        || sockopt::socket_reuseport(&descriptor).map_err(examine)?
    {
        return Err(ListenerError::Shared);
    }
    let listener = StdTcpListener::from(descriptor);
    let local = listener.local_addr().map_err(ListenerError::Examine)?;
    if local != bound {
        return Err(ListenerError::OtherAddress);
    }
    let hosts = AllowedHosts::of(local).ok_or(ListenerError::NotLoopback)?;
    listener.set_nonblocking(true).map_err(ListenerError::Examine)?;
    let listener = TcpListener::from_std(listener).map_err(ListenerError::Examine)?;
    Ok((listener, hosts))
}

fn examine(errno: rustix::io::Errno) -> ListenerError {
    ListenerError::Examine(errno.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};

    fn socket(address: &str, prepare: impl FnOnce(&Socket)) -> (Socket, SocketAddr) {
        let address: SocketAddr = address.parse().expect("an address");
        let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
        prepare(&socket);
        socket.bind(&address.into()).expect("bound");
        let bound = socket.local_addr().expect("an address").as_socket().expect("of the net");
        (socket, bound)
    }

    fn listening(address: &str, prepare: impl FnOnce(&Socket)) -> (Socket, SocketAddr) {
        let (socket, bound) = socket(address, prepare);
        socket.listen(8).expect("listening");
        (socket, bound)
    }

    #[tokio::test]
    async fn the_launchers_own_loopback_listener_is_taken() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (socket, bound) = listening(address, |_| {});
            let (listener, hosts) = adopt(socket.into(), bound).expect("taken");
            assert_eq!(listener.local_addr().expect("an address"), bound);
            assert_eq!(Some(hosts), AllowedHosts::of(bound));
        }
    }

    #[tokio::test]
    async fn any_wider_bind_is_refused() {
        for address in ["0.0.0.0:0", "127.0.0.2:0", "[::]:0"] {
            let (socket, bound) = listening(address, |_| {});
            let refused = adopt(socket.into(), bound).err();
            assert!(matches!(refused, Some(ListenerError::NotLoopback)), "{address}");
        }
    }

    #[tokio::test]
    async fn another_address_than_the_charters_is_refused() {
        let (socket, bound) = listening("127.0.0.1:0", |_| {});
        let other = SocketAddr::new(bound.ip(), bound.port() ^ 1);
        let refused = adopt(socket.into(), other).err();
        assert!(matches!(refused, Some(ListenerError::OtherAddress)));
    }

    #[tokio::test]
    async fn an_address_that_may_be_shared_is_refused() {
        let (socket, bound) = listening("127.0.0.1:0", |s| s.set_reuse_address(true).expect("set"));
        assert!(matches!(adopt(socket.into(), bound).err(), Some(ListenerError::Shared)));
        let (socket, bound) = listening("127.0.0.1:0", |s| s.set_reuse_port(true).expect("set"));
        assert!(matches!(adopt(socket.into(), bound).err(), Some(ListenerError::Shared)));
    }

    #[tokio::test]
    async fn a_socket_that_does_not_listen_is_refused() {
        let (socket, bound) = socket("127.0.0.1:0", |_| {});
        assert!(matches!(adopt(socket.into(), bound).err(), Some(ListenerError::NotListening)));
    }
}
