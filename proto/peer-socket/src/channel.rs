//! Lazy gRPC channels: over the monitor for children, by path for people's programs.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use monitor_api::Destination;
use rustix::process::geteuid;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::{Monitor, peer_credentials};

/// Longest a dial may take, by path.
const DIAL_LIMIT: Duration = Duration::from_secs(5);

impl Monitor {
    /// A gRPC channel that dials through the monitor at its first call and after each loss.
    #[must_use]
    pub fn channel(&self, destination: Destination) -> Channel {
        let monitor = self.clone();
        endpoint().connect_with_connector_lazy(service_fn(move |_: Uri| {
            let (monitor, destination) = (monitor.clone(), destination.clone());
            Box::pin(async move {
                monitor.open_unix(destination).await.map(TokioIo::new).map_err(io::Error::other)
            })
        }))
    }
}

/// A gRPC channel to a path socket that this user owns and this user serves.
#[must_use]
pub fn channel_to(path: &Path) -> Channel {
    let path = path.to_owned();
    endpoint().connect_with_connector_lazy(service_fn(move |_: Uri| {
        let path = path.clone();
        Box::pin(async move { dial(path).await.map(TokioIo::new) })
    }))
}

fn endpoint() -> Endpoint {
    Endpoint::from_static("http://localhost")
}

async fn dial(path: PathBuf) -> io::Result<UnixStream> {
    let own = geteuid().as_raw();
    let facts = std::fs::symlink_metadata(&path)?;
    if !facts.file_type().is_socket() || facts.uid() != own {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let stream = tokio::time::timeout(DIAL_LIMIT, UnixStream::connect(path)).await??;
    if peer_credentials(&stream)?.uid != own {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::bind_private;

    #[tokio::test]
    async fn a_socket_of_this_user_is_dialled_and_a_symlink_to_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = dir.path().join("s.sock");
        let _listener = bind_private(&path).unwrap();
        dial(path.clone()).await.unwrap();
        let link = dir.path().join("link.sock");
        symlink(&path, &link).unwrap();
        assert_eq!(dial(link).await.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
