//! The page's own listener: a port of the kernel's choice on 127.0.0.1, shared with nobody.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// Binds it. Neither SO_REUSEADDR nor SO_REUSEPORT is set (contract 2, Pd).
///
/// # Errors
/// When the kernel refuses, or gave another address than 127.0.0.1: never a wider bind.
pub(super) fn bind() -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket.into())?;
    let bound = listener.local_addr()?;
    if bound.ip() != Ipv4Addr::LOCALHOST || bound.port() == 0 {
        return Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
    }
    Ok((listener, bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_on_127_0_0_1_alone_and_shared_with_nobody() {
        let (listener, bound) = bind().expect("bound");
        assert_eq!(bound.ip(), Ipv4Addr::LOCALHOST);
        let socket = socket2::SockRef::from(&listener);
        assert!(!socket.reuse_address().expect("read") && !socket.reuse_port().expect("read"));
    }
}
