//! What the supervisor tells `runtime-jail`, and on which descriptors.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The [`JailPlan`] as JSON, read to its end.
pub const PLAN_DESCRIPTOR: i32 = 3;
/// The runtime's verified binary; an `O_PATH` descriptor of a mode 0111 file will do.
pub const BINARY_DESCRIPTOR: i32 = 4;
/// The verified model, open for reading; it stays open in the runtime.
pub const MODEL_DESCRIPTOR: i32 = 5;
/// The directory of a runtime that came as an archive; only where the plan says so.
pub const LIBRARIES_DESCRIPTOR: i32 = 6;
/// Longest plan, in bytes.
pub const MAX_PLAN_BYTES: u64 = 64 * 1024;

/// Plan of the jail: JSON on [`PLAN_DESCRIPTOR`], beside [`BINARY_DESCRIPTOR`] and
/// [`MODEL_DESCRIPTOR`]. It carries no path but the scratch directory, and no environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JailPlan {
    /// Parent that must still be there.
    pub supervisor_pid: u32,
    /// Arguments after argv[0].
    pub arguments: Vec<String>,
    /// Where socket, HOME and TMPDIR lie.
    pub scratch_dir: PathBuf,
    /// RLIMIT_DATA; None: unlimited.
    pub max_data_bytes: Option<u64>,
    /// Whether the devices of graphics cards are in its sandbox.
    pub gpu: bool,
    /// Whether it reads libraries of its own, beneath [`LIBRARIES_DESCRIPTOR`].
    pub libraries: bool,
}
