//! Loopback listeners and the TLS server that both hosts are.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Longest a client may take over its TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Connections waiting to be accepted.
const BACKLOG: i32 = 256;

/// Binds a port of the kernel's choice on 127.0.0.1, with neither SO_REUSEADDR nor
/// SO_REUSEPORT, so that nobody can share it.
///
/// # Errors
/// When the kernel has no port to give.
pub fn bind_loopback() -> Result<(TcpListener, SocketAddr)> {
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// [`bind_loopback`] at an address of the caller's choice.
///
/// # Errors
/// When it is no loopback address, or the kernel does not give it.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    ensure!(address.ip().is_loopback(), "development servers listen on loopback alone");
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from(socket))
}

/// A running server. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and every connection; resolves when the kernel takes no more.
    pub async fn end(&self) {
        self.task.abort();
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `router` over TLS on this listener. Call inside a tokio runtime.
///
/// # Errors
/// When the listener is not a listening socket.
pub fn serve_tls(listener: TcpListener, tls: Arc<ServerConfig>, router: Router) -> Result<Server> {
    let address = listener.local_addr()?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let task = tokio::spawn(accept_loop(listener, TlsAcceptor::from(tls), router));
    Ok(Server { address, task })
}

/// Connections are children of this task: they end with it.
async fn accept_loop(listener: tokio::net::TcpListener, tls: TlsAcceptor, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, tls.clone(), router.clone()));
                }
                // A passing shortage (descriptors): the next turn tries again.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A client that fails its handshake or goes away is no event here.
async fn serve_connection(stream: TcpStream, tls: TlsAcceptor, router: Router) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await else {
        return;
    };
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
}
