//! Signing in and out, where an issuer is configured.

use authority_api::v1::{SignInRequest, SignOutRequest, sign_in_event};
use serde_json::{Value, json};

use crate::commands::sign_in::checked;
use crate::commands::ui::respond::Events;
use crate::context::{Context, Process, limits};
use crate::refusal::Refusal;

/// One attempt; the page opens the address. When the page goes away, the attempt is cancelled.
pub(super) async fn sign_in(context: &Context, events: &Events) -> Result<(), Refusal> {
    let mut broker = context.broker();
    let call = broker.sign_in(SignInRequest {});
    let mut steps = context.ask(Process::Broker, limits::NETWORK, call).await?;
    while let Some(step) = context.next(Process::Broker, &mut steps).await? {
        match step.event {
            Some(sign_in_event::Event::Authorize(authorize)) => {
                let url = checked(&authorize.url)?;
                events.tell("authorize", json!({ "url": url.as_str() })).await;
            }
            Some(sign_in_event::Event::SignedIn(_)) => {
                events.tell("signed_in", json!({})).await;
                return Ok(());
            }
            Some(sign_in_event::Event::Failed(failed)) => {
                return Err(Refusal::told(&failed.reason));
            }
            None => {}
        }
    }
    Err(Refusal::new("unexpected_answer"))
}

pub(super) async fn sign_out(context: &Context) -> Result<Value, Refusal> {
    let mut broker = context.broker();
    let call = broker.sign_out(SignOutRequest {});
    let answer = context.ask(Process::Broker, limits::NETWORK, call).await?;
    Ok(json!({ "signed_out": true, "revoked": answer.revoked }))
}
