//! Platforms whose confinement is not written yet: everything answers what is missing, so the
//! launcher refuses to start there.

use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::{ConfineError, Confinement};

/// A policy that this platform cannot enforce.
#[derive(Debug, Clone)]
pub struct Policy;

/// One line of a policy, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it allows or denies.
    pub what: String,
    /// Why.
    pub reason: &'static str,
}

impl Policy {
    /// See the Linux version.
    pub fn broker(_state_dir: &Path, _kernel_keyring: bool) -> Self {
        Self
    }

    /// See the Linux version.
    pub fn supervisor(_store_dir: &Path, _scratch_dir: &Path, _jail: &Path, _probe: &Path) -> Self {
        Self
    }

    /// See the Linux version.
    pub fn frontdoor() -> Self {
        Self
    }

    /// See the Linux version.
    pub fn runtime(
        _scratch_dir: &Path,
        _binary: BorrowedFd<'_>,
        _model: BorrowedFd<'_>,
        _max_data_bytes: Option<u64>,
    ) -> Self {
        Self
    }

    /// See the Linux version.
    #[must_use]
    pub fn with_gpu(self) -> Self {
        self
    }

    /// Nothing: no rule is enforced here.
    pub fn lines(&self) -> Vec<Line> {
        Vec::new()
    }
}

/// Always fails here.
///
/// # Errors
/// [`ConfineError::PlatformMissing`].
pub fn die_with_parent(_expected: u32) -> Result<(), ConfineError> {
    Err(ConfineError::PlatformMissing)
}

/// Always fails here.
///
/// # Errors
/// [`ConfineError::PlatformMissing`].
pub fn close_all_but(_keep: &[i32]) -> Result<(), ConfineError> {
    Err(ConfineError::PlatformMissing)
}

/// Always fails here.
///
/// # Errors
/// [`ConfineError::PlatformMissing`].
pub fn enter(_policy: &Policy) -> Result<Confinement, ConfineError> {
    Err(ConfineError::PlatformMissing)
}

/// Always fails here.
///
/// # Errors
/// [`ConfineError::PlatformMissing`].
pub fn supported() -> Result<Confinement, ConfineError> {
    Err(ConfineError::PlatformMissing)
}

/// Nothing is in force here.
pub fn landlock_abi_in_force() -> u32 {
    0
}

/// Nothing is offered here, so nothing is left open by it.
pub fn gaps(_abi: i32) -> Vec<String> {
    Vec::new()
}
