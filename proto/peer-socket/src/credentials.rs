//! Who is at the other end of a connected Unix socket, as the kernel tells it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Kernel facts about a peer: who called `connect` (or `listen`, for the dialling side).
#[derive(Debug)]
pub struct PeerCredentials {
    /// Effective uid at that moment.
    pub uid: u32,
    /// Process id, pinned by `pidfd`.
    pub pid: u32,
    /// Names that process for good, even when its number is used again.
    pub pidfd: OwnedFd,
}

/// Reads SO_PEERPIDFD, then SO_PEERCRED, and checks that the process still lives: while it does,
/// the number cannot name another (unix(7)).
///
/// # Errors
/// Of the system calls, or `ConnectionAborted` when the peer's process has ended.
pub fn peer_credentials(socket: &impl AsFd) -> io::Result<PeerCredentials> {
    let pidfd = getsockopt(&socket, sockopt::PeerPidfd)?;
    // By nix: a peer of another pid namespace has the number 0 here, which rustix cannot hold.
    let cred = getsockopt(&socket, sockopt::PeerCredentials)?;
    let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
    if poll(&mut ended, Some(&Timespec::default()))? > 0 {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let pid = u32::try_from(cred.pid()).ok().filter(|pid| *pid != 0);
    let pid = pid.ok_or(io::ErrorKind::InvalidData)?;
    Ok(PeerCredentials { uid: cred.uid(), pid, pidfd })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_kernel_names_this_process_as_its_own_peer() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = peer_credentials(&one).unwrap();
        assert_eq!(peer.pid, std::process::id());
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    }
}
