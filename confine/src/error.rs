//! Why a process could not be confined. There is one answer to each of them: it ends.

use std::error::Error;
use std::io;

/// Why a process could not be confined; it must end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfineError {
    /// No confinement is written for this platform.
    #[error("confinement needs Linux with Landlock and seccomp; this platform has neither")]
    PlatformMissing,
    /// No system call filter is written for this processor.
    #[error("the system call filter is written for x86-64 and aarch64 only")]
    ProcessorMissing,
    /// The kernel lacks Landlock, or it was not enabled at boot.
    #[error("the kernel lacks Landlock (Linux 5.13 or newer, with `landlock` among its LSMs)")]
    LandlockMissing,
    /// The kernel lacks seccomp filters.
    #[error("the kernel lacks seccomp filters (CONFIG_SECCOMP_FILTER)")]
    SeccompMissing,
    /// More than one thread: Landlock and capabilities would bind only one of them.
    #[error("a process is confined before it has a second thread")]
    SecondThread,
    /// The threads could not be counted.
    #[error("the threads of this process cannot be counted")]
    ThreadsUnknown(#[source] io::Error),
    /// The parent is not the expected one: it died before the death signal was set.
    #[error("the parent process is gone")]
    ParentGone,
    /// The parent-death signal could not be set.
    #[error("the parent-death signal cannot be set")]
    ParentSignal(#[source] io::Error),
    /// Inherited descriptors could not be closed.
    #[error("inherited descriptors cannot be closed")]
    Descriptors(#[source] io::Error),
    /// A resource limit could not be set.
    #[error("a resource limit cannot be set")]
    Limit(#[source] io::Error),
    /// `no_new_privs` could not be set.
    #[error("no_new_privs cannot be set")]
    NoNewPrivileges(#[source] io::Error),
    /// Capabilities could not be dropped.
    #[error("capabilities cannot be dropped")]
    Capabilities(#[source] Box<dyn Error + Send + Sync>),
    /// The process could not be made non-dumpable.
    #[error("the process cannot be made non-dumpable")]
    Dumpable(#[source] io::Error),
    /// A place that the policy needs is not there.
    #[error("a place that the policy names cannot be opened: {reason}")]
    PlaceMissing {
        /// What the rule is for; a constant of the policy.
        reason: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The Landlock domain could not be entered.
    #[error("the Landlock domain cannot be entered")]
    Landlock(#[source] Box<dyn Error + Send + Sync>),
    /// The kernel enforces less of the Landlock domain than its ABI promises.
    #[error("the Landlock domain is not enforced in full")]
    LandlockPartial,
    /// The system call filters could not be built or entered.
    #[error("the system call filter cannot be entered")]
    Seccomp(#[source] Box<dyn Error + Send + Sync>),
}
