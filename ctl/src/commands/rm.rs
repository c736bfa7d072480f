//! `companionctl rm ID`.

use std::process::ExitCode;

use authority_api::v1::RemoveRequest;
use clap::Args;
use serde_json::json;

use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::refusal::Failure;
use crate::terminal::{plain, size};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  companionctl rm smollm2-135m-instruct")]
pub(crate) struct RmArgs {
    /// Id of the catalog, as `companionctl models` shows it
    id: String,
}

pub(crate) async fn run(
    args: &RmArgs,
    context: &Context,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let mut broker = context.broker();
    let call = broker.remove(RemoveRequest { id: args.id.clone() });
    let answer = context.ask(Process::Broker, limits::NETWORK, call).await?;
    out.object(&json!({ "removed": args.id, "freed_bytes": answer.freed_bytes }))?;
    out.say(&format!("Removed {}; {} freed.", plain(&args.id), size(answer.freed_bytes)))?;
    Ok(ExitCode::SUCCESS)
}
