//! `companionctl completions SHELL`.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use serde_json::json;

use crate::cli::Cli;
use crate::output::Output;
use crate::refusal::{Failure, Refusal};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  companionctl completions bash > ~/.local/share/bash-completion/completions/companionctl
  companionctl completions zsh > \"${fpath[1]}/_companionctl\"
  companionctl completions fish > ~/.config/fish/completions/companionctl.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell to write for
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, out: &Output) -> Result<ExitCode, Failure> {
    let script = script(args.shell)?;
    if out.is_json() {
        out.object(&json!({ "shell": args.shell.to_string(), "script": script }))?;
    } else {
        out.piece(&script)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn script(shell: Shell) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "companionctl", &mut bytes);
    String::from_utf8(bytes).map_err(|_| Refusal::new("internal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell).expect("script");
            for name in ["status", "sign-in", "enrich", "runtime-dir"] {
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }
}
