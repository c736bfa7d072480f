//! A web server without any guard: it answers whoever asks and lets every page read. Hostile pages
//! come from one, and what they try succeeds against one: so a test of the guard can fail.

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_lc_rs::digest;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use base64::Engine as _;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    CONNECTION, CONTENT_TYPE, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Longest a request may take to arrive before the test fails.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(20);
/// What a page finds in every answer.
pub(super) const LEAKED: &str = "leaked";
const SERVICE_WORKER: &str = include_str!("service-worker.js");
/// Of the WebSocket handshake (RFC 6455 section 1.3).
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A second of silence, near enough: what an `audio` element takes for one.
const WAVE_HEAD: &[u8] = b"RIFF\x24\x10\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\
    \x01\0\x08\0data\0\x10\0\0";

#[derive(Debug, Default)]
struct Record {
    /// Names of attempts that have arrived; a question of CORS beforehand is none.
    arrived: Mutex<BTreeSet<String>>,
    more: Notify,
}

/// A running server on a port of 127.0.0.1 and the same of `[::1]`. Dropping it closes both.
#[derive(Debug)]
pub struct PlainServer {
    port: u16,
    record: Arc<Record>,
    tasks: Vec<JoinHandle<()>>,
}

impl PlainServer {
    /// Starts one.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start() -> Result<Self> {
        let (listener, address) = devstack::listen::bind_loopback()?;
        let port = address.port();
        // What cannot reach an honest server proves nothing of a guarded one.
        let ipv6 = devstack::listen::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port)))
            .context("the loopback address of IPv6")?;
        let record = Arc::new(Record::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&record));
        let mut tasks = Vec::new();
        for listener in [listener, ipv6] {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let router = router.clone();
            tasks.push(tokio::spawn(async move {
                // It never ends by itself.
                let _ = axum::serve(listener, router).await;
            }));
        }
        Ok(Self { port, record, tasks })
    }

    /// The port, of both addresses.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Forgets what has arrived.
    pub fn forget(&self) {
        self.arrived().clear();
    }

    /// Resolves once all these attempts have arrived.
    ///
    /// # Errors
    /// When one has not in time: the message names it.
    pub async fn until_arrived<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut missing: BTreeSet<_> = names.map(str::to_owned).collect();
        let waiting = async {
            loop {
                let more = self.record.more.notified();
                missing.retain(|name| !self.arrived().contains(name));
                if missing.is_empty() {
                    return;
                }
                more.await;
            }
        };
        let arrived = tokio::time::timeout(ARRIVAL_LIMIT, waiting).await;
        arrived.with_context(|| format!("did not arrive: {missing:?}"))
    }

    fn arrived(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.record.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PlainServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// `/page` and `/service-worker.js` belong to hostile pages; all else is an attempt, named by the
/// first segment of the path.
async fn answer(State(record): State<Arc<Record>>, mut request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let name = path.split('/').nth(1).unwrap_or_default().replace('-', " ");
    let mut response = match (path.as_str(), request.headers().get(SEC_WEBSOCKET_KEY).cloned()) {
        ("/page", _) => content("text/html", "<!doctype html><body></body>"),
        ("/service-worker.js", _) => content("text/javascript", SERVICE_WORKER),
        (_, Some(key)) => web_socket(&mut request, &key),
        (_, None) => leak(&name),
    };
    if request.method() != Method::OPTIONS {
        record.arrived.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        record.more.notify_waiters();
    }
    let_read(request.headers(), response.headers_mut());
    response
}

/// An answer that the page understands, with the leak in it.
fn leak(name: &str) -> Response<Body> {
    match name {
        name if name.starts_with("events") => {
            content("text/event-stream", format!("data: {LEAKED}\n\n"))
        }
        "module script" | "imported module" => content(
            "text/javascript",
            format!("globalThis.leaked = '{LEAKED}'; export const leaked = '{LEAKED}';"),
        ),
        "script" | "preload" | "worker that imports" => {
            content("text/javascript", format!("globalThis.leaked = '{LEAKED}';"))
        }
        "stylesheet" => content("text/css", format!("body {{ --leaked: {LEAKED} }}")),
        "image" => content(
            "image/svg+xml",
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"7\" height=\"7\"/>",
        ),
        "audio" => content("audio/wav", [WAVE_HEAD, &[0x80; 4096]].concat()),
        _ => content("text/plain", LEAKED),
    }
}

fn content(kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Every header by which a page of another origin is let read, whatever it asks for.
fn let_read(asked: &HeaderMap, answered: &mut HeaderMap) {
    let origin = asked.get(ORIGIN).cloned().unwrap_or(HeaderValue::from_static("*"));
    answered.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answered.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    let headers = HeaderValue::from_static("authorization, content-type, x-companion-token");
    answered.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
}

/// Accepts a WebSocket (RFC 6455 section 4.2.2) and sends one text frame.
fn web_socket(request: &mut Request, key: &HeaderValue) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut *request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let length = u8::try_from(LEAKED.len()).unwrap_or_default();
        let frame = [&[0x81, length], LEAKED.as_bytes()].concat();
        // The page may be gone.
        let _ = TokioIo::new(upgraded).write_all(&frame).await;
    });
    let accept = [key.as_bytes(), WEBSOCKET_GUID.as_bytes()].concat();
    let accept = base64(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &accept).as_ref());
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let offered = request.headers().get(SEC_WEBSOCKET_PROTOCOL);
    let first = offered.and_then(|all| all.to_str().ok()?.split(',').next());
    if let Some(Ok(protocol)) = first.map(HeaderValue::from_str) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// With padding (RFC 4648 section 4).
pub(super) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
