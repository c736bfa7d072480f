//! What each process may do, as data, and the kernel's means to hold it to that: Landlock,
//! seccomp, capabilities, resource limits, the parent-death signal.
//!
//! A child calls, while it has a single thread and before the first byte of outside input:
//! [`die_with_parent`], [`close_all_but`], [`enter`]. Rules only ever tighten, from parent to
//! child and from call to call; there is no way back and no switch that weakens them.

#[cfg(target_os = "linux")]
mod capabilities;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod enter;
mod error;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod parent;
mod plan;
#[cfg(target_os = "linux")]
mod policy;
#[cfg(target_os = "linux")]
mod seccomp;
#[cfg(target_os = "linux")]
mod session_keyring;
#[cfg(target_os = "linux")]
mod threads;
#[cfg(target_os = "linux")]
mod trial;

#[cfg(not(target_os = "linux"))]
mod elsewhere;

pub use error::ConfineError;
pub use plan::{
    BINARY_DESCRIPTOR, JailPlan, LIBRARIES_DESCRIPTOR, MAX_PLAN_BYTES, MODEL_DESCRIPTOR,
    PLAN_DESCRIPTOR,
};

#[cfg(target_os = "linux")]
pub use {
    descriptors::close_all_but,
    enter::{
        enter, enter_files_only, enter_limits_only, enter_system_calls_only, landlock_abi_in_force,
        supported, tighten_unconfined,
    },
    landlock::gaps,
    parent::die_with_parent,
    policy::{Layer, Line, Policy, Weakened},
    session_keyring::join_own_session_keyring,
    trial::{Aims, Trial, Tried, try_all},
};

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{
    Line, Policy, close_all_but, die_with_parent, enter, gaps, landlock_abi_in_force, supported,
};

/// What is in force, in plain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// Landlock ABI of the running kernel.
    pub landlock_abi: i32,
    /// What an older kernel leaves open, one sentence each; empty when nothing is.
    pub gaps: Vec<String>,
}
