//! `companionctl man [COMMAND]`: manual pages, made from the command definitions.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Command, CommandFactory as _};
use serde_json::json;

use crate::cli::Cli;
use crate::output::Output;
use crate::refusal::{Failure, Refusal};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  companionctl man | man -l -
  companionctl man enrich | man -l -
  companionctl man > ~/.local/share/man/man1/companionctl.1")]
pub(crate) struct ManArgs {
    /// The command to describe; else the whole program
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

pub(crate) fn run(args: &ManArgs, out: &Output) -> Result<ExitCode, Failure> {
    let Some(command) = described(args.command.as_deref()) else {
        let error = Cli::command().error(ErrorKind::InvalidSubcommand, "there is no such command");
        // When standard error is closed the exit code still tells.
        let _unread = error.print();
        return Ok(ExitCode::from(2));
    };
    let page = page(command)?;
    if out.is_json() {
        out.object(&json!({ "page": page }))?;
    } else {
        out.piece(&page)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The program, or one of its commands under the name that a person types.
fn described(name: Option<&str>) -> Option<Command> {
    let mut program = Cli::command();
    program.build();
    let Some(name) = name else { return Some(program) };
    let command = program.find_subcommand(name)?.clone();
    let title = format!("companionctl-{}", command.get_name());
    Some(command.display_name(title))
}

/// The page in roff, section 1.
fn page(command: Command) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    clap_mangen::Man::new(command).render(&mut bytes).map_err(|_| Refusal::new("internal"))?;
    String::from_utf8(bytes).map_err(|_| Refusal::new("internal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_flags_and_examples() {
        let program = page(described(None).expect("program")).expect("page");
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let page = page(described(Some(name)).expect(name)).expect("page");
            assert!(page.contains(".TH companionctl"), "{name}: {page}");
            assert!(page.contains("Example") && page.contains("json"), "{name}: {page}");
            assert!(program.contains(&name.replace('-', "\\-")), "{name}");
        }
        assert!(described(Some("frobnicate")).is_none());
    }
}
