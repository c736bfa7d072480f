//! An end that is over when it returns, for values that are dropped.

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::process::Child;

/// Kills a child and waits until the kernel has ended it, so that nobody writes any more into a
/// directory that is removed next. Its exit status is left for the runtime to collect.
pub(crate) fn end(child: &mut Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let (Some(pid), Ok(())) = (pid, child.start_kill()) {
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        let _ = waitid(Id::Pid(Pid::from_raw(pid)), ended);
    }
}
