//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Runs AI on this computer, guarded: the launcher of the companion.
#[derive(Debug, Parser)]
#[command(
    name = "companion",
    version,
    after_help = "\
Example:
  companion up                          in the foreground, until Ctrl-C or TERM
  companionctl status                   in another terminal"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the three processes in the foreground and watch over them.
    Up(UpArguments),
    /// Set up this installation: `companionctl init`.
    #[command(disable_help_flag = true)]
    Init {
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// Configuration file instead of $XDG_CONFIG_HOME/companion/config.toml.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Name of the installation, instead of the configured one.
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Show the whole log, on a terminal too; elsewhere it is always whole.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Directory of the state, instead of $XDG_STATE_HOME/companion/<profile>.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Directory of the sockets, instead of $XDG_RUNTIME_DIR/companion/<profile>.
    #[arg(long, value_name = "DIR")]
    pub(crate) runtime_dir: Option<PathBuf>,
    /// Directory of models and runtimes, instead of $XDG_DATA_HOME/companion.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}
