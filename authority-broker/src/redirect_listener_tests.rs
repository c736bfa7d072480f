use std::collections::HashSet;

use authority_core::Reason;
use authority_core::redirect::callback_path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Query, RedirectListener};
use crate::limits::{REDIRECT_CONNECTIONS, REDIRECT_HEAD_BYTES};
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

/// What the browser sends after the redirect of another site.
fn callback(authority: &str, target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\n\
         Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n\r\n"
    )
}

/// As [`ask`], of a peer that may be cut off in the middle.
async fn tried(authority: &str, request: &[u8]) -> String {
    let Ok(mut stream) = TcpStream::connect(authority).await else { return String::new() };
    let _ = stream.write_all(request).await;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    String::from_utf8_lossy(&response).into_owned()
}

async fn is_answered(
    waiting: JoinHandle<Result<Query, Reason>>,
    authority: &str,
    path: &str,
) -> bool {
    let response = ask(authority, &callback(authority, &format!("{path}?state=right"))).await;
    let query = waiting.await.unwrap().unwrap();
    response.starts_with("HTTP/1.1 200") && query.as_str() == "state=right"
}

/// What a browser adds to a request of another site's script, and to the question before it.
const FOREIGN: &str =
    "Origin: https://evil.test\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n";
const PREFLIGHT: &str = "Access-Control-Request-Method: GET\r\n\
                         Access-Control-Request-Private-Network: true\r\n";

#[tokio::test]
async fn hostile_requests_of_every_shape_leave_the_attempt_alone() {
    let (listener, authority, path) = bound().await;
    let waiting = tokio::spawn(listener.one_answer());
    let host = format!("Host: {authority}\r\n");
    let huge = "x".repeat(2 * REDIRECT_HEAD_BYTES);
    let mut shapes: Vec<(&str, String)> = ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "FOO"]
        .map(|method| ("a method", format!("{method} {path}?state=x HTTP/1.1\r\n{host}\r\n")))
        .to_vec();
    shapes.extend([
        ("CONNECT", format!("CONNECT {authority} HTTP/1.1\r\n{host}\r\n")),
        ("a path above it", format!("GET /callback HTTP/1.1\r\n{host}\r\n")),
        ("a trailing slash", format!("GET {path}/?state=x HTTP/1.1\r\n{host}\r\n")),
        ("an encoded path", format!("GET /%63{} HTTP/1.1\r\n{host}\r\n", &path[2..])),
        ("another case", format!("GET {} HTTP/1.1\r\n{host}\r\n", path.to_uppercase())),
        ("a way round", format!("GET /x/..{path} HTTP/1.1\r\n{host}\r\n")),
        ("a doubled slash", format!("GET /{path} HTTP/1.1\r\n{host}\r\n")),
        ("no host", format!("GET {path}?state=x HTTP/1.1\r\n\r\n")),
        ("two hosts", format!("GET {path}?state=x HTTP/1.1\r\n{host}{host}\r\n")),
        ("a foreign page's name", format!("GET {path} HTTP/1.1\r\nHost: evil.test\r\n\r\n")),
        ("a page's script", format!("POST {path}?state=x HTTP/1.1\r\n{host}{FOREIGN}\r\n")),
        ("a page that scans", format!("GET /callback?state=x HTTP/1.1\r\n{host}{FOREIGN}\r\n")),
        ("a page's question", format!("OPTIONS {path} HTTP/1.1\r\n{host}{FOREIGN}{PREFLIGHT}\r\n")),
        ("a huge query", format!("GET {path}?state={huge} HTTP/1.1\r\n{host}\r\n")),
        ("a huge header", format!("GET {path} HTTP/1.1\r\n{host}X: {huge}\r\n\r\n")),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("TLS", "\u{16}\u{3}\u{1}\u{0}\u{5}hello\r\n\r\n".to_owned()),
    ]);
    for (case, request) in shapes {
        let response = tried(&authority, request.as_bytes()).await;
        assert!(!response.starts_with("HTTP/1.1 2"), "{case}: {response}");
        assert!(!response.to_lowercase().contains("access-control"), "{case}: {response}");
    }
    assert!(is_answered(waiting, &authority, &path).await);
}

/// Half-open connections take places, never the attempt: the oldest give way.
#[tokio::test]
async fn more_half_open_connections_than_there_are_places_do_not_keep_the_browser_out() {
    let (listener, authority, path) = bound().await;
    let waiting = tokio::spawn(listener.one_answer());
    let mut half_open = Vec::new();
    for at in 0..4 * REDIRECT_CONNECTIONS {
        let mut stream = TcpStream::connect(&authority).await.unwrap();
        if at % 2 == 0 {
            let _ = stream.write_all(format!("GET {path}?state=x HTTP/1.1\r\n").as_bytes()).await;
        }
        half_open.push(stream);
    }
    assert!(is_answered(waiting, &authority, &path).await);
}

#[tokio::test]
async fn of_many_callbacks_at_once_one_is_taken_and_the_rest_learn_nothing() {
    let (listener, authority, path) = bound().await;
    let waiting = tokio::spawn(listener.one_answer());
    let requests: Vec<_> = (0..16)
        .map(|at| callback(&authority, &format!("{path}?state={at}")).into_bytes())
        .collect();
    let answers = requests.iter().map(|request| tried(&authority, request));
    let answers = futures_util::future::join_all(answers).await;
    let taken = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 200")).count();
    assert_eq!(taken, 1, "{answers:?}");
    let is_nothing = |answer: &str| answer.is_empty() || answer.starts_with("HTTP/1.1 404");
    assert_eq!(answers.iter().filter(|answer| is_nothing(answer)).count(), 15, "{answers:?}");
    waiting.await.unwrap().unwrap();
    assert!(TcpStream::connect(&authority).await.is_err());
}

/// The page says that something came, never whether it was right: that is judged after it.
#[tokio::test]
async fn the_page_is_the_same_whatever_the_query_says() {
    let mut pages = HashSet::new();
    for query in ["code=c&state=right", "state=wrong", "error=access_denied", "state=a&state=b", ""]
    {
        let (listener, authority, path) = bound().await;
        let waiting = tokio::spawn(listener.one_answer());
        let page = ask(&authority, &callback(&authority, &format!("{path}?{query}"))).await;
        assert!(!page.to_lowercase().contains("access-control"), "{page}");
        assert_eq!(waiting.await.unwrap().unwrap().as_str(), query);
        let without_date = |line: &&str| !line.starts_with("date:");
        pages.insert(page.lines().filter(without_date).collect::<Vec<_>>().join("\n"));
    }
    assert_eq!(pages.len(), 1, "{pages:?}");
}

#[tokio::test]
async fn a_callback_that_came_before_anybody_waited_is_taken() {
    let (listener, authority, path) = bound().await;
    let mut early = TcpStream::connect(&authority).await.unwrap();
    early.write_all(callback(&authority, &format!("{path}?state=early")).as_bytes()).await.unwrap();
    assert_eq!(listener.one_answer().await.unwrap().as_str(), "state=early");
    let mut page = String::new();
    early.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
}
