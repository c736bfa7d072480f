//! The listener that takes one answer of one sign-in attempt, and is gone (RFC 8252 section 7.3;
//! contract 6).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use authority_core::Reason;
use authority_core::redirect::RedirectUri;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::connections::Connections;
use crate::limits::{REDIRECT_CONNECTIONS, REDIRECT_HEAD, REDIRECT_HEAD_BYTES, REDIRECT_LINGER};

/// A bound listener with the URI under which its attempt is answered.
pub(crate) struct RedirectListener {
    listener: TcpListener,
    uri: RedirectUri,
}

/// The raw query of the answer; overwritten when dropped.
pub(crate) type Query = Zeroizing<String>;

impl RedirectListener {
    /// Has the launcher bind a fresh port on 127.0.0.1.
    ///
    /// # Errors
    /// `internal` when there is none; `invalid_redirect_uri` when it is bound anywhere else.
    pub(crate) async fn open(connections: &Connections, path: &str) -> Result<Self, Reason> {
        let listener = connections.redirect_listener().await.map_err(|_| Reason::Internal)?;
        let bound = listener.local_addr().map_err(|_| Reason::Internal)?;
        let uri = RedirectUri::of_listener(bound.ip(), bound.port(), path)?;
        Ok(Self { listener, uri })
    }

    /// The URI of this attempt.
    pub(crate) fn uri(&self) -> &RedirectUri {
        &self.uri
    }

    /// Waits for the one GET on exactly the callback path and returns its query. Everything else
    /// is answered 404 and leaves the attempt alone. Where there are too many connections the
    /// oldest gives way: a browser asks at once, so those who only hold one open lose it. The
    /// port is closed before this returns; the page may still be on its way to the browser.
    pub(crate) async fn one_answer(self) -> Result<Query, Reason> {
        let (sender, mut answer) = oneshot::channel();
        let waiting = Arc::new(Waiting { uri: self.uri, answer: Mutex::new(Some(sender)) });
        let mut connections = JoinSet::new();
        let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
        let query = loop {
            tokio::select! {
                biased;
                query = &mut answer => break query.map_err(|_| Reason::Internal)?,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = self.listener.accept() => {
                    // A failed accept is the peer's doing, or passes.
                    let Ok((stream, _)) = accepted else { tokio::task::yield_now().await; continue };
                    oldest_first.retain(|connection| !connection.is_finished());
                    if oldest_first.len() >= REDIRECT_CONNECTIONS {
                        oldest_first.pop_front().inspect(AbortHandle::abort);
                    }
                    oldest_first.push_back(connections.spawn(serve(stream, Arc::clone(&waiting))));
                }
            }
        };
        drop(self.listener);
        tokio::spawn(async move {
            let _ = timeout(REDIRECT_LINGER, connections.join_all()).await;
        });
        Ok(query)
    }
}

struct Waiting {
    uri: RedirectUri,
    answer: Mutex<Option<oneshot::Sender<Query>>>,
}

async fn serve(stream: TcpStream, waiting: Arc<Waiting>) {
    let service = service_fn(move |request| {
        let response = respond(&request, &waiting);
        async move { Ok::<_, Infallible>(response) }
    });
    // How the connection of a browser ends is its own affair.
    let _ = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(REDIRECT_HEAD)
        .max_buf_size(REDIRECT_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn respond(request: &Request<Incoming>, waiting: &Waiting) -> Response<Full<Bytes>> {
    if request.method() != Method::GET || !is_for(request, &waiting.uri) {
        return page(StatusCode::NOT_FOUND, NOTHING_HERE);
    }
    let sender = waiting.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
    let query = Zeroizing::new(request.uri().query().unwrap_or_default().to_owned());
    match sender.map(|sender| sender.send(query)) {
        Some(Ok(())) => page(StatusCode::OK, RECEIVED),
        Some(Err(_)) | None => page(StatusCode::NOT_FOUND, NOTHING_HERE),
    }
}

/// The exact path, addressed to the exact host and port: not by another name for this machine.
fn is_for(request: &Request<Incoming>, uri: &RedirectUri) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().is_some_and(|host| host.as_bytes() == uri.authority().as_bytes());
    host && hosts.next().is_none() && request.uri().path() == uri.path()
}

const RECEIVED: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>companion</title>\
    <p>The answer has arrived. You may close this page and go back to the companion.";
const NOTHING_HERE: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
    <title>companion</title><p>There is nothing here.";

/// A plain page of its own, that echoes nothing and tells no other site where it came from.
fn page(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
#[path = "redirect_listener_tests.rs"]
mod tests;
