//! Where the front door's outgoing connections come from: the launcher alone. A trait, so that
//! tests give it a runtime of their own.

use futures_util::future::BoxFuture;
use monitor_api::{Destination, MonitorRefusal};
use peer_socket::{Monitor, MonitorError};
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::Channel;

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    #[error("nobody answers at the other end")]
    NotThere,
    #[error("the launcher could not be asked, or would not")]
    PathBroken,
}

/// The three connections that the launcher's table gives this process.
pub(crate) trait Dial: Send + Sync {
    /// A fresh connection to the runtime's socket.
    fn runtime(&self) -> BoxFuture<'_, Result<UnixStream, DialError>>;
    /// A fresh connection to this process's own TCP listener.
    fn own_listener(&self) -> BoxFuture<'_, Result<TcpStream, DialError>>;
    /// A channel to the supervisor's status socket that dials when it is used.
    fn supervisor(&self) -> Channel;
}

impl Dial for Monitor {
    fn runtime(&self) -> BoxFuture<'_, Result<UnixStream, DialError>> {
        Box::pin(async { self.open_unix(Destination::RuntimeSocket).await.map_err(classify) })
    }

    fn own_listener(&self) -> BoxFuture<'_, Result<TcpStream, DialError>> {
        Box::pin(async { self.open_tcp(Destination::OwnListener).await.map_err(classify) })
    }

    fn supervisor(&self) -> Channel {
        self.channel(Destination::SupervisorStatus)
    }
}

/// Tells the runtime's fault from the way's.
#[expect(clippy::needless_pass_by_value, reason = "it ends an error's way, in `map_err`")]
fn classify(error: MonitorError) -> DialError {
    match error {
        MonitorError::Refused(
            MonitorRefusal::NotThere | MonitorRefusal::ConnectFailed | MonitorRefusal::WrongPeer,
        ) => DialError::NotThere,
        MonitorError::Refused(_) | MonitorError::Gone | MonitorError::Timeout => {
            DialError::PathBroken
        }
    }
}
