//! To the runtime and back: one request at a time on a connection, and of what the client and the
//! runtime say only what the other one needs.
//!
//! Headers go by allowlist in both directions. The runtime gets `Host: localhost`, the type and
//! the length of the body: not the client's credentials, cookies or origin, and none of the
//! headers by which `llama-server` takes keys, attaches streams that outlive their client or
//! steers its tools. The client gets the type, the encoding and the language of the answer: no
//! `Access-Control-*`, no `Server`, nothing of a hop.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
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

use crate::admission_queue::HeldSlot;
use crate::body::CheckedBody;
use crate::door::Door;
use crate::limits::{HEALTH_ANSWER_BYTES, HEALTH_ANSWER_TIMEOUT};
use crate::respond::{self, AnswerBody};
use crate::upstream::{Upstream, Upstreams};

/// Of the runtime's headers, those that reach the client.
const PASSED_ON: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE];

/// What an answer of the runtime holds until it ends. Dropping it closes the connection, by which
/// the runtime notices that nobody listens, and gives the slot back.
pub(crate) struct Relayed {
    upstream: Upstream,
    upstreams: Arc<Upstreams>,
    _slot: HeldSlot,
    _body: Option<CheckedBody>,
}

impl Relayed {
    /// Moves the bytes of the answer.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        self.upstream.drive(cx);
    }

    /// The answer was read to its end: the connection may serve another one.
    pub(crate) fn keep(self) {
        self.upstreams.rest(self.upstream);
    }
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
    let run = door.run().ok_or(Reason::NotReady)?;
    let bytes = body.as_ref().map(CheckedBody::bytes).unwrap_or_default();
    let ask = || request(&method, path, bytes.clone());
    let upstreams = Arc::clone(&door.upstreams);
    let (response, upstream) = upstreams.ask(&*door.dial, run, ask).await?;
    passed_on(response, Relayed { upstream, upstreams, _slot: slot, _body: body })
}

/// Asks the runtime for its health, within a time limit of its own.
pub(crate) async fn ask_health(_ready: IsReady, door: &Door) -> Result<(), Reason> {
    let run = door.run().ok_or(Reason::NotReady)?;
    within(HEALTH_ANSWER_TIMEOUT, async {
        // A connection of its own: a kept one could only say that the runtime was there.
        let mut upstream = Upstream::dial(&*door.dial, run).await.map_err(as_health)?;
        let mut request = request(&Method::GET, "/health", Bytes::new());
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let response = upstream.exchange(request).await.map_err(|_| Reason::HealthFailed)?;
        let is_ok = response.status() == StatusCode::OK;
        let mut body = pin!(Limited::new(response.into_body(), HEALTH_ANSWER_BYTES).collect());
        let whole = poll_fn(|cx| {
            upstream.drive(cx);
            body.as_mut().poll(cx)
        });
        if whole.await.is_ok() && is_ok { Ok(()) } else { Err(Reason::HealthFailed) }
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

/// A request as the runtime gets it.
fn request(method: &Method, path: &'static str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.uri_mut() = http::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    if method == Method::POST {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    *request.method_mut() = method.clone();
    request
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
    let mut answer = respond::with_headers(AnswerBody::runtime(body, relayed));
    *answer.status_mut() = status;
    for name in PASSED_ON {
        if let Some(value) = parts.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    Ok(answer)
}
