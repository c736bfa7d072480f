//! `gguf-facts`: reads a model file's own metadata from standard input and prints it as JSON.
//!
//! The file came from anywhere, so the process gives up every right before its first byte: no
//! file, no socket, no other program.

mod parse;

use std::io::{BufReader, Write, stdin, stdout};
use std::process::ExitCode;

use confine::Policy;

fn main() -> ExitCode {
    let read = || -> Result<(), Box<dyn std::error::Error>> {
        confine::enter(&Policy::parser())?;
        let facts = parse::facts(&mut BufReader::new(stdin().lock()))?;
        stdout().write_all(&serde_json::to_vec(&facts)?)?;
        Ok(())
    };
    match read() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gguf-facts: {error}");
            ExitCode::FAILURE
        }
    }
}
