//! `companionctl stop`.

use std::process::ExitCode;
use std::time::Duration;

use authority_api::v1::StopRequest;
use serde_json::json;

use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};

pub(crate) async fn run(context: &Context, out: &Output) -> Result<ExitCode, Failure> {
    stop(context).await?;
    out.object(&json!({ "stopped": true }))?;
    out.say("Stopped.")?;
    Ok(ExitCode::SUCCESS)
}

/// Stops the running model once its streams have ended.
pub(crate) async fn stop(context: &Context) -> Result<(), Refusal> {
    let drain = Duration::from_secs(context.settings().runtime.drain_timeout_s);
    let mut broker = context.broker();
    let call = broker.stop(StopRequest {});
    context.ask(Process::Broker, limits::NETWORK + drain, call).await?;
    Ok(())
}
