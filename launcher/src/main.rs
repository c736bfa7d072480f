//! `companion`: starts, watches and connects the three processes. It holds no secret.

mod budget;
mod catalog_files;
mod children;
mod cli;
mod dialer;
mod directories;
mod figures;
mod limits;
mod listeners;
mod monitor;
mod notify;
mod reclaim;
mod resolve;
mod runtime_socket;
mod sealed;
mod session_bus;
mod table;
mod trials;
mod up;
mod voice;
mod watch;
mod words;

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use clap::Parser;

use crate::voice::Voice;

fn main() -> ExitCode {
    let arguments = match cli::Cli::parse().command {
        cli::Command::Up(arguments) => arguments,
        cli::Command::Init { arguments } => return init(&arguments),
    };
    let voice = Voice::at_start(arguments.verbose);
    voice.start_log();
    match up::up(&arguments, voice) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("companion: {}", words::message(&error));
            ExitCode::FAILURE
        }
    }
}

/// Becomes `companionctl init`, which lies beside this program.
fn init(arguments: &[std::ffi::OsString]) -> ExitCode {
    let own = std::env::current_exe().unwrap_or_default();
    let mut command = std::process::Command::new(own.with_file_name("companionctl"));
    let error = command.arg("init").args(arguments).exec();
    eprintln!(
        "companion: companionctl cannot be started: {error}. Install the companion's programs in \
         one directory. (program_not_started)"
    );
    ExitCode::FAILURE
}
