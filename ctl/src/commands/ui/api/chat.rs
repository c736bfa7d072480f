//! One streamed answer through the guarded endpoint, like `companionctl chat`. The endpoint's key
//! stays in this process: the page never sees it.

use serde::Deserialize;
use serde_json::json;

use crate::commands::ui::respond::Events;
use crate::context::Context;
use crate::endpoint::{Access, Delta, Http, Message, Request, stream};
use crate::refusal::Refusal;

/// The conversation so far, the question last.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    messages: Vec<Message>,
}

/// Streams the answer; when the page goes away, the request is cancelled at the runtime too.
pub(super) async fn chat(ask: Ask, context: &Context, events: &Events) -> Result<(), Refusal> {
    let http = Http::new(Access::ask_available(context).await?);
    let request = Request { messages: ask.messages, ..Request::default() };
    let mut deltas = stream(&http, &request).await?;
    let (mut finish_reason, mut usage) = (None, None);
    while let Some(delta) = deltas.next().await? {
        match delta {
            Delta::Text(text) => events.tell("delta", json!({ "text": text })).await,
            Delta::Finished(reason) => finish_reason = Some(reason),
            Delta::Used(used) => usage = Some(used),
        }
    }
    events.tell("done", json!({ "finish_reason": finish_reason, "usage": usage })).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_roles_and_texts_and_nothing_else() {
        let read = |text: &str| serde_json::from_str::<Ask>(text).map(|ask| ask.messages.len());
        let good = r#"{"messages":[{"role":"user","content":"a"},
            {"role":"assistant","content":"b"},{"role":"system","content":"c"}]}"#;
        assert_eq!(read(good).expect("read"), 3);
        for bad in [
            r#"{"messages":[{"role":"tool","content":"a"}]}"#,
            r#"{"messages":[{"role":"user","content":["a"]}]}"#,
            r#"{"messages":[{"role":"user","content":"a","name":"b"}]}"#,
            r#"{"messages":[],"model":"m"}"#,
            r#"{"messages":[],"messages":[]}"#,
            "{}",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
