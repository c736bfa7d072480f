//! The kernel's calls that no safe wrapper offers. All of the crate's `unsafe` is here.
#![expect(unsafe_code, reason = "raw system calls, each with its SAFETY note")]

use std::io;
use std::ptr;

/// Flag of landlock_create_ruleset(2): answer the ABI instead of making a ruleset.
const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
/// Operation of seccomp(2): is this action known?
const SECCOMP_GET_ACTION_AVAIL: u32 = 2;

/// The Landlock ABI of the running kernel; fails with ENOSYS or EOPNOTSUPP where it has none.
pub(crate) fn landlock_abi() -> io::Result<i32> {
    // SAFETY: with this flag and a null attribute of size 0 the call reads no memory.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<libc::c_void>(),
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    i32::try_from(outcome(answer)?).map_err(|_| io::Error::from_raw_os_error(libc::ERANGE))
}

/// Whether seccomp filters may answer an error number.
pub(crate) fn seccomp_answers_errors() -> bool {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the call reads four bytes at `action`, which outlives it.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0_u32, &raw const action)
    };
    answer == 0
}

/// Closes the descriptors from `first` to `last`, both included.
pub(crate) fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the call touches no memory; that nobody in this process owns these descriptors
    // is what `close_all_but` asks of its caller.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) };
    outcome(answer).map(|_| ())
}

fn outcome(answer: libc::c_long) -> io::Result<libc::c_long> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
