//! Answers, and the headers that every one of them carries (contract 4).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use frontdoor_core::Reason;
use frontdoor_core::guard::Refusal;
use frontdoor_core::limits::QUEUE_RETRY_AFTER_S;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::account::Account;
use crate::head_gate::{Answering, Exchange};
use crate::proxy::Relayed;

/// An answer's body: bytes of our own, or the runtime's as they come. What it holds (the slot,
/// the connection to the runtime, the turn on the client's connection) goes when it ends or is
/// dropped; the connection is closed then, unless the whole answer was read.
pub(crate) struct AnswerBody {
    source: Source,
    relayed: Option<Relayed>,
    account: Option<Account>,
    _turn: Option<Answering>,
}

enum Source {
    Own(Option<Bytes>),
    Runtime(Incoming),
}

impl AnswerBody {
    fn own(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let bytes = (!bytes.is_empty()).then_some(bytes);
        Self { source: Source::Own(bytes), relayed: None, account: None, _turn: None }
    }

    /// The runtime's body, with what must live exactly as long.
    pub(crate) fn runtime(body: Incoming, relayed: Relayed) -> Self {
        Self { source: Source::Runtime(body), relayed: Some(relayed), account: None, _turn: None }
    }

    /// What was held is given back; the connection can serve another request.
    fn end(&mut self) {
        if let Some(relayed) = self.relayed.take() {
            relayed.keep();
        }
    }
}

/// A body of known length ends without anybody asking for its end.
impl Drop for AnswerBody {
    fn drop(&mut self) {
        if matches!(&self.source, Source::Runtime(body) if body.is_end_stream()) {
            self.end();
        }
    }
}

/// The body's frames come by way of its connection, which moves only when it is asked to: once
/// for what lies there already, and once more for what the body has just asked for.
fn poll_runtime(
    body: &mut Incoming,
    relayed: &mut Option<Relayed>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    for _ in 0..2 {
        if let Some(relayed) = relayed {
            relayed.drive(cx);
        }
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
    }
    Poll::Pending
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = match &mut this.source {
            Source::Own(bytes) => Ok(bytes.take().map(Frame::data)).transpose(),
            Source::Runtime(body) => ready!(poll_runtime(body, &mut this.relayed, cx)),
        };
        match frame {
            Some(Ok(frame)) if frame.is_data() => {
                if let (Some(account), Some(data)) = (&mut this.account, frame.data_ref()) {
                    account.add(data);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                if let Some(account) = &this.account {
                    account.broke();
                }
                this.relayed = None;
                Poll::Ready(Some(Err(error)))
            }
            // Trailers of the runtime are not passed on: they are its last frame, and end the body.
            Some(Ok(_)) => {
                this.relayed = None;
                Poll::Ready(None)
            }
            None => {
                this.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_none(),
            Source::Runtime(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Runtime(body) => body.size_hint(),
        }
    }
}

/// An answer with room for all the headers that it may get.
pub(crate) fn with_headers(body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    response.headers_mut().reserve(MOST_HEADERS);
    response
}

/// An answer of our own.
pub(crate) fn own(content_type: &'static str, body: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = with_headers(AnswerBody::own(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A refusal, in OpenAI's shape, so that its SDKs show it.
pub(crate) fn refusal(refusal: Refusal) -> Response<AnswerBody> {
    let reason = refusal.reason;
    let mut response = own("application/json", error_body(reason, refusal.field));
    *response.status_mut() = status(reason.status());
    let headers = response.headers_mut();
    if matches!(reason, Reason::MissingToken | Reason::InvalidToken) {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let comes_back =
        matches!(reason, Reason::RateStateUnavailable | Reason::QueueFull | Reason::AtCapacity);
    let retry_after = refusal.retry_after_s.or(comes_back.then_some(QUEUE_RETRY_AFTER_S));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(position) = refusal.queue_position {
        tell_position(&mut response, position);
    }
    response
}

/// Says for which turn a request waited, or would have to wait; 0: for none.
pub(crate) fn tell_position(response: &mut Response<AnswerBody>, position: u32) {
    response.headers_mut().insert(QUEUE_POSITION, HeaderValue::from(position));
}

/// What is not HTTP, or not one unambiguous request: 400, or 431 when only too large.
pub(crate) fn no_head(reason: Reason) -> Response<AnswerBody> {
    let mut response = refusal(reason.into());
    if reason == Reason::MalformedRequest {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    response
}

/// Puts on an answer what every answer carries, its account, and its turn on the connection.
pub(crate) fn finish(
    mut response: Response<AnswerBody>,
    account: Account,
    exchange: &Arc<Exchange>,
    close: bool,
) -> Response<AnswerBody> {
    harden(response.headers_mut());
    if let Some(id) = account.header() {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.body_mut().account = Some(account);
    if close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.body_mut()._turn = Some(exchange.answer());
    response
}

/// What a client over the connection limit is told, before it is read.
pub(crate) fn at_capacity_bytes(id: &str) -> Vec<u8> {
    let body = error_body(Reason::AtCapacity, None);
    let mut headers = HeaderMap::new();
    harden(&mut headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(RETRY_AFTER, HeaderValue::from(QUEUE_RETRY_AFTER_S));
    let mut bytes = b"HTTP/1.1 503 Service Unavailable\r\n".to_vec();
    for (name, value) in &headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("{REQUEST_ID}: {id}\r\n").as_bytes());
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
    bytes
}

/// The runtime's three, the length, the four of [`harden`], those two below, and the end's.
const MOST_HEADERS: usize = 11;
/// Requests that are served before this one, and this one.
const QUEUE_POSITION: HeaderName = HeaderName::from_static("x-companion-queue-position");
/// By which a person finds a request in the log; OpenAI's SDKs show it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The three headers of contract 4, and one for a browser that was sent here by a page: what it
/// shows loads nothing. Else it would ask for the icon of this origin, past the cross-site step,
/// and each such question would take a place in the owner's rate.
fn harden(headers: &mut HeaderMap) {
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
}

/// `param` names the member of the body that is meant, as OpenAI's errors do.
fn error_body(reason: Reason, field: Option<&'static str>) -> String {
    serde_json::json!({"error": {
        "message": format!("{} ({})", reason.message(), reason.as_str()),
        "type": "companion_error",
        "code": reason.as_str(),
        "param": field,
    }})
    .to_string()
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

#[cfg(test)]
mod tests {
    use super::{at_capacity_bytes, refusal, status};
    use frontdoor_core::Reason;
    use frontdoor_core::guard::Refusal;

    #[test]
    fn every_reason_has_a_real_status() {
        for reason in Reason::ALL {
            assert_eq!(status(reason.status()).as_u16(), reason.status(), "{}", reason.as_str());
        }
    }

    #[test]
    fn both_token_refusals_name_the_scheme_and_only_they() {
        for reason in Reason::ALL {
            let named = refusal((*reason).into()).headers().contains_key("www-authenticate");
            let wanted = matches!(reason, Reason::MissingToken | Reason::InvalidToken);
            assert_eq!(named, wanted, "{}", reason.as_str());
        }
    }

    #[test]
    fn a_full_rate_and_a_full_queue_say_when_to_come_back() {
        let limited = Refusal { retry_after_s: Some(42), ..Reason::RateLimited.into() };
        assert_eq!(refusal(limited).headers()["retry-after"], "42");
        assert_eq!(refusal(Reason::QueueFull.into()).headers()["retry-after"], "1");
        assert!(!refusal(Reason::NotReady.into()).headers().contains_key("retry-after"));
    }

    #[test]
    fn who_comes_over_the_limit_is_told_in_whole_http() {
        let text = String::from_utf8(at_capacity_bytes("0")).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 503 "));
        assert!(head.contains("cache-control: no-store"));
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert!(body.contains("\"at_capacity\""));
    }
}
