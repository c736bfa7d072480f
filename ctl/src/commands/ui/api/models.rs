//! The signed catalog and the store, as `companionctl models`, `models --verify` and `rm`.

use authority_api::v1::{ListCatalogRequest, RemoveRequest, VerifyRequest};
use serde_json::{Value, json};

use crate::commands::fit::Memory;
use crate::commands::models::entry_as_json;
use crate::context::{Context, Process, limits};
use crate::refusal::Refusal;

pub(super) async fn list(context: &Context) -> Result<Value, Refusal> {
    let mut broker = context.broker();
    let call = broker.list_catalog(ListCatalogRequest {});
    let catalog = context.ask(Process::Broker, limits::NETWORK, call).await?;
    let memory = Memory::of_this_machine(context.settings());
    let models: Vec<Value> =
        catalog.entries.iter().map(|entry| entry_as_json(entry, memory)).collect();
    Ok(json!({ "models": models }))
}

/// Hashes a file of the store again.
pub(super) async fn verify(id: String, context: &Context) -> Result<Value, Refusal> {
    let mut broker = context.broker();
    let call = broker.verify(VerifyRequest { id });
    context.ask(Process::Broker, limits::HASHING, call).await?;
    Ok(json!({ "verification": "verified" }))
}

pub(super) async fn remove(id: String, context: &Context) -> Result<Value, Refusal> {
    let mut broker = context.broker();
    let call = broker.remove(RemoveRequest { id });
    let answer = context.ask(Process::Broker, limits::NETWORK, call).await?;
    Ok(json!({ "freed_bytes": answer.freed_bytes }))
}
