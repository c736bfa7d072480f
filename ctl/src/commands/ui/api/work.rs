//! Work that takes time: pulling, starting, stopping.

use authority_api::v1::{PullRequest, StartRequest, work_event};
use serde_json::{Value, json};

use crate::commands::ui::respond::Events;
use crate::commands::{pull, start, stop};
use crate::context::{Context, Process, limits};
use crate::refusal::Refusal;

/// Pulls one file of the catalog.
pub(super) async fn pull(id: &str, context: &Context, events: &Events) -> Result<(), Refusal> {
    let mut broker = context.broker();
    let call = broker.pull(PullRequest { id: id.to_owned() });
    let mut steps = context.ask(Process::Broker, limits::NETWORK, call).await?;
    while let Some(step) = context.next(Process::Broker, &mut steps).await? {
        match step.event {
            Some(work_event::Event::Progress(progress)) => {
                events.tell("progress", pull::as_json(id, &progress)).await;
            }
            Some(work_event::Event::Verified(_)) => {
                events.tell("verified", json!({ "id": id })).await;
                return Ok(());
            }
            Some(work_event::Event::Failed(failed)) => return Err(Refusal::told(&failed.reason)),
            Some(
                work_event::Event::Expected(_)
                | work_event::Event::Starting(_)
                | work_event::Event::Ready(_),
            )
            | None => {}
        }
    }
    Err(Refusal::new("unexpected_answer"))
}

/// Starts a model once what it needs is there, a runtime included, and follows it until the
/// endpoint is available. Another model that runs is stopped first.
pub(super) async fn start(id: &str, context: &Context, events: &Events) -> Result<(), Refusal> {
    let needed = start::needed(id, context).await?;
    for missing in needed.missing {
        pull(&missing, context, events).await?;
    }
    if needed.another_runs {
        events.tell("stopping", json!({})).await;
        stop::stop(context).await?;
    }
    events.tell("starting", json!({ "id": id })).await;
    until_ready(id, context).await?;
    let status = start::until_available(context).await?;
    events.tell("ready", json!({ "id": id, "endpoint": status.endpoint })).await;
    Ok(())
}

/// Has the broker start it, and follows the start up to the runtime's own `ready`.
async fn until_ready(id: &str, context: &Context) -> Result<(), Refusal> {
    let mut broker = context.broker();
    let call = broker.start(StartRequest { id: id.to_owned() });
    let mut steps = context.ask(Process::Broker, limits::NETWORK, call).await?;
    while let Some(step) = context.next(Process::Broker, &mut steps).await? {
        match step.event {
            Some(work_event::Event::Ready(_)) => return Ok(()),
            Some(work_event::Event::Failed(failed)) => return Err(Refusal::told(&failed.reason)),
            Some(
                work_event::Event::Starting(_)
                | work_event::Event::Expected(_)
                | work_event::Event::Progress(_)
                | work_event::Event::Verified(_),
            )
            | None => {}
        }
    }
    Err(Refusal::new("unexpected_answer"))
}

pub(super) async fn stop(context: &Context) -> Result<Value, Refusal> {
    stop::stop(context).await?;
    Ok(json!({ "stopped": true }))
}
