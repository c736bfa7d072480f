//! How many threads this process has.

use crate::ConfineError;

/// Fails when this process has more than one thread.
///
/// Counted by the links of `/proc/self/task`, two and one for each thread
/// (`proc_task_getattr` in the kernel's fs/proc/base.c): that works under a Landlock domain
/// without any rule for `/proc`, where no file of it can be opened.
pub(crate) fn refuse_a_second_thread() -> Result<(), ConfineError> {
    let task = rustix::fs::stat("/proc/self/task")
        .map_err(|errno| ConfineError::ThreadsUnknown(errno.into()))?;
    if task.st_nlink == 3 { Ok(()) } else { Err(ConfineError::SecondThread) }
}
