//! The decisions of the runtime supervisor: facts in, values out.
//!
//! Nothing here reads a file, a clock, a socket or a random number. A value with a private
//! constructor ([`PermittedUrl`], [`VerifiedBytes`], [`VerifiedFile`], [`ConfirmedFile`],
//! [`LaunchPlan`], [`StartPermit`], [`WithinLimits`]) is the proof that its decision was taken;
//! the next step of the shell cannot be called without it.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

mod archive;
pub mod bounds;
mod crash;
mod figures;
mod health;
mod integrity;
mod launch;
mod lifecycle;
mod limits;
mod reason;
mod source;

pub use archive::{
    ArchiveSurvey, EntryKind, EntryName, Layout, PROGRAM, Unpack, UnpackedFiles, UntrustedEntry,
};
pub use crash::{CrashHistory, CrashVerdict};
pub use figures::{CpuClock, ProcessFigures, cpu_percent};
pub use health::{HealthStreak, Outcome};
pub use integrity::{
    Accumulator, ConfirmedFile, Digest, FileIdentity, IdentityRecord, Spec, VerifiedBytes,
    VerifiedFile, validate_spec,
};
pub use launch::{LaunchPlan, LaunchSettings, StartPermit, is_artifact_id};
pub use lifecycle::{Event, State, step};
pub use limits::{Limits, Observation, WithinLimits, is_drained_for, judge};
pub use reason::Reason;
pub use source::{AllowedSources, PermittedUrl, follow_redirect, validate_source};
