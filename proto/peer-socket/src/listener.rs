//! A listener that looks at who calls before it reads a byte.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::sockopt::socket_acceptconn;
use rustix::process::geteuid;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Sleep, sleep};

use crate::{inherited, peer_credentials};

/// Pause after a failed accept: a process out of descriptors would otherwise spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who may call.
#[derive(Debug, Clone, Copy)]
pub enum PeerRule {
    /// Any process of this process's own user.
    SameUser,
    /// One process alone, of the same user: control sockets are dialled by the launcher alone.
    LauncherOnly {
        /// The launcher, which is this process's parent.
        launcher_pid: u32,
    },
}

/// Who called, as the kernel told at accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthenticatedPeer {
    /// Effective uid.
    pub uid: u32,
    /// Process id at the moment of the check.
    pub pid: u32,
}

/// A listener that hands out only peers that satisfy its rule; a stream for
/// `serve_with_incoming`. Others are closed without a byte read, a failed accept is tried again
/// after a pause, and the stream never ends.
#[derive(Debug)]
pub struct PeerListener {
    listener: UnixListener,
    rule: PeerRule,
    pause: Option<Pin<Box<Sleep>>>,
}

impl PeerListener {
    /// Adopts an inherited listening socket. Call inside a tokio runtime.
    ///
    /// # Errors
    /// When the descriptor is no listening Unix socket.
    pub fn adopt(number: i32, rule: PeerRule) -> io::Result<Self> {
        Self::new(std::os::unix::net::UnixListener::from(inherited(number)?), rule)
    }

    /// Guards a listening socket.
    ///
    /// # Errors
    /// When it does not listen, or cannot be registered with the runtime.
    pub fn new(listener: std::os::unix::net::UnixListener, rule: PeerRule) -> io::Result<Self> {
        listener.local_addr()?;
        if !socket_acceptconn(&listener)? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, rule, pause: None })
    }
}

impl futures_util::Stream for PeerListener {
    type Item = io::Result<PeerStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(cx)) {
                Ok((stream, _)) => match self.rule.admit(&stream) {
                    Some(peer) => return Poll::Ready(Some(Ok(PeerStream { stream, peer }))),
                    None => tracing::warn!("a peer was refused at accept"),
                },
                // Out of descriptors or an aborted handshake: the listener itself is well.
                Err(error) => {
                    tracing::warn!(errno = error.raw_os_error(), "accept failed, tried again");
                    self.pause = Some(Box::pin(sleep(ACCEPT_PAUSE)));
                }
            }
        }
    }
}

impl PeerRule {
    fn admit(self, stream: &UnixStream) -> Option<AuthenticatedPeer> {
        let peer = peer_credentials(stream).ok()?;
        let same_user = peer.uid == geteuid().as_raw();
        let right_process = match self {
            Self::SameUser => true,
            Self::LauncherOnly { launcher_pid } => peer.pid == launcher_pid,
        };
        (same_user && right_process).then_some(AuthenticatedPeer { uid: peer.uid, pid: peer.pid })
    }
}

/// An accepted connection of an authenticated peer.
#[derive(Debug)]
pub struct PeerStream {
    stream: UnixStream,
    peer: AuthenticatedPeer,
}

impl PeerStream {
    /// Who called.
    #[must_use]
    pub fn peer(&self) -> AuthenticatedPeer {
        self.peer
    }
}

impl tonic::transport::server::Connected for PeerStream {
    type ConnectInfo = AuthenticatedPeer;

    fn connect_info(&self) -> AuthenticatedPeer {
        self.peer
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use futures_util::StreamExt;
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::bind_private;

    async fn first_byte_under(rule: PeerRule) -> bool {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = dir.path().join("s.sock");
        let mut listener = PeerListener::new(bind_private(&path).unwrap(), rule).unwrap();
        let server = tokio::spawn(async move { listener.next().await });
        let mut client = UnixStream::connect(&path).await.unwrap();
        tokio::select! {
            accepted = server => accepted.unwrap().unwrap().is_ok(),
            closed = client.read_u8() => closed.is_ok(),
        }
    }

    #[tokio::test]
    async fn a_socket_that_does_not_listen_is_no_listener() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let socket = std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(one));
        assert!(PeerListener::new(socket, PeerRule::SameUser).is_err());
    }

    /// Architecture 2: a refused peer costs nobody else the service.
    #[tokio::test]
    async fn a_refused_peer_does_not_end_the_listener() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = dir.path().join("s.sock");
        let rule = PeerRule::LauncherOnly { launcher_pid: 1 };
        let mut listener = PeerListener::new(bind_private(&path).unwrap(), rule).unwrap();
        let serving = tokio::spawn(async move { listener.next().await.is_some() });
        for _ in 0..3 {
            let mut client = UnixStream::connect(&path).await.unwrap();
            assert!(client.read_u8().await.is_err());
        }
        assert!(!serving.is_finished());
        serving.abort();
    }

    #[tokio::test]
    async fn a_process_of_the_same_user_is_admitted() {
        assert!(first_byte_under(PeerRule::SameUser).await);
    }

    #[tokio::test]
    async fn a_control_socket_admits_the_launcher_alone() {
        let own = std::process::id();
        assert!(first_byte_under(PeerRule::LauncherOnly { launcher_pid: own }).await);
        assert!(!first_byte_under(PeerRule::LauncherOnly { launcher_pid: own + 1 }).await);
    }
}
