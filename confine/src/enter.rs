//! The order in which a process gives up what it does not need.

use std::sync::OnceLock;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::set_no_new_privs;

use crate::policy::Policy;
use crate::{ConfineError, Confinement, capabilities, landlock, limits, seccomp, threads};

/// Set once this process has entered its policy whole.
static IN_FORCE: OnceLock<i32> = OnceLock::new();

/// The Landlock ABI that this process is held by, its filter beside it; 0 before [`enter`] has
/// succeeded.
pub fn landlock_abi_in_force() -> u32 {
    IN_FORCE.get().copied().unwrap_or(0).unsigned_abs()
}

/// Enters the policy: resource limits, no_new_privs, capabilities, not dumpable, Landlock,
/// seccomp. Only while the process has a single thread, since Landlock and capabilities bind
/// the calling thread and those it starts later.
///
/// # Errors
/// Whatever could not be enforced; the process must end then, it may be half confined.
pub fn enter(policy: &Policy) -> Result<Confinement, ConfineError> {
    let confinement = supported()?;
    threads::refuse_a_second_thread()?;
    limits::lower(&policy.limits)?;
    forgo_privileges()?;
    landlock::restrict(&policy.files)?;
    seccomp::restrict(&policy.calls)?;
    let _ = IN_FORCE.set(confinement.landlock_abi);
    Ok(confinement)
}

/// Tells what this kernel offers; the launcher refuses to start without it.
///
/// # Errors
/// What is missing: the platform, the processor, Landlock or seccomp.
pub fn supported() -> Result<Confinement, ConfineError> {
    seccomp::supported()?;
    let landlock_abi = landlock::abi()?;
    Ok(Confinement { landlock_abi, gaps: landlock::gaps(landlock_abi) })
}

/// What a process gives up that is confined by nothing else, the launcher: core files, and
/// privileges gained by exec. Its children inherit both.
///
/// # Errors
/// As [`enter`].
pub fn tighten_unconfined() -> Result<(), ConfineError> {
    limits::lower(&[crate::policy::NO_CORE])?;
    set_no_new_privs(true).map_err(|errno| ConfineError::NoNewPrivileges(errno.into()))
}

/// Enters the Landlock half of a policy and nothing else: for the tests that show each layer to
/// hold with the ones beside it removed. No product process calls it.
///
/// # Errors
/// As [`enter`].
#[doc(hidden)]
pub fn enter_files_only(policy: &Policy) -> Result<(), ConfineError> {
    threads::refuse_a_second_thread()?;
    landlock::restrict(&policy.files)
}

/// Enters the system call filter of a policy and nothing else, capabilities kept: for the same
/// tests as [`enter_files_only`]. No product process calls it.
///
/// # Errors
/// As [`enter`].
#[doc(hidden)]
pub fn enter_system_calls_only(policy: &Policy) -> Result<(), ConfineError> {
    threads::refuse_a_second_thread()?;
    seccomp::restrict(&policy.calls)
}

/// Enters the resource limits of a policy and nothing else: for the same tests as
/// [`enter_files_only`]. No product process calls it.
///
/// # Errors
/// As [`enter`].
#[doc(hidden)]
pub fn enter_limits_only(policy: &Policy) -> Result<(), ConfineError> {
    limits::lower(&policy.limits)
}

/// The bounding set goes before the capability that allows dropping it, and the dumpable flag
/// last, since the kernel sets it anew whenever credentials change.
fn forgo_privileges() -> Result<(), ConfineError> {
    set_no_new_privs(true).map_err(|errno| ConfineError::NoNewPrivileges(errno.into()))?;
    capabilities::drop_all()?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| ConfineError::Dumpable(errno.into()))
}
