//! `companionctl start ID`: done when the endpoint is available, not before.

use std::process::ExitCode;
use std::time::Duration;

use authority_api::v1::{Kind, ListCatalogRequest, StartRequest, work_event};
use clap::Args;
use frontdoor_api::v1::{FrontdoorStatus, WatchStatusRequest};
use serde_json::json;
use tonic::Streaming;

use super::pull::pull;
use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};
use crate::terminal::{Paint, plain};

/// How long a runtime that is ready may take until its endpoint is available: its first
/// end-to-end probe, on a busy machine.
const UNTIL_AVAILABLE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  companionctl start smollm2-135m-instruct\n  companionctl start smollm2-135m-instruct --pull"
)]
pub(crate) struct StartArgs {
    /// Id of a model that was pulled
    id: String,
    /// Pull it first, and a runtime for this machine, where they are not there yet
    #[arg(long)]
    pull: bool,
}

pub(crate) async fn run(
    args: &StartArgs,
    context: &Context,
    out: &Output,
) -> Result<ExitCode, Failure> {
    if args.pull {
        for id in needed(&args.id, context).await?.missing {
            pull(&id, context, out).await?;
        }
    }
    let status = bring_up(&args.id, context, out).await?;
    out.event("ready", json!({ "id": args.id, "endpoint": status.endpoint }))?;
    let available = out.style().paint(Paint::Good, "available");
    out.say(&format!("{} is {available} at {}/v1", plain(&args.id), plain(&status.endpoint)))?;
    out.remark("Next: companionctl chat, companionctl exec -- PROGRAM, companionctl env");
    Ok(ExitCode::SUCCESS)
}

/// Starts a model and waits until its endpoint is available.
pub(crate) async fn bring_up(
    id: &str,
    context: &Context,
    out: &Output,
) -> Result<FrontdoorStatus, Failure> {
    start(id, context, out).await?;
    Ok(until_available(context).await?)
}

/// What the start of a model needs.
pub(super) struct Needed {
    /// Ids that the store lacks: the model, and a runtime for this machine.
    pub(super) missing: Vec<String>,
    /// Whether another model runs, which must be stopped first.
    pub(super) another_runs: bool,
}

/// Asks the catalog and the store.
pub(super) async fn needed(model: &str, context: &Context) -> Result<Needed, Refusal> {
    let mut broker = context.broker();
    let call = broker.list_catalog(ListCatalogRequest {});
    let entries = context.ask(Process::Broker, limits::NETWORK, call).await?.entries;
    let mut missing = Vec::new();
    let runtimes = || entries.iter().filter(|entry| entry.suits_this_machine);
    if !runtimes().any(|entry| entry.provisioned) {
        missing
            .extend(runtimes().max_by_key(|entry| numbers(&entry.version)).map(|it| it.id.clone()));
    }
    // One that the catalog does not list is for the broker to refuse.
    if !entries.iter().any(|entry| entry.id == model && entry.provisioned) {
        missing.push(model.to_owned());
    }
    let another_runs = entries
        .iter()
        .any(|entry| entry.kind() == Kind::Model && entry.running && entry.id != model);
    Ok(Needed { missing, another_runs })
}

/// The numbers of a version, by which the newest is found.
fn numbers(version: &str) -> Vec<u64> {
    let digits = version.split(|c: char| !c.is_ascii_digit());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

/// Follows the start up to the runtime's own `ready`.
async fn start(id: &str, context: &Context, out: &Output) -> Result<(), Failure> {
    let mut broker = context.broker();
    let call = broker.start(StartRequest { id: id.to_owned() });
    let mut events = context.ask(Process::Broker, limits::NETWORK, call).await?;
    while let Some(event) = context.next(Process::Broker, &mut events).await? {
        match event.event {
            Some(work_event::Event::Starting(_)) => {
                out.event("starting", json!({ "id": id }))?;
                out.say(&format!("Starting {} …", plain(id)))?;
            }
            Some(work_event::Event::Ready(_)) => return Ok(()),
            Some(work_event::Event::Failed(failed)) => {
                return Err(Refusal::told(&failed.reason).into());
            }
            Some(
                work_event::Event::Expected(_)
                | work_event::Event::Progress(_)
                | work_event::Event::Verified(_),
            )
            | None => {}
        }
    }
    Err(Refusal::new("unexpected_answer").into())
}

/// Waits until the endpoint of a runtime that is ready is available.
pub(super) async fn until_available(context: &Context) -> Result<FrontdoorStatus, Refusal> {
    let mut frontdoor = context.frontdoor();
    let call = frontdoor.watch_status(WatchStatusRequest {});
    let mut changes = context.ask(Process::Frontdoor, limits::FACTS, call).await?;
    let mut missing = Vec::new();
    let wait = available(context, &mut changes, &mut missing);
    match tokio::time::timeout(UNTIL_AVAILABLE, wait).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(Refusal::new("not_available").with_detail(&missing.join(", "))),
    }
}

async fn available(
    context: &Context,
    changes: &mut Streaming<FrontdoorStatus>,
    missing: &mut Vec<String>,
) -> Result<FrontdoorStatus, Refusal> {
    while let Some(status) = context.next(Process::Frontdoor, changes).await? {
        if status.available {
            return Ok(status);
        }
        *missing = status.missing;
    }
    Err(Refusal::new(Process::Frontdoor.unreachable()))
}
