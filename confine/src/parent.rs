//! Nobody's death leaves an orphan.

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::ConfineError;

/// Asks for SIGKILL at the parent's death, then checks that the parent is still `expected`.
///
/// The signal follows the *thread* that forked: a parent spawns from one thread that lives as
/// long as the process (prctl(2), PR_SET_PDEATHSIG). To be called after any change of user or
/// group, which clears it; exec of an ordinary file keeps it.
///
/// # Errors
/// [`ConfineError::ParentGone`] when the parent died before the signal was set.
pub fn die_with_parent(expected: u32) -> Result<(), ConfineError> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|errno| ConfineError::ParentSignal(errno.into()))?;
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent == Some(expected) { Ok(()) } else { Err(ConfineError::ParentGone) }
}
