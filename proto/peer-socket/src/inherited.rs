//! Descriptors that a child was born with, adopted by number.
#![expect(unsafe_code, reason = "a number becomes an owned descriptor here and nowhere else")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Mutex;

use monitor_api::descriptor;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use crate::MAX_CHARTER_BYTES;

/// Numbers already adopted by this process.
static ADOPTED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Takes ownership of an inherited descriptor and marks it close-on-exec.
///
/// # Errors
/// `InvalidInput` for 0, 1 and 2, `AlreadyExists` for a number adopted before, `EBADF` when
/// nothing was inherited there.
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    if number < descriptor::CHARTER {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut adopted = ADOPTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if adopted.contains(&number) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // SAFETY: the number is only looked at: fcntl on a closed number answers EBADF.
    let probe = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(probe)?;
    fcntl_setfd(probe, flags | FdFlags::CLOEXEC)?;
    adopted.insert(number);
    // SAFETY: the descriptor is open, was inherited at exec, and ADOPTED hands it out once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Reads the charter to its end and closes it. Blocking; called once, before anything else.
///
/// # Errors
/// When there is none, or it is longer than [`MAX_CHARTER_BYTES`].
pub fn read_charter() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::from(inherited(descriptor::CHARTER)?)
        .take(MAX_CHARTER_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_CHARTER_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(bytes)
}
