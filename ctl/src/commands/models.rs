//! `companionctl models`: the signed catalog, joined with what is in the store.

use std::collections::BTreeMap;
use std::process::ExitCode;

use authority_api::v1::{CatalogEntry, Kind, ListCatalogRequest, VerifyRequest};
use clap::Args;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::fit::Memory;
use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::refusal::Failure;
use crate::terminal::{plain, size};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  companionctl models
  companionctl models --json | jq -r '.models[] | select(.state == \"absent\") | .id'
  companionctl models --verify

With --verify every file of the store is hashed again; one that fails is deleted, unless it runs.
Exit code 0 when all of them are what the catalog signed, 1 otherwise.")]
pub(crate) struct ModelsArgs {
    /// Hash what is in the store again
    #[arg(long)]
    verify: bool,
}

pub(crate) async fn run(
    args: &ModelsArgs,
    context: &Context,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let mut broker = context.broker();
    let call = broker.list_catalog(ListCatalogRequest {});
    let catalog = context.ask(Process::Broker, limits::NETWORK, call).await?;
    let found = if args.verify { verify(&catalog.entries, context).await? } else { Found::new() };
    let memory = Memory::of_this_machine(context.settings());
    let models: Vec<Value> =
        catalog.entries.iter().map(|entry| as_json(entry, &found, memory)).collect();
    out.object(&json!({ "models": models }))?;
    if catalog.entries.is_empty() {
        out.say("The catalog is empty.")?;
    } else {
        out.say(&table(&catalog.entries, &found, memory))?;
    }
    let all_hold = found.values().all(|reason| reason == VERIFIED);
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// By id, what a verification found: [`VERIFIED`] or the reason code of a refusal.
type Found = BTreeMap<String, String>;

const VERIFIED: &str = "verified";

async fn verify(entries: &[CatalogEntry], context: &Context) -> Result<Found, Failure> {
    let mut found = Found::new();
    for entry in entries.iter().filter(|entry| entry.provisioned) {
        let mut broker = context.broker();
        let call = broker.verify(VerifyRequest { id: entry.id.clone() });
        let result = match context.ask(Process::Broker, limits::HASHING, call).await {
            Ok(_) => VERIFIED.to_owned(),
            Err(refusal) if says_what_is_wrong(refusal.reason()) => refusal.reason().to_owned(),
            Err(refusal) => return Err(refusal.into()),
        };
        found.insert(entry.id.clone(), result);
    }
    Ok(found)
}

/// Whether a refusal speaks of the one file and not of the companion.
fn says_what_is_wrong(reason: &str) -> bool {
    let of_the_file =
        ["digest_mismatch", "size_mismatch", "not_provisioned", "in_use", "store_unavailable"];
    of_the_file.contains(&reason)
}

/// An entry of the catalog with its stable field names, without a verification.
pub(super) fn entry_as_json(entry: &CatalogEntry, memory: Option<Memory>) -> Value {
    as_json(entry, &Found::new(), memory)
}

fn as_json(entry: &CatalogEntry, found: &Found, memory: Option<Memory>) -> Value {
    let mut value = json!({
        "id": entry.id,
        "kind": kind_word(entry.kind()),
        "size_bytes": entry.size_bytes,
        "license": entry.license,
        "state": state_word(entry),
    });
    let more = match entry.kind() {
        Kind::Model => json!({
            "context_length": entry.context_length,
            "architecture": entry.architecture,
            "quantization": entry.quantization,
        }),
        Kind::Runtime => json!({
            "os": entry.os,
            "arch": entry.arch,
            "version": entry.version,
            "suits_this_machine": entry.suits_this_machine,
        }),
        Kind::Unspecified => json!({}),
    };
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
        if let Some(memory) = memory.filter(|_| entry.kind() == Kind::Model) {
            value.insert("memory".to_owned(), memory.as_json(entry.size_bytes));
        }
        value.extend(found.get(&entry.id).map(|found| ("verification".to_owned(), json!(found))));
    }
    value
}

fn table(entries: &[CatalogEntry], found: &Found, memory: Option<Memory>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ID", "KIND", "SIZE", "LICENCE", "STATE", "MEMORY", "DETAILS"]);
    for entry in entries {
        table.add_row([
            Cell::new(plain(&entry.id)),
            Cell::new(kind_word(entry.kind())),
            Cell::new(size(entry.size_bytes)).set_alignment(CellAlignment::Right),
            Cell::new(plain(&entry.license)),
            Cell::new(state_for_people(entry, found)),
            Cell::new(memory_for_people(entry, memory)),
            Cell::new(details(entry)),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Model => "model",
        Kind::Runtime => "runtime",
        Kind::Unspecified => "unknown",
    }
}

/// `running`, `provisioned` (verified and in the store) or `absent`.
fn state_word(entry: &CatalogEntry) -> &'static str {
    match (entry.running, entry.provisioned) {
        (true, _) => "running",
        (false, true) => "provisioned",
        (false, false) => "absent",
    }
}

fn state_for_people<'a>(entry: &CatalogEntry, found: &'a Found) -> &'a str {
    if let Some(found) = found.get(&entry.id) {
        return found;
    }
    match state_word(entry) {
        "running" => "running",
        "provisioned" => "in the store",
        _ if entry.kind() == Kind::Runtime && !entry.suits_this_machine => "for other machines",
        _ => "not pulled",
    }
}

fn memory_for_people(entry: &CatalogEntry, memory: Option<Memory>) -> String {
    let memory = memory.filter(|_| entry.kind() == Kind::Model);
    memory.map(|memory| memory.for_people(entry.size_bytes)).unwrap_or_default()
}

fn details(entry: &CatalogEntry) -> String {
    let words = match entry.kind() {
        Kind::Model => vec![
            entry.architecture.clone(),
            entry.quantization.clone(),
            format!("{} tokens", entry.context_length),
        ],
        Kind::Runtime => vec![entry.version.clone(), entry.os.clone(), entry.arch.clone()],
        Kind::Unspecified => Vec::new(),
    };
    plain(&words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> CatalogEntry {
        CatalogEntry {
            id: "smollm2".to_owned(),
            kind: Kind::Model.into(),
            size_bytes: 98_362_432,
            license: "Apache-2.0".to_owned(),
            context_length: 8192,
            architecture: "llama".to_owned(),
            quantization: "Q4_1".to_owned(),
            ..CatalogEntry::default()
        }
    }

    #[test]
    fn a_model_has_stable_field_names() {
        assert_eq!(
            as_json(&model(), &Found::new(), None),
            json!({
                "id": "smollm2", "kind": "model", "size_bytes": 98_362_432,
                "license": "Apache-2.0", "state": "absent", "context_length": 8192,
                "architecture": "llama", "quantization": "Q4_1",
            })
        );
    }

    #[test]
    fn the_state_is_the_strongest_that_holds() {
        let provisioned = CatalogEntry { provisioned: true, ..model() };
        assert_eq!(as_json(&provisioned, &Found::new(), None)["state"], "provisioned");
        let running = CatalogEntry { running: true, ..provisioned };
        assert_eq!(as_json(&running, &Found::new(), None)["state"], "running");
    }

    #[test]
    fn a_model_says_whether_it_fits_and_a_runtime_does_not() {
        let memory = Memory::of_this_machine(&companion_settings::Settings::default());
        assert!(as_json(&model(), &Found::new(), memory)["memory"]["needed_bytes"].is_u64());
        assert!(table(&[model()], &Found::new(), memory).contains("349.81 MiB"));
        let runtime = CatalogEntry { kind: Kind::Runtime.into(), ..model() };
        assert_eq!(as_json(&runtime, &Found::new(), memory)["memory"], Value::Null);
    }

    #[test]
    fn a_hostile_catalog_text_cannot_act_on_the_terminal() {
        let hostile = CatalogEntry { license: "MIT\u{1b}[2J".to_owned(), ..model() };
        let text = table(&[hostile], &Found::new(), None);
        assert!(!text.contains('\u{1b}'));
        assert!(text.contains("smollm2") && text.contains("not pulled"));
    }
}
