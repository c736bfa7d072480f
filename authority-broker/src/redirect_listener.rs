//! The listener that takes one answer of one sign-in attempt, and is gone (RFC 8252 section 7.3;
//! contract 6).

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
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
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
    /// is answered 404 and leaves the attempt alone. The port is closed before this returns; the
    /// page may still be on its way to the browser.
    pub(crate) async fn one_answer(self) -> Result<Query, Reason> {
        let (sender, mut answer) = oneshot::channel();
        let waiting = Arc::new(Waiting { uri: self.uri, answer: Mutex::new(Some(sender)) });
        let places = Arc::new(Semaphore::new(REDIRECT_CONNECTIONS));
        let mut connections = JoinSet::new();
        let query = loop {
            tokio::select! {
                query = &mut answer => break query.map_err(|_| Reason::Internal)?,
                accepted = self.listener.accept() => {
                    // A failed accept is the peer's doing, or passes.
                    let Ok((stream, _)) = accepted else { tokio::task::yield_now().await; continue };
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let waiting = Arc::clone(&waiting);
                    connections.spawn(async move {
                        serve(stream, waiting).await;
                        drop(place);
                    });
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
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
mod tests {
    use authority_core::redirect::callback_path;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::RedirectListener;
    use crate::testing::TestConnections;

    async fn ask(authority: &str, request: &str) -> String {
        let mut stream = TcpStream::connect(authority).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    async fn bound() -> (RedirectListener, String, String) {
        let path = callback_path(Some([5; 16]));
        let connections = TestConnections::nowhere();
        let listener = RedirectListener::open(&connections, &path).await.unwrap();
        let authority = listener.uri().authority().to_owned();
        (listener, authority, path)
    }

    #[tokio::test]
    async fn other_paths_methods_and_hosts_get_404_and_leave_the_attempt_alone() {
        let (listener, authority, path) = bound().await;
        let port = authority.rsplit(':').next().unwrap().to_owned();
        let waiting = tokio::spawn(listener.one_answer());
        for request in [
            format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
            format!("GET /favicon.ico HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
            format!("GET {path}/x?state=a HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
            format!("GET /callback?state=a HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
            format!("POST {path}?state=a HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
            format!("HEAD {path}?state=a HTTP/1.1\r\nHost: {authority}\r\n\r\n"),
            format!("GET {path}?state=a HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
            format!("GET {path}?state=a HTTP/1.1\r\nHost: evil.test\r\n\r\n"),
        ] {
            let response = ask(&authority, &request).await;
            assert!(response.starts_with("HTTP/1.1 404"), "{request}{response}");
        }
        let garbage = ask(&authority, "not http\r\n\r\n").await;
        assert!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");

        let right = format!(
            "GET {path}?code=canary&state=s HTTP/1.1\r\nHost: {authority}\r\n\
             Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n\r\n"
        );
        let response = ask(&authority, &right).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        assert!(response.contains("referrer-policy: no-referrer"), "{response}");
        assert!(response.contains("cache-control: no-store"), "{response}");
        assert!(!response.contains("canary"), "{response}");
        assert_eq!(waiting.await.unwrap().unwrap().as_str(), "code=canary&state=s");
    }

    #[tokio::test]
    async fn the_port_is_closed_after_one_answer() {
        let (listener, authority, path) = bound().await;
        let waiting = tokio::spawn(listener.one_answer());
        let right = format!("GET {path}?a=1 HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        ask(&authority, &right).await;
        waiting.await.unwrap().unwrap();
        assert!(TcpStream::connect(&authority).await.is_err());
    }

    #[tokio::test]
    async fn dropping_the_wait_closes_the_port() {
        let (listener, authority, _) = bound().await;
        let waiting = tokio::spawn(listener.one_answer());
        waiting.abort();
        let _ = waiting.await;
        assert!(TcpStream::connect(&authority).await.is_err());
    }
}
