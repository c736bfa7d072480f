//! The project's own commands: `cargo xtask setup | demo | test | bench | walkthrough | picture | check`.
//!
//! Synchronous and small on purpose: it is compiled before anything else is, and it runs other
//! programs. Nothing of the product is linked.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command for people")]

mod bench;
mod check;
mod demo;
mod picture;
mod process;
mod report;
mod scratch;
mod setup;
mod signals;
mod stage;
mod test;
mod walkthrough;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::report::Report;
use crate::signals::Interrupted;

/// The companion's development commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make what demo, test and bench need: packages, llama-server, the model (once a machine)
    Setup,
    /// Run the whole companion against the development servers, on real input
    Demo(demo::DemoArgs),
    /// Run every check and every test, or one tier of them
    Test(test::TestArgs),
    /// Run benchmarks by name: ours beside others, same machine, same run
    Bench(bench::BenchArgs),
    /// Type what the README says as a newcomer, from clone to an answer, and tell the time it takes
    Walkthrough,
    /// Draw what a terminal shows: `tmux capture-pane -e -p | cargo xtask picture > docs/top.svg`
    Picture,
    /// Format, lints and the crate graph: the quick look before a commit
    Check,
    /// Become another program that ends with this one (used by the other commands)
    #[command(hide = true)]
    Child {
        #[arg(long)]
        parent: i32,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("Interrupted.");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Setup => {
            let assets = setup::everything(&mut Report::for_people())?;
            println!("llama-server  {}", assets.llama_server.display());
            println!("model         {}", assets.model.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Picture => picture::run(),
        Command::Walkthrough => walkthrough::run(),
        Command::Check => check::run(),
        Command::Child { parent, program } => process::become_program(parent, &program),
    }
}
