//! Sockets that are 0600 from their first moment, in a directory nobody else can enter.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustix::process::geteuid;

/// Connections the kernel keeps waiting before accept.
const BACKLOG: i32 = 64;

/// Binds a listening stream socket whose file has mode 0600 from its first moment: Linux takes
/// the inode's mode from the socket, so the mode is set before `bind` (unix(7)).
///
/// A socket file that nobody listens on is replaced.
///
/// # Errors
/// `PermissionDenied` when the directory is a symlink, another user's, or open to others;
/// `AddrInUse` when somebody listens there or something other than a socket has the name.
pub fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    require_private(directory)?;
    remove_stale(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

fn require_private(directory: &Path) -> io::Result<()> {
    let facts = fs::symlink_metadata(directory)?;
    let private = facts.is_dir() && facts.uid() == geteuid().as_raw() && facts.mode() & 0o077 == 0;
    if private { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Removes the name of a socket of this user that nobody listens on; an absent one is removed
/// already.
///
/// # Errors
/// `AddrInUse` when somebody listens there, or it is no socket, or another user's; those of the
/// system calls.
pub fn remove_stale(path: &Path) -> io::Result<()> {
    let facts = match fs::symlink_metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !facts.file_type().is_socket() || facts.uid() != geteuid().as_raw() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    if is_listened_on(path)? { Err(io::ErrorKind::AddrInUse.into()) } else { fs::remove_file(path) }
}

/// Dials without waiting, since a live listener with a full backlog would make a caller wait.
fn is_listened_on(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    Ok(connect(&socket, &SocketAddrUnix::new(path)?) != Err(Errno::CONNREFUSED))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn private_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        dir
    }

    #[test]
    fn a_socket_is_born_0600_whatever_the_umask() {
        let dir = private_dir();
        let path = dir.path().join("s.sock");
        let _listener = bind_private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_directory_open_to_others_is_refused() {
        let dir = private_dir();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let refused = bind_private(&dir.path().join("s.sock")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_symlinked_directory_is_refused() {
        let dir = private_dir();
        let real = dir.path().join("real");
        fs::create_dir(&real).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o700)).unwrap();
        let link = dir.path().join("link");
        symlink(&real, &link).unwrap();
        let refused = bind_private(&link.join("s.sock")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_live_socket_is_kept_and_a_stale_one_replaced() {
        let dir = private_dir();
        let path = dir.path().join("s.sock");
        let listener = bind_private(&path).unwrap();
        assert_eq!(bind_private(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        bind_private(&path).unwrap();
    }

    #[test]
    fn a_plain_file_or_a_symlink_at_the_name_is_never_removed() {
        let dir = private_dir();
        let file = dir.path().join("file.sock");
        fs::write(&file, "kept").unwrap();
        assert_eq!(bind_private(&file).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
        let link = dir.path().join("link.sock");
        symlink(&file, &link).unwrap();
        assert_eq!(bind_private(&link).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
