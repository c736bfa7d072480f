//! `POST /api/status`: the report of `companionctl status`, with what a page shows beside it.

use serde_json::{Value, json};

use crate::commands::status::{Heard, Report, hear};
use crate::context::Context;
use crate::reasons;
use crate::refusal::Refusal;

pub(super) async fn report(context: &Context) -> Result<Value, Refusal> {
    let heard = hear(context).await;
    if !heard.is_anybody() && !context.is_running().await {
        return Err(Refusal::new("companion_not_running"));
    }
    as_json(heard)
}

fn as_json(heard: Heard) -> Result<Value, Refusal> {
    let account = heard.broker.as_ref().is_some_and(|session| session.account_configured);
    let limits = heard.supervisor.as_ref().and_then(|facts| facts.limits).unwrap_or_default();
    let report = Report::join(heard);
    let causes: Vec<Value> = reasons::causes(&report.missing)
        .into_iter()
        .map(|reason| {
            let cause = Refusal::told(reason);
            json!({ "reason": cause.reason(), "what": cause.what(), "next": cause.next() })
        })
        .collect();
    let last_failure = report.last_failure.as_deref().map(|it| Refusal::told(it).message());
    let confined = report.confinement.for_people();
    let mut value = serde_json::to_value(&report).map_err(|_| Refusal::new("internal"))?;
    value["causes"] = json!(causes);
    value["last_failure_message"] = json!(last_failure);
    value["confined"] = json!(confined);
    value["account_configured"] = json!(account);
    value["limits"] = json!({
        "max_ram_bytes": limits.max_ram_bytes,
        "max_vram_bytes": limits.max_vram_bytes,
        "max_cpu_percent": limits.max_cpu_percent,
    });
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_in_words_with_what_to_do() {
        let value = as_json(Heard::default()).expect("value");
        assert_eq!(value["available"], false);
        assert_eq!(value["account_configured"], false);
        assert_eq!(value["confined"], "unknown");
        let cause = &value["causes"][0];
        assert_eq!(cause["reason"], "frontdoor_unreachable");
        assert!(cause["what"].as_str().is_some_and(|what| what.ends_with('.')));
        assert!(cause["next"].as_str().is_some_and(|next| next.ends_with('.')));
    }
}
