//! A session keyring that nobody else has (session-keyring(7)).
#![expect(unsafe_code, reason = "a raw call, with its SAFETY note")]

use std::io;
use std::ptr;

use libc::c_char;

/// Leaves the session keyring that this thread inherited for a new, empty one without a name: no
/// other process possesses what is linked to it.
///
/// A session keyring belongs to the thread that joins it and to those it starts: to be called
/// while there is one.
///
/// # Errors
/// When the kernel has no keyrings, or the user's quota of keys is used up.
pub fn join_own_session_keyring() -> io::Result<()> {
    let unnamed = ptr::null::<c_char>();
    // SAFETY: the operation takes one pointer, to a name; null asks for a keyring without one.
    let answer =
        unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, unnamed) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
