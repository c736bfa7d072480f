//! `companionctl catalog …` becomes `companion-catalog`, which lies beside this program: the library
//! of catalogs is not linked here.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use clap::Args;

use crate::refusal::{Failure, Refusal};

#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "Example:\n  companionctl catalog --help\n  companionctl catalog verify --dir ~/catalog"
)]
pub(crate) struct CatalogArgs {
    /// init, show, add, publish, rotate or verify, with its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub(crate) arguments: Vec<OsString>,
}

/// `json`: whether `--json` stood before the command's name.
pub(crate) fn run(args: &CatalogArgs, json: bool) -> Result<ExitCode, Failure> {
    let own = std::env::current_exe().map_err(|_| Refusal::new("internal"))?;
    let mut signer = Command::new(own.with_file_name("companion-catalog"));
    if json {
        signer.arg("--json");
    }
    // Returns only when the program could not be started.
    let error = signer.args(&args.arguments).exec();
    Err(Refusal::new("program_not_started").with_detail(&error.to_string()).into())
}
