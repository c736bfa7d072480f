//! Which programs a role may start.

use super::rule::CallRule;
use super::rule::Test::{IsNot, Lacks};
use super::rule::int;

/// For all but the supervisor: threads, and no process. clone3 answers ENOSYS to everyone,
/// since a filter cannot see its flags.
pub(super) const NO_NEW_PROCESS: &[CallRule] = &[
    #[cfg(target_arch = "x86_64")]
    CallRule::never(&[libc::SYS_fork, libc::SYS_vfork], "it starts no process"),
    CallRule::never_if(
        &[libc::SYS_clone],
        int(0, Lacks(libc::CLONE_THREAD as u64)),
        "it starts threads and no process",
    ),
];

/// For the broker and the front door.
pub(super) const NO_EXEC: &[CallRule] =
    &[CallRule::never(&[libc::SYS_execve, libc::SYS_execveat], "it never becomes another program")];

/// For the runtime: the jail's one execveat passes, by its descriptor and its flag.
///
/// The same call passes again later, and reaches nothing new: the descriptor is close-on-exec,
/// and Landlock lets only the runtime's own binary and its loader be executed.
pub(super) const EXEC_OF_THE_DESCRIPTOR: &[CallRule] = &[
    CallRule::never(&[libc::SYS_execve], "it never becomes another program"),
    CallRule::never_if(
        &[libc::SYS_execveat],
        int(0, IsNot(crate::BINARY_DESCRIPTOR as u64)),
        "only the verified binary that the jail was handed",
    ),
    CallRule::never_if(
        &[libc::SYS_execveat],
        int(4, IsNot(libc::AT_EMPTY_PATH as u64)),
        "only that descriptor itself, and no name beneath it",
    ),
];
