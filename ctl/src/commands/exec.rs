//! `companionctl exec -- PROGRAM …`: the endpoint and its key, for one program alone.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use clap::{Args, ValueHint};

use crate::context::Context;
use crate::endpoint::{Access, variables};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  companionctl exec -- python notes.py
  companionctl exec -- sh -c 'curl -s \"$OPENAI_BASE_URL/models\" -H \"Authorization: Bearer $OPENAI_API_KEY\"'

The program's exit code is this command's. Where a proxy is set in the environment, NO_PROXY is
extended for the program, so that the key does not travel to it.")]
pub(crate) struct ExecArgs {
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PROGRAM",
        value_hint = ValueHint::CommandWithArguments
    )]
    pub(crate) program: Vec<OsString>,
}

pub(crate) async fn run(
    args: &ExecArgs,
    context: &Context,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let access = Access::ask(context).await?;
    if !access.takes_requests() {
        out.remark("Not available yet: requests are refused until `companionctl start ID`.");
    }
    let Some((program, arguments)) = args.program.split_first() else {
        return Err(Refusal::new("program_not_started").into());
    };
    // Returns only when the program could not be started.
    let error = Command::new(program)
        .args(arguments)
        .envs(variables(&access, &access.token.expose_for_program(), |name| {
            std::env::var(name).ok()
        }))
        .exec();
    Err(Refusal::new("program_not_started").with_detail(&error.to_string()).into())
}
