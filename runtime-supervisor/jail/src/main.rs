//! `runtime-jail`: a single-threaded program that tightens what it inherits and becomes
//! `llama-server`. The supervisor starts it with a plan on descriptor 3, the verified binary on
//! 4 and the verified model on 5; it takes no argument and no environment.

#[cfg(target_os = "linux")]
mod become_runtime;
#[cfg(target_os = "linux")]
mod directories;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod refusal;

use std::io::Write;
use std::process::ExitCode;

/// What no program that it may become answers with.
const REFUSED: u8 = 125;

/// Returns only when it could not become the runtime: one constant line says why.
#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    refuse(&become_runtime::become_runtime().to_string())
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    refuse(&confine::ConfineError::PlatformMissing.to_string())
}

/// A standard error that is gone changes nothing about the refusal.
fn refuse(reason: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "runtime-jail: {reason}");
    ExitCode::from(REFUSED)
}
