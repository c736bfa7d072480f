//! Capabilities: all of them, in every set.

use caps::{CapSet, Capability};
use rustix::thread::{
    CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set,
};

use crate::ConfineError;

/// Empties the bounding, ambient, inheritable, permitted and effective sets of this thread.
///
/// The bounding set needs CAP_SETPCAP. A process without it (an ordinary user) keeps the set,
/// which then gives nothing: it only bounds what exec may add, and no_new_privs adds nothing
/// (capabilities(7), execve(2)).
pub(crate) fn drop_all() -> Result<(), ConfineError> {
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(failed)? {
        empty_bounding_set()?;
    }
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Permitted] {
        caps::clear(None, set).map_err(failed)?;
    }
    Ok(())
}

/// By number rather than by name, so that a capability newer than this code goes too. The
/// kernel answers EINVAL for numbers past its last.
fn empty_bounding_set() -> Result<(), ConfineError> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(true) => remove_capability_from_bounding_set(capability).map_err(failed)?,
            Ok(false) => {}
            Err(rustix::io::Errno::INVAL) => break,
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> ConfineError {
    ConfineError::Capabilities(Box::new(error))
}
