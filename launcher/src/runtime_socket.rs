//! The runtime's socket: found beneath the private directory, checked, dialled, unlinked.
//!
//! `connect` follows symbolic links, so a captured supervisor could plant one to any socket of
//! the user. The name is therefore opened without following anything, its type and owner are
//! checked on the descriptor, and the descriptor is what is dialled.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use monitor_api::MonitorRefusal;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2, unlinkat};
use rustix::process::geteuid;
use tokio::net::UnixStream;

/// The socket's name in the scratch directory.
pub(crate) const NAME: &str = "runtime.sock";

/// Where the runtime's socket is born, and the one now in use.
pub(crate) struct RuntimeSocket {
    scratch: OwnedFd,
    /// O_PATH of the socket in use: it has no name any more.
    in_use: Option<OwnedFd>,
}

impl RuntimeSocket {
    pub(crate) fn beneath(scratch_dir: &Path) -> io::Result<Self> {
        Ok(Self { scratch: open_directory(scratch_dir)?, in_use: None })
    }

    /// Forgets the socket in use: another runtime starts.
    pub(crate) fn forget(&mut self) {
        self.in_use = None;
    }

    /// The socket to dial now: a new one by its name, else the one in use.
    pub(crate) fn candidate(&self) -> Result<(OwnedFd, bool), MonitorRefusal> {
        match open_socket_beneath(&self.scratch, NAME) {
            Ok(found) => Ok((found, true)),
            Err(MonitorRefusal::NotThere) => {
                let known = self.in_use.as_ref().ok_or(MonitorRefusal::NotThere)?;
                let again = known.try_clone().map_err(|_| MonitorRefusal::NotThere)?;
                Ok((again, false))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// The socket answered and its peer is who it should be: takes its name away, keeps it.
    pub(crate) fn adopt(&mut self, socket: OwnedFd) {
        if unlinkat(&self.scratch, NAME, AtFlags::empty()).is_err() {
            tracing::warn!("the runtime's socket was already without a name");
        }
        self.in_use = Some(socket);
    }
}

/// Opens a directory for lookups beneath it, following no link at its end.
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// A socket of this user's beneath a directory, as an O_PATH descriptor.
pub(crate) fn open_socket_beneath(
    directory: &impl AsFd,
    name: &str,
) -> Result<OwnedFd, MonitorRefusal> {
    let opened = openat2(
        directory,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    );
    let socket = match opened {
        Ok(socket) => socket,
        Err(rustix::io::Errno::NOENT) => return Err(MonitorRefusal::NotThere),
        Err(_) => return Err(MonitorRefusal::WrongPeer),
    };
    let facts = fstat(&socket).map_err(|_| MonitorRefusal::WrongPeer)?;
    let is_ours = FileType::from_raw_mode(facts.st_mode) == FileType::Socket
        && facts.st_uid == geteuid().as_raw();
    if is_ours { Ok(socket) } else { Err(MonitorRefusal::WrongPeer) }
}

/// Connects to the socket behind an O_PATH descriptor, whatever its name is now.
pub(crate) async fn dial(socket: &OwnedFd) -> Result<UnixStream, MonitorRefusal> {
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    UnixStream::connect(path).await.map_err(|_| MonitorRefusal::ConnectFailed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn scratch() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        dir
    }

    #[tokio::test]
    async fn a_link_planted_where_the_socket_should_be_is_not_followed() {
        let (dir, elsewhere) = (scratch(), scratch());
        let bus = elsewhere.path().join("bus");
        let _listener = peer_socket::bind_private(&bus).unwrap();
        symlink(&bus, dir.path().join(NAME)).unwrap();
        let socket = RuntimeSocket::beneath(dir.path()).unwrap();
        assert_eq!(socket.candidate().unwrap_err(), MonitorRefusal::WrongPeer);
    }

    #[test]
    fn something_other_than_a_socket_is_refused_and_nothing_is_not_there() {
        let dir = scratch();
        let socket = RuntimeSocket::beneath(dir.path()).unwrap();
        assert_eq!(socket.candidate().unwrap_err(), MonitorRefusal::NotThere);
        std::fs::write(dir.path().join(NAME), "").unwrap();
        assert_eq!(socket.candidate().unwrap_err(), MonitorRefusal::WrongPeer);
    }

    #[tokio::test]
    async fn an_adopted_socket_has_no_name_and_is_still_dialled() {
        let dir = scratch();
        let listener = peer_socket::bind_private(&dir.path().join(NAME)).unwrap();
        let mut socket = RuntimeSocket::beneath(dir.path()).unwrap();
        let (found, is_new) = socket.candidate().unwrap();
        assert!(is_new);
        dial(&found).await.unwrap();
        socket.adopt(found);
        assert!(!dir.path().join(NAME).exists());
        let (again, is_new) = socket.candidate().unwrap();
        assert!(!is_new);
        dial(&again).await.unwrap();
        drop(listener);
        assert_eq!(dial(&again).await.unwrap_err(), MonitorRefusal::ConnectFailed);
        socket.forget();
        assert_eq!(socket.candidate().unwrap_err(), MonitorRefusal::NotThere);
    }
}
