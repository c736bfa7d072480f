//! The test's stand-in for a process under a policy: enters it, makes every attempt, and prints
//! what came of each. The attempts are fixed, and harmless where they pass.
#![cfg_attr(target_os = "linux", expect(clippy::print_stdout, reason = "the test reads it"))]

#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod modes;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod world;

/// A name, and the act.
#[cfg(target_os = "linux")]
type Attempt = (&'static str, fn(&world::World) -> std::io::Result<()>);

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    kernel::end_after_a_minute();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match modes::run(&arguments) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            println!("error\t{error:?}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
