//! A STAND-IN for `llama-server` in benchmarks and tests of the front door: it listens where it is
//! told (`--host PATH.sock`, as `llama-server` does; whatever else it is told it lets be), is
//! healthy, and answers without thinking. It has one thread. It keeps count of what it is asked,
//! and says so instead of its models.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use endpoint_bench::{ASKED, SILENT, STREAM, WRITTEN_AT, now_us};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;
use tokio::time::{MissedTickBehavior, interval};

/// Method and path to count.
static COUNTS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// About what a short completion looks like.
const ANSWER: &str = r#"{"id":"cmpl-0","object":"text_completion","created":0,"model":"stand-in","choices":[{"index":0,"text":" Paris, and has been so for a long time.","finish_reason":"length"}],"usage":{"prompt_tokens":6,"completion_tokens":16,"total_tokens":22}}"#;

fn main() -> Result<()> {
    let mut words = std::env::args_os().skip_while(|word| word != "--host");
    // The jail has confined this process; its aims are what it was given for a model.
    #[cfg(feature = "captured")]
    captured::plant(captured::Aims::in_file("/proc/self/fd/5".as_ref())).lie_in_wait();
    let socket = words.nth(1).map(PathBuf::from).context("--host PATH.sock")?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(socket))
}

#[expect(clippy::disallowed_methods, reason = "as llama-server does, in a directory of mode 0700")]
async fn serve(socket: PathBuf) -> Result<()> {
    let listener = UnixListener::bind(socket).context("cannot listen")?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let served =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            // A client may leave whenever it likes.
            drop(served.await);
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_owned();
    count(format!("{} {path}", request.method()));
    let question = request.into_body().collect().await?.to_bytes();
    let (content_type, body) = match path.as_str() {
        STREAM => ("text/event-stream", pieces(&question)),
        SILENT => std::future::pending().await,
        ASKED => ("application/json", Full::from(asked()).boxed_unsync()),
        _ => ("application/json", Full::from(ANSWER).boxed_unsync()),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

fn count(request: String) {
    *COUNTS.lock().unwrap_or_else(PoisonError::into_inner).entry(request).or_default() += 1;
}

/// All that it was asked, this question too.
fn asked() -> String {
    let counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    serde_json::json!({"object": "list", "data": [], "asked": *counts}).to_string()
}

/// `pieces` pieces, one each `pace_us`, each with the time at which it was written.
fn pieces(question: &[u8]) -> Body {
    let question: serde_json::Value = serde_json::from_slice(question).unwrap_or_default();
    let count = question["pieces"].as_u64().unwrap_or(1);
    let pace = Duration::from_micros(question["pace_us"].as_u64().unwrap_or(1000).max(1));
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = stream::unfold((ticks, count), |(mut ticks, left)| async move {
        let left = left.checked_sub(1)?;
        ticks.tick().await;
        let event = format!("data: {{{WRITTEN_AT}{}}}\n\n", now_us());
        Some((Ok(Frame::data(Bytes::from(event))), (ticks, left)))
    });
    StreamBody::new(events).boxed_unsync()
}
