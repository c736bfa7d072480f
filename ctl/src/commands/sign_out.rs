//! `companionctl sign-out`.

use std::process::ExitCode;

use authority_api::v1::SignOutRequest;
use serde_json::json;

use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::refusal::Failure;

pub(crate) async fn run(context: &Context, out: &Output) -> Result<ExitCode, Failure> {
    let mut broker = context.broker();
    let call = broker.sign_out(SignOutRequest {});
    let answer = context.ask(Process::Broker, limits::NETWORK, call).await?;
    out.object(&json!({ "signed_out": true, "revoked": answer.revoked }))?;
    out.say("Signed out.")?;
    if !answer.revoked {
        out.remark(
            "It is forgotten on this computer; the service did not say that it ended it there.",
        );
    }
    Ok(ExitCode::SUCCESS)
}
