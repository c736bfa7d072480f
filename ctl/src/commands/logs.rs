//! `companionctl logs`: what the runtime said.

use std::process::ExitCode;

use clap::Args;
use runtime_api::v1::LogsRequest;
use serde_json::json;

use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::refusal::Failure;
use crate::terminal::plain;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  companionctl logs\n  companionctl logs --follow | grep -i error"
)]
pub(crate) struct LogsArgs {
    /// Keep printing what comes, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

pub(crate) async fn run(
    args: &LogsArgs,
    context: &Context,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let mut supervisor = context.supervisor();
    let call = supervisor.logs(LogsRequest { follow: args.follow });
    let mut lines = context.ask(Process::Supervisor, limits::FACTS, call).await?;
    while let Some(line) = context.next(Process::Supervisor, &mut lines).await? {
        out.event("log", json!({ "line": line.line }))?;
        out.say(&plain(&line.line))?;
    }
    Ok(ExitCode::SUCCESS)
}
