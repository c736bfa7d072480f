//! Every connection that this process may have, each handed out by the launcher.

use std::fs::File;

use monitor_api::Destination;
use peer_socket::{Monitor, MonitorError};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// Where connections come from; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Connections {
    /// The launcher.
    Monitor(Monitor),
    /// Sockets of a test of this crate.
    #[cfg(test)]
    Test(std::sync::Arc<crate::testing::TestConnections>),
}

impl Connections {
    /// A TCP connection to a host of the gateway.
    pub(crate) async fn gateway(&self, host: &str, port: u16) -> Result<TcpStream, MonitorError> {
        match self {
            Self::Monitor(monitor) => {
                monitor.open_tcp(Destination::Gateway { host: host.to_owned(), port }).await
            }
            #[cfg(test)]
            Self::Test(test) => test.gateway(port).await,
        }
    }

    /// A metadata file of a catalog of this disk.
    pub(crate) async fn catalog_file(&self, name: &str) -> Result<File, MonitorError> {
        match self {
            Self::Monitor(monitor) => {
                monitor.open_file(Destination::CatalogFile { name: name.to_owned() }).await
            }
            #[cfg(test)]
            Self::Test(test) => test.catalog_file(name),
        }
    }

    /// The session bus.
    pub(crate) async fn session_bus(&self) -> Result<UnixStream, MonitorError> {
        match self {
            Self::Monitor(monitor) => monitor.open_unix(Destination::SessionBus).await,
            #[cfg(test)]
            Self::Test(test) => test.session_bus().await,
        }
    }

    /// A fresh listener on 127.0.0.1 for one sign-in.
    pub(crate) async fn redirect_listener(&self) -> Result<TcpListener, MonitorError> {
        match self {
            Self::Monitor(monitor) => monitor.open_listener(Destination::RedirectListener).await,
            #[cfg(test)]
            Self::Test(test) => test.redirect_listener(),
        }
    }
}
