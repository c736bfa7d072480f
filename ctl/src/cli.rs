//! The command line: every flag and every example in one place that `--help` prints.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueHint};

use crate::commands::{
    catalog, chat, completions, enrich, exec, init, lane, logs, man, models, pull, rm, sign_in,
    start, ui,
};
use crate::output::FailureShape;

const EXAMPLES: &str = "\
Examples:
  companionctl sign-in                       sign in with the browser
  companionctl models                        what the signed catalog offers
  companionctl pull smollm2-135m-instruct    download and verify
  companionctl start smollm2-135m-instruct   load it behind the guarded endpoint
  companionctl chat \"Why is the sky blue?\"   ask it something
  companionctl ui                            the same in the browser
  companionctl exec -- python notes.py       run an OpenAI client against it

Exit codes: 0 success, 1 refused or failed (the reason is printed), 2 wrong usage.";

/// Talk to the companion: private AI on this computer.
#[derive(Debug, Parser)]
#[command(name = "companionctl", version, after_help = EXAMPLES)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes, before or after its name.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Read this configuration file instead of the default one
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Use the installation of this name
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Find the sockets in this directory
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) runtime_dir: Option<PathBuf>,
    /// Directory of the companion's state
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Directory of models and runtimes
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON with stable field names; one object a line where a command takes time
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// A command without arguments of its own.
#[derive(Debug, Args)]
pub(crate) struct Bare {}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show whether the endpoint is available, and what is missing if not
    #[command(after_help = "\
Examples:
  companionctl status
  companionctl status --json | jq -e .available

Exit code 0 while the companion runs, available or not; 1 when it does not run.")]
    Status(Bare),
    /// Watch it live: availability, requests, tokens a second, memory
    #[command(after_help = "\
Example:
  companionctl top

Keys: q quits, r shows the last refusals, l the runtime's output, Esc goes back. It needs a terminal
of 80 columns and 24 rows; `companionctl status --json` is for programs.")]
    Top(Bare),
    /// Sign in at the first-party service with the system browser
    SignIn(sign_in::SignInArgs),
    /// Revoke the session and forget it
    #[command(after_help = "Example:\n  companionctl sign-out")]
    SignOut(Bare),
    /// Show the session, its scopes and the keychain that holds it
    #[command(after_help = "Example:\n  companionctl session --json")]
    Session(Bare),
    /// List the models and runtimes of the signed catalog
    Models(models::ModelsArgs),
    /// Download models or runtimes and verify them
    Pull(pull::PullArgs),
    /// Start a model and wait until the endpoint is available
    Start(start::StartArgs),
    /// Stop the running model, letting streams end
    #[command(after_help = "Example:\n  companionctl stop")]
    Stop(Bare),
    /// Remove a model or runtime from the store
    Rm(rm::RmArgs),
    /// Print the two variables an OpenAI client needs
    #[command(after_help = "\
Example:
  eval \"$(companionctl env)\"

The key is the loopback token of this start of the companion: it opens the endpoint on this
computer and nothing else, and the next start replaces it. Where a proxy is set in the
environment, NO_PROXY is printed too, so that the key does not travel to it.")]
    Env(Bare),
    /// Run a program with the endpoint and its key in the environment
    Exec(exec::ExecArgs),
    /// Ask the model, and stream its answer
    Chat(chat::ChatArgs),
    /// Open a page in the browser: status, models, and a conversation
    Ui(ui::UiArgs),
    /// Summarise and tag Markdown notes, on this computer
    Enrich(enrich::EnrichArgs),
    /// Let each process try what it may and may not do, and show what happened
    #[command(after_help = "\
Examples:
  companionctl capabilities
  companionctl capabilities --json | jq -e .as_expected

The attempts are fixed and harmless: each process makes its own just then, a probe in the
runtime's place makes the runtime's. Exit code 0 when everything was as expected, else 1.")]
    Capabilities(Bare),
    /// Show which lane a piece of work may take
    Lane(lane::LaneArgs),
    /// Show the runtime's output
    Logs(logs::LogsArgs),
    /// Check this computer and this installation, and name what mends each fault
    #[command(after_help = "\
Examples:
  companionctl doctor
  companionctl doctor --json | jq '.checks[] | select(.state != \"ok\")'

Works whether the companion runs or not. Exit code 0 when nothing fails, 1 otherwise; a warning is
no failure.")]
    Doctor(Bare),
    /// Make and maintain a signed catalog of your own models
    Catalog(catalog::CatalogArgs),
    /// Set up this installation: an account at a gateway, or models of your own
    Init(init::InitArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print a manual page
    Man(man::ManArgs),
}

impl Command {
    /// Commands that take time report a failure as an event, the others as one object.
    pub(crate) fn failure_shape(&self) -> FailureShape {
        match self {
            Self::SignIn(_)
            | Self::Pull(_)
            | Self::Start(_)
            | Self::Chat(_)
            | Self::Ui(_)
            | Self::Enrich(_)
            | Self::Logs(_) => FailureShape::Event,
            Self::Status(_)
            | Self::Top(_)
            | Self::SignOut(_)
            | Self::Session(_)
            | Self::Models(_)
            | Self::Stop(_)
            | Self::Rm(_)
            | Self::Env(_)
            | Self::Exec(_)
            | Self::Capabilities(_)
            | Self::Lane(_)
            | Self::Doctor(_)
            | Self::Completions(_)
            | Self::Catalog(_)
            | Self::Init(_)
            | Self::Man(_) => FailureShape::Object,
        }
    }
}

/// Says what is wrong with the command line, and gives the exit code for that.
pub(crate) fn usage(text: &str) -> ExitCode {
    let error = Cli::command().error(ErrorKind::MissingRequiredArgument, text);
    // When standard error is closed the exit code still tells.
    let _unread = error.print();
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("companionctl").chain(line.iter().copied()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in [
            ["--json", "--profile", "work", "status"],
            ["status", "--json", "--profile", "work"],
            ["--profile", "work", "status", "--json"],
        ] {
            let cli = parse(&line).expect("parses");
            assert!(cli.global.json);
            assert_eq!(cli.global.profile.as_deref(), Some("work"));
            assert!(matches!(cli.command, Command::Status(_)));
        }
    }

    #[test]
    fn everything_after_the_program_of_exec_is_the_programs() {
        for line in [
            &["exec", "--", "python", "-c", "print(1)", "--json"][..],
            &["exec", "python", "-c", "print(1)", "--json"][..],
        ] {
            let cli = parse(line).expect("parses");
            assert!(!cli.global.json);
            let Command::Exec(args) = cli.command else { panic!("exec") };
            assert_eq!(args.program, ["python", "-c", "print(1)", "--json"]);
        }
        assert_eq!(parse(&["exec"]).expect_err("no program").exit_code(), 2);
    }

    #[test]
    fn wrong_usage_has_exit_code_two() {
        for line in [
            &["status", "extra"][..],
            &["frobnicate"][..],
            &["pull"][..],
            &["enrich"][..],
            &["chat", "--temperature", "hot"][..],
            &["chat", "--temperature", "-1"][..],
            &["chat", "--max-tokens", "0"][..],
            &[][..],
        ] {
            assert_eq!(parse(line).expect_err("refused").exit_code(), 2, "{line:?}");
        }
    }

    #[test]
    fn every_command_shows_an_example_in_its_help() {
        for command in Cli::command().get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{}", command.get_name());
            assert!(help.contains("companionctl "), "{}", command.get_name());
        }
    }

    #[test]
    fn commands_that_take_time_fail_as_an_event() {
        let shape = |line: &[&str]| parse(line).expect("parses").command.failure_shape();
        assert_eq!(shape(&["pull", "x"]), FailureShape::Event);
        assert_eq!(shape(&["sign-in"]), FailureShape::Event);
        assert_eq!(shape(&["models"]), FailureShape::Object);
        assert_eq!(shape(&["env"]), FailureShape::Object);
    }
}
