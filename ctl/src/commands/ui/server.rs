//! The HTTP server behind the page: HTTP/1.1 without upgrades, for this user's own connections,
//! bounded in their number, in what they send and in patience.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::guard::{self, Denied, Permit, UntrustedRequest};
use super::keys::Keys;
use super::respond::{self, Body};
use super::{api, peer};
use crate::context::Context;
use crate::refusal::Refusal;

/// Connections at a time. A browser opens six for the page; those of other pages are closed as
/// soon as they are refused, but each page may open six more.
const MAX_CONNECTIONS: usize = 256;
/// Largest request head, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Largest request body, in bytes: a long conversation.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Longest wait for a request's head, and for its body.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause when no connection can be accepted, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every request is answered from.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) context: Arc<Context>,
    pub(super) bound: SocketAddr,
    keys: Mutex<Keys>,
}

impl Site {
    pub(super) fn new(context: Arc<Context>, bound: SocketAddr) -> Self {
        Self { context, bound, keys: Mutex::new(Keys::default()) }
    }

    /// The address that opens the page, once and within a minute.
    ///
    /// # Errors
    /// `internal` when the kernel gives no randomness.
    pub(super) fn address(&self) -> Result<String, Refusal> {
        let code = self.with_keys(|keys| keys.issue(Instant::now()))?;
        Ok(format!("http://{}/#{}", self.bound, code.expose_for_address()))
    }

    fn with_keys<T>(&self, act: impl FnOnce(&mut Keys) -> T) -> T {
        act(&mut self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Serves until it is dropped; the listener, and with it the port, goes then.
pub(super) async fn serve(listener: TcpListener, site: Arc<Site>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        match listener.accept().await {
            // Whoever is not of this user, or one too many, is closed without a word.
            Ok((stream, from)) if peer::is_own(from, site.bound) => {
                if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
                    tokio::spawn(connection(stream, Arc::clone(&site), slot));
                }
            }
            Ok(_) => {}
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(stream: TcpStream, site: Arc<Site>, _slot: OwnedSemaphorePermit) {
    // An answer's pieces leave as they come; without it they only leave later.
    drop(stream.set_nodelay(true));
    let service = service_fn(|request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(answer(request, &site).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_header_size(MAX_HEAD_BYTES)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    // Its failure is the browser's doing: gone, or too slow.
    drop(connection.await);
}

async fn answer(request: Request<Incoming>, site: &Site) -> Response<Body> {
    match judged(&request, site) {
        Err(denied) => respond::denied(denied),
        Ok(Permit::Page(asset)) => respond::page(asset),
        Ok(Permit::Exchange) => match body(request).await {
            Ok(body) => exchange(&body, site),
            Err(denied) => respond::denied(denied),
        },
        Ok(Permit::Api(call)) => match body(request).await {
            Ok(body) => api::answer(call, &body, &site.context).await,
            Err(denied) => respond::denied(denied),
        },
    }
}

fn judged(request: &Request<Incoming>, site: &Site) -> Result<Permit, Denied> {
    let target = request.uri().to_string();
    let headers: Vec<_> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = UntrustedRequest {
        method: request.method().as_str(),
        target: &target,
        is_http_11: request.version() == Version::HTTP_11,
        has_body: !request.body().is_end_stream(),
        headers: &headers,
    };
    site.with_keys(|keys| guard::judge(&request, site.bound.port(), keys))
}

async fn body(request: Request<Incoming>) -> Result<Bytes, Denied> {
    let whole = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
    match timeout(PATIENCE, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Denied { status: 413, reason: "body_too_large" })
        }
        Ok(Err(_)) => Err(Denied { status: 400, reason: "malformed_body" }),
        Err(_) => Err(Denied { status: 408, reason: "body_timeout" }),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    code: String,
}

fn exchange(body: &[u8], site: &Site) -> Response<Body> {
    let Ok(Exchange { code }) = serde_json::from_slice(body) else {
        return respond::denied(Denied { status: 400, reason: "malformed_body" });
    };
    match site.with_keys(|keys| keys.exchange(&code, Instant::now())) {
        Ok(key) => respond::json(&json!({ "key": key.expose_for_page() })),
        Err(_) => respond::denied(Denied { status: 401, reason: "page_code_refused" }),
    }
}
