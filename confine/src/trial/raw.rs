//! System calls that no safe wrapper makes, with arguments by which nothing happens where they
//! are not refused. All of the trial's `unsafe` is here.
#![expect(unsafe_code, reason = "raw calls, each with its SAFETY note")]

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use libc::c_long;
use rustix::io::Errno;

/// A number that is no descriptor, flag or operation.
const NOTHING: usize = usize::MAX;

/// By a name that nobody has: ENOENT where it is allowed.
pub(super) fn connect_by_path(socket: OwnedFd) -> Result<(), Errno> {
    let name = b"/nonexistent/companion-attempt";
    let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
    for (to, from) in address.sun_path.iter_mut().zip(name) {
        *to = from.cast_signed();
    }
    // SAFETY: the address outlives the call and is as long as is said.
    let answer = unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            (2 + name.len()) as libc::socklen_t,
        )
    };
    outcome(answer.into())
}

/// The file is no program: ENOEXEC, and this process goes on, where exec is allowed.
pub(super) fn execute(file: &Path) -> Result<(), Errno> {
    let name = CString::new(file.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    let nothing: [*const libc::c_char; 1] = [ptr::null()];
    // SAFETY: the name is a C string, both lists end with null, and all outlive the call. execve
    // only returns while this program is untouched (execve(2)).
    let answer = unsafe { libc::execve(name.as_ptr(), nothing.as_ptr(), nothing.as_ptr()) };
    outcome(answer.into())
}

/// CLONE_SIGHAND without CLONE_VM makes no process: EINVAL (clone(2)).
pub(super) fn clone_badly() -> Result<(), Errno> {
    call(libc::SYS_clone, [libc::CLONE_SIGHAND as usize, 0, 0, 0, 0])
}

/// There is no process 0 to trace: ESRCH.
pub(super) fn trace_nobody() -> Result<(), Errno> {
    call(libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, 0, 0, 0])
}

/// No ranges: nothing is read.
pub(super) fn read_nobody() -> Result<(), Errno> {
    call(libc::SYS_process_vm_readv, [std::process::id() as usize, 0, 0, 0, 0, 0])
}

/// No such operation: EOPNOTSUPP.
pub(super) fn keyctl_badly() -> Result<(), Errno> {
    call(libc::SYS_keyctl, [9999, 0, 0, 0, 0])
}

/// A ring of no entries: EINVAL.
pub(super) fn ring_badly() -> Result<(), Errno> {
    call(libc::SYS_io_uring_setup, [0, 0])
}

/// A description longer than any: E2BIG.
pub(super) fn bpf_badly() -> Result<(), Errno> {
    call(libc::SYS_bpf, [0, 0, 1 << 20])
}

/// No such namespace: EINVAL.
pub(super) fn unshare_badly() -> Result<(), Errno> {
    call(libc::SYS_unshare, [1])
}

/// Arguments at addresses that nobody has: EFAULT.
pub(super) fn mount_badly() -> Result<(), Errno> {
    call(libc::SYS_mount, [1, 1, 1, 0, 0])
}

/// No such descriptor: EBADF.
pub(super) fn watch_badly() -> Result<(), Errno> {
    call(libc::SYS_inotify_add_watch, [NOTHING, 0, 0])
}

fn call<const N: usize>(number: c_long, arguments: [usize; N]) -> Result<(), Errno> {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: every caller in this file passes numbers and addresses that are null or nobody's,
    // which the kernel answers with an error; it writes nothing.
    outcome(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

fn outcome(answer: c_long) -> Result<(), Errno> {
    if answer < 0 {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    } else {
        Ok(())
    }
}
