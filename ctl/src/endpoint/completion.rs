//! Chat completions: the request's shape, and the answer as it comes.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::http::{Answer, Http, refusal_of};
use super::sse::Events;
use crate::refusal::Refusal;

const PATH: &str = "/v1/chat/completions";

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    System,
    User,
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Message {
    pub(crate) role: Role,
    pub(crate) content: String,
}

impl Message {
    pub(crate) fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// What is asked of the model. Absent fields are left to the runtime.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Request {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) model: String,
    pub(crate) messages: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_format: Option<Value>,
}

/// Tokens counted by the runtime.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) total_tokens: u64,
}

/// A step of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delta {
    /// More text.
    Text(String),
    /// Why the model stopped: `stop`, `length`, …
    Finished(String),
    /// What it took.
    Used(Usage),
}

/// The text of an answer, up to where it is enough: then the request is cancelled.
///
/// # Errors
/// The endpoint's reason, or `stream_interrupted` when the answer does not end.
pub(crate) async fn text_until(
    http: &Http,
    request: &Request,
    is_enough: impl Fn(&str) -> bool,
) -> Result<String, Refusal> {
    let mut deltas = stream(http, request).await?;
    let mut text = String::new();
    while let Some(delta) = deltas.next().await? {
        if let Delta::Text(piece) = delta {
            text.push_str(&piece);
            if is_enough(&text) {
                break;
            }
        }
    }
    Ok(text)
}

/// Begins a streamed answer.
///
/// # Errors
/// The endpoint's reason.
pub(crate) async fn stream(http: &Http, request: &Request) -> Result<Deltas, Refusal> {
    let mut body = to_value(request)?;
    body["stream"] = Value::Bool(true);
    body["stream_options"] = json!({ "include_usage": true });
    let answer = http.post(PATH, &body).await?;
    Ok(Deltas { answer, events: Events::default(), ready: VecDeque::new(), done: false })
}

fn to_value(request: &Request) -> Result<Value, Refusal> {
    serde_json::to_value(request).map_err(|_| Refusal::new("internal"))
}

/// A streamed answer; dropping it cancels the request.
#[derive(Debug)]
pub(crate) struct Deltas {
    answer: Answer,
    events: Events,
    ready: VecDeque<Delta>,
    done: bool,
}

impl Deltas {
    /// The next step; `None` after `[DONE]`.
    ///
    /// # Errors
    /// `stream_interrupted` when the stream ends before that, or the runtime's own error.
    pub(crate) async fn next(&mut self) -> Result<Option<Delta>, Refusal> {
        loop {
            if let Some(delta) = self.ready.pop_front() {
                return Ok(Some(delta));
            }
            if self.done {
                return Ok(None);
            }
            let piece = self.answer.piece().await?;
            let piece = piece.ok_or_else(|| Refusal::new("stream_interrupted"))?;
            for data in self.events.push(&piece)? {
                if data == "[DONE]" {
                    self.done = true;
                    break;
                }
                self.ready.extend(deltas_of(&data)?);
            }
        }
    }
}

fn deltas_of(data: &str) -> Result<Vec<Delta>, Refusal> {
    let chunk: Value = serde_json::from_str(data).map_err(|_| Refusal::new("unexpected_answer"))?;
    if chunk.get("error").is_some() {
        return Err(refusal_of(&chunk));
    }
    let choice = &chunk["choices"][0];
    let mut deltas = Vec::new();
    if let Some(text) = choice["delta"]["content"].as_str().filter(|text| !text.is_empty()) {
        deltas.push(Delta::Text(text.to_owned()));
    }
    if let Some(reason) = choice["finish_reason"].as_str() {
        deltas.push(Delta::Finished(reason.to_owned()));
    }
    if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
        let count = |name: &str| usage[name].as_u64().unwrap_or_default();
        deltas.push(Delta::Used(Usage {
            prompt_tokens: count("prompt_tokens"),
            completion_tokens: count("completion_tokens"),
            total_tokens: count("total_tokens"),
        }));
    }
    Ok(deltas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_gives_its_text_its_end_and_its_usage() {
        let text = r#"{"choices":[{"delta":{"content":"Hi"},"finish_reason":null}]}"#;
        assert_eq!(deltas_of(text), Ok(vec![Delta::Text("Hi".to_owned())]));
        let end = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
        assert_eq!(deltas_of(end), Ok(vec![Delta::Finished("stop".to_owned())]));
        let usage = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,
            "total_tokens":5}}"#;
        let used = Usage { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };
        assert_eq!(deltas_of(usage), Ok(vec![Delta::Used(used)]));
        let role = r#"{"choices":[{"delta":{"role":"assistant","content":null}}],"usage":null}"#;
        assert_eq!(deltas_of(role), Ok(vec![]));
    }

    #[test]
    fn an_error_in_the_stream_is_a_refusal() {
        let error = r#"{"error":{"type":"companion_error","code":"not_ready"}}"#;
        assert_eq!(deltas_of(error).expect_err("refused").reason(), "not_ready");
        assert_eq!(deltas_of("{").expect_err("refused").reason(), "unexpected_answer");
    }

    #[test]
    fn an_absent_field_is_left_to_the_runtime() {
        let request =
            Request { messages: vec![Message::new(Role::User, "hi")], ..Request::default() };
        assert_eq!(
            to_value(&request).expect("value"),
            json!({ "messages": [{ "role": "user", "content": "hi" }] })
        );
    }
}
