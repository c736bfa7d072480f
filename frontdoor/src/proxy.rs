//! To the runtime and back: a connection of its own for each request, and of what the client and
//! the runtime say only what the other one needs.
//!
//! Headers go by allowlist in both directions. The runtime gets `Host: localhost`, the type and
//! the length of the body: not the client's credentials, cookies or origin, and none of the
//! headers by which `llama-server` takes keys, attaches streams that outlive their client or
//! steers its tools. The client gets the type, the encoding and the language of the answer: no
//! `Access-Control-*`, no `Server`, nothing of a hop.

use std::time::Duration;

use bytes::Bytes;
use frontdoor_core::Reason;
use frontdoor_core::gate::{IsReady, RelayPermit};
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;

use crate::admission_queue::HeldSlot;
use crate::body::CheckedBody;
use crate::dial::DialError;
use crate::door::Door;
use crate::limits::{HEALTH_ANSWER_BYTES, HEALTH_ANSWER_TIMEOUT};
use crate::respond::AnswerBody;

/// Of the runtime's headers, those that reach the client.
const PASSED_ON: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE];

/// What an answer of the runtime holds until it ends: dropping it closes the connection, by which
/// the runtime notices that nobody listens, and gives the slot back.
pub(crate) struct Relayed {
    _connection: AbortOnDropHandle<()>,
    _slot: HeldSlot,
    _body: Option<CheckedBody>,
}

/// Puts one request to the runtime.
pub(crate) async fn relay(
    _permit: RelayPermit,
    door: &Door,
    method: Method,
    path: &'static str,
    body: Option<CheckedBody>,
    slot: HeldSlot,
) -> Result<Response<AnswerBody>, Reason> {
    let bytes = body.as_ref().map(CheckedBody::bytes).unwrap_or_default();
    let (response, connection) = send(door, method, path, bytes).await?;
    let relayed = Relayed { _connection: connection, _slot: slot, _body: body };
    passed_on(response, relayed)
}

/// Asks the runtime for its health, within a time limit of its own.
pub(crate) async fn ask_health(_ready: IsReady, door: &Door) -> Result<(), Reason> {
    within(HEALTH_ANSWER_TIMEOUT, async {
        let (response, _connection) =
            send(door, Method::GET, "/health", Bytes::new()).await.map_err(as_health)?;
        let is_ok = response.status() == StatusCode::OK;
        let whole = Limited::new(response.into_body(), HEALTH_ANSWER_BYTES).collect().await;
        if is_ok && whole.is_ok() { Ok(()) } else { Err(Reason::HealthFailed) }
    })
    .await
}

async fn within(
    limit: Duration,
    question: impl Future<Output = Result<(), Reason>>,
) -> Result<(), Reason> {
    tokio::time::timeout(limit, question).await.unwrap_or(Err(Reason::HealthFailed))
}

/// The runtime's failure is what the question is about; the way's is not.
fn as_health(reason: Reason) -> Reason {
    if reason == Reason::PathFailed { reason } else { Reason::HealthFailed }
}

/// Dials, sends, and waits for the head of the answer. The connection ends with its handle.
async fn send(
    door: &Door,
    method: Method,
    path: &'static str,
    body: Bytes,
) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), Reason> {
    let stream = door.dial.runtime().await.map_err(|error| match error {
        DialError::NotThere => Reason::RuntimeUnreachable,
        DialError::PathBroken => Reason::PathFailed,
    })?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| Reason::RuntimeUnreachable)?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // How it ended is seen by whoever reads the answer.
        drop(connection.await);
    }));
    let mut request = Request::new(Full::new(body));
    *request.uri_mut() = http::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if method == Method::POST {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    *request.method_mut() = method;
    let response = sender.send_request(request).await.map_err(|_| Reason::RuntimeFailed)?;
    Ok((response, connection))
}

/// The answer as the client may see it. A redirect or a change of protocol is no answer.
fn passed_on(
    response: Response<Incoming>,
    relayed: Relayed,
) -> Result<Response<AnswerBody>, Reason> {
    let status = response.status();
    if !(status.is_success() || status.is_client_error() || status.is_server_error()) {
        return Err(Reason::RuntimeFailed);
    }
    let (parts, body) = response.into_parts();
    let mut answer = Response::new(AnswerBody::runtime(body, relayed));
    *answer.status_mut() = status;
    for name in PASSED_ON {
        if let Some(value) = parts.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    Ok(answer)
}
