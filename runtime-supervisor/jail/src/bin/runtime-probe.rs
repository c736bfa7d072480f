//! `runtime-probe`: what `runtime-jail` becomes when a person asks what a runtime can do. It makes
//! the fixed attempts of a runtime, aimed at what its one argument names, and prints them as JSON.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match tried() {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}

#[cfg(target_os = "linux")]
fn tried() -> Option<()> {
    let aims: confine::Aims = serde_json::from_str(&std::env::args().nth(1)?).ok()?;
    let trials = confine::try_all(confine::Tried::Runtime, &aims);
    serde_json::to_writer(std::io::stdout().lock(), &trials).ok()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    ExitCode::FAILURE
}
