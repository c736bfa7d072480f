//! Answers to the page, and the headers that every one of them carries.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::guard::Denied;
use super::page::{Asset, POLICY};
use crate::output::event;
use crate::refusal::Refusal;

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

const HEADERS: [(&str, &str); 9] = [
    ("content-security-policy", POLICY),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=(), usb=(), payment=()"),
];

/// A part of the page.
pub(super) fn page(asset: Asset) -> Response<Body> {
    whole(StatusCode::OK, asset.content_type, asset.body)
}

/// One JSON value.
pub(super) fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_string(value) {
        Ok(text) => whole(StatusCode::OK, "application/json", text),
        Err(_) => refused(&Refusal::new("internal")),
    }
}

/// What the guard said.
pub(super) fn denied(denied: Denied) -> Response<Body> {
    let status = StatusCode::from_u16(denied.status).unwrap_or(StatusCode::FORBIDDEN);
    let body = error(&Refusal::new(denied.reason)).to_string();
    let mut response = whole(status, "application/json", body);
    // Nobody is kept waiting by connections that other pages hold.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What the companion said: the request was well, and is refused.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    whole(StatusCode::CONFLICT, "application/json", error(refusal).to_string())
}

fn error(refusal: &Refusal) -> Value {
    json!({ "error": { "reason": refusal.reason(), "message": refusal.message() } })
}

fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    answer(status, kind, Full::new(body.into()).boxed_unsync())
}

fn answer(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// Where work under way tells the page what happens.
#[derive(Debug, Clone)]
pub(super) struct Events(mpsc::Sender<Value>);

impl Events {
    /// Tells it one event of contract 11. A page that has gone hears nothing; the work is about to
    /// be dropped then.
    pub(super) async fn tell(&self, name: &str, fields: Value) {
        drop(self.0.send(event(name, fields)).await);
    }
}

/// Events that the page has not read yet, at most.
const UNREAD: usize = 16;

/// One JSON object a line, for as long as the work takes; a refusal is its last line. When the
/// page goes away, the work is dropped where it stands, which cancels it.
pub(super) fn events<W, F>(work: W) -> Response<Body>
where
    W: FnOnce(Events) -> F,
    F: Future<Output = Result<(), Refusal>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(UNREAD);
    let told = Events(sender.clone());
    let work = work(told.clone());
    tokio::spawn(async move {
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = sender.closed() => return,
        };
        if let Err(refusal) = outcome {
            let fields = json!({ "reason": refusal.reason(), "message": refusal.message() });
            told.tell("failed", fields).await;
        }
    });
    let lines = stream::unfold(receiver, |mut receiver| async move {
        let line = format!("{}\n", receiver.recv().await?);
        Some((Ok(Frame::data(Bytes::from(line))), receiver))
    });
    answer(StatusCode::OK, "application/x-ndjson", StreamBody::new(lines).boxed_unsync())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(response: Response<Body>) -> Vec<Value> {
        let body = response.into_body().collect().await.expect("body").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[tokio::test]
    async fn work_tells_its_events_one_a_line_and_a_refusal_last() {
        let response = events(|events| async move {
            events.tell("starting", json!({ "id": "m" })).await;
            Err(Refusal::new("disk_full"))
        });
        let lines = lines(response).await;
        assert_eq!(lines[0], json!({ "event": "starting", "id": "m" }));
        assert_eq!(
            (&lines[1]["event"], &lines[1]["reason"]),
            (&json!("failed"), &json!("disk_full"))
        );
        assert_eq!(lines.len(), 2);
    }

    #[tokio::test]
    async fn when_the_page_goes_away_the_work_is_dropped() {
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let response = events(|_| async move {
            let _held = held;
            std::future::pending().await
        });
        drop(response);
        assert!(dropped.await.is_err());
    }

    #[test]
    fn every_answer_carries_the_headers_and_none_opens_it_to_another_origin() {
        let asset = super::super::page::asset("/").expect("the page");
        for response in [
            page(asset),
            json(&json!({})),
            refused(&Refusal::new("disk_full")),
            denied(Denied { status: 401, reason: "page_key_refused" }),
        ] {
            for (name, value) in HEADERS {
                assert_eq!(response.headers()[name], value);
            }
            let names = response.headers().keys().map(HeaderName::as_str);
            assert!(
                !names.into_iter().any(|it| it.starts_with("access-control") || it == "set-cookie")
            );
        }
    }
}
