//! HTTP/1.1 to the endpoint: one connection a request, closed when its answer is dropped, which
//! is how a request is cancelled.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::access::{Access, Endpoint};
use crate::refusal::Refusal;

/// Longest wait for a connection on this machine.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for the head of an answer: the queue's own limit and a long prompt.
const HEAD: Duration = Duration::from_secs(600);
/// Longest wait for what the guard answers by itself.
const GUARD: Duration = Duration::from_secs(10);
/// Longest silence within an answer.
const IDLE: Duration = Duration::from_secs(120);
/// Largest refusal, in bytes.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// A client of the endpoint.
#[derive(Debug)]
pub(crate) struct Http {
    access: Access,
}

/// An answer under way; dropping it closes its connection.
#[derive(Debug)]
pub(crate) struct Answer {
    response: Response<Incoming>,
    _connection: JoinSet<()>,
}

impl Http {
    pub(crate) fn new(access: Access) -> Self {
        Self { access }
    }

    /// Posts a JSON body and gives the answer when its status says success.
    ///
    /// # Errors
    /// The endpoint's reason; `endpoint_unreachable` when nobody answers there.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Refusal> {
        let body = serde_json::to_vec(body).map_err(|_| Refusal::new("internal"))?;
        let request = self.request(path, body)?;
        let answer = send(self.access.endpoint, request).await?;
        if answer.response.status().is_success() { Ok(answer) } else { Err(refused(answer).await) }
    }

    fn request(&self, path: &str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, Refusal> {
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {}", *self.access.token.expose_for_header()))
                .map_err(|_| Refusal::new("internal"))?;
        bearer.set_sensitive(true);
        Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, self.access.endpoint.address().to_string())
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| Refusal::new("internal"))
    }
}

/// The status of an answer to a request that carries no key.
///
/// # Errors
/// `endpoint_unreachable` when nobody answers there, `no_answer` after ten seconds.
pub(crate) async fn status_without_key(
    endpoint: Endpoint,
    path: &str,
) -> Result<StatusCode, Refusal> {
    let request = Request::builder()
        .uri(path)
        .header(HOST, endpoint.address().to_string())
        .body(Full::default())
        .map_err(|_| Refusal::new("internal"))?;
    let answer = tokio::time::timeout(GUARD, send(endpoint, request)).await;
    Ok(answer.map_err(|_| Refusal::new("no_answer"))??.response.status())
}

async fn send(endpoint: Endpoint, request: Request<Full<Bytes>>) -> Result<Answer, Refusal> {
    let unreachable = || Refusal::new("endpoint_unreachable");
    let dial = TcpStream::connect(endpoint.address());
    let stream = tokio::time::timeout(CONNECT, dial)
        .await
        .map_err(|_| unreachable())?
        .map_err(|_| unreachable())?;
    // Small requests go out at once; without this they only go out a little later.
    let _best_effort = stream.set_nodelay(true);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| unreachable())?;
    let mut tasks = JoinSet::new();
    // Its failure shows at the request or the body that it carries.
    tasks.spawn(async move { drop(connection.await) });
    let response = tokio::time::timeout(HEAD, sender.send_request(request))
        .await
        .map_err(|_| Refusal::new("no_answer"))?
        .map_err(|_| unreachable())?;
    Ok(Answer { response, _connection: tasks })
}

impl Answer {
    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// `stream_interrupted` when the connection breaks or falls silent.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = tokio::time::timeout(IDLE, self.response.body_mut().frame())
                .await
                .map_err(|_| Refusal::new("stream_interrupted"))?;
            match frame {
                None => return Ok(None),
                Some(Err(_)) => return Err(Refusal::new("stream_interrupted")),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

async fn refused(answer: Answer) -> Refusal {
    let after = retry_after(answer.response.headers());
    let Answer { response, _connection } = answer;
    let body = Limited::new(response.into_body(), MAX_REFUSAL_BYTES).collect();
    let body = match tokio::time::timeout(CONNECT, body).await {
        Ok(Ok(body)) => serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null),
        Ok(Err(_)) | Err(_) => Value::Null,
    };
    refusal_of(&body).with_retry_after(after)
}

/// Reads an OpenAI-shaped error: the front door's carries a reason code, the runtime's a text.
pub(crate) fn refusal_of(body: &Value) -> Refusal {
    let error = &body["error"];
    let field = |name: &str| error[name].as_str().unwrap_or_default();
    match field("type") {
        "companion_error" => Refusal::told(field("code")),
        "exceed_context_size_error" => Refusal::new("context_exceeded"),
        _ => Refusal::new("runtime_refused").with_detail(field("message")),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_front_doors_reason_is_taken_from_its_error() {
        let body = json!({ "error": { "message": "…", "type": "companion_error",
            "code": "queue_full", "param": null } });
        assert_eq!(refusal_of(&body).reason(), "queue_full");
    }

    #[test]
    fn the_runtimes_errors_are_told_apart() {
        let body = json!({ "error": { "code": 400, "type": "exceed_context_size_error",
            "message": "request exceeds the available context size" } });
        assert_eq!(refusal_of(&body).reason(), "context_exceeded");
        let body = json!({ "error": { "code": 400, "message": "bad\u{1b}[2J schema" } });
        let refusal = refusal_of(&body);
        assert_eq!(refusal.reason(), "runtime_refused");
        assert!(refusal.message().contains("bad[2J schema"));
        assert_eq!(refusal_of(&Value::Null).reason(), "runtime_refused");
    }

    #[test]
    fn retry_after_is_whole_seconds() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(2)));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("soon"));
        assert_eq!(retry_after(&headers), None);
    }
}
