//! What needs `unsafe`: the inherited descriptors, and exec. All of this program's `unsafe` is
//! here.
#![expect(unsafe_code, reason = "descriptor numbers and raw calls, each with its SAFETY note")]

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{BorrowedFd, FromRawFd};
use std::ptr;

use confine::{BINARY_DESCRIPTOR, LIBRARIES_DESCRIPTOR, MODEL_DESCRIPTOR, PLAN_DESCRIPTOR};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use crate::refusal::Refusal;

/// The descriptor that the plan is read from; to be called once, first thing.
pub(crate) fn plan() -> Result<File, Refusal> {
    inherited(PLAN_DESCRIPTOR).map_err(|_| Refusal::PlanUnreadable)?;
    // SAFETY: it is open, was inherited at birth, and nothing else in this process owns it.
    Ok(unsafe { File::from_raw_fd(PLAN_DESCRIPTOR) })
}

/// The verified binary (closed by exec) and the verified model (kept open by it), both open
/// until this process ends.
pub(crate) fn binary_and_model() -> Result<(BorrowedFd<'static>, BorrowedFd<'static>), Refusal> {
    let binary = inherited(BINARY_DESCRIPTOR)?;
    let model = inherited(MODEL_DESCRIPTOR)?;
    fcntl_setfd(binary, FdFlags::CLOEXEC).map_err(|_| Refusal::DescriptorsMissing)?;
    fcntl_setfd(model, FdFlags::empty()).map_err(|_| Refusal::DescriptorsMissing)?;
    Ok((binary, model))
}

/// The directory of the runtime's own libraries, closed by exec.
pub(crate) fn libraries() -> Result<BorrowedFd<'static>, Refusal> {
    let libraries = inherited(LIBRARIES_DESCRIPTOR)?;
    fcntl_setfd(libraries, FdFlags::CLOEXEC).map_err(|_| Refusal::DescriptorsMissing)?;
    Ok(libraries)
}

fn inherited(number: i32) -> Result<BorrowedFd<'static>, Refusal> {
    // SAFETY: nothing in this process owns or closes the inherited numbers but `plan`'s caller;
    // whether it is open at all is what the next call finds out.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_getfd(descriptor).map_err(|_| Refusal::DescriptorsMissing)?;
    Ok(descriptor)
}

/// Becomes the program on [`BINARY_DESCRIPTOR`]; returns only when that failed.
pub(crate) fn execute(arguments: &[CString], environment: &[CString]) -> Refusal {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // The standard library ignores SIGPIPE in this program, and exec would pass that on.
    // SAFETY: no handler is installed, and this process has a single thread.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    // SAFETY: the name is a C string, both lists end with null, and all outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            BINARY_DESCRIPTOR,
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Refusal::NotExecuted
}
