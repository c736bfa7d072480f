//! `gguf-facts`: reads what a model file, or the archive of a runtime, says of itself from standard
//! input and prints it as JSON.
//!
//! The file came from anywhere, so the process gives up every right before its first byte: no
//! file, no socket, no other program.

mod archive;
mod parse;

use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::process::ExitCode;

use confine::Policy;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gguf-facts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    confine::enter(&Policy::parser())?;
    let input = stdin().lock();
    let size = std::fs::File::from(input.as_fd().try_clone_to_owned()?).metadata()?.len();
    let mut input = BufReader::new(input);
    let text = if input.fill_buf()?.starts_with(&runtime_archive::MAGIC) {
        serde_json::to_vec(&archive::facts(&mut input, size)?)?
    } else {
        serde_json::to_vec(&parse::facts(&mut input)?)?
    };
    stdout().write_all(&text)?;
    Ok(())
}
