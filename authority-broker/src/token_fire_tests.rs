//! The token endpoint under fire (contract 6): each wrong answer refused with its reason, and the
//! session as it was, byte for byte.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::sync::Arc;

use authority_core::Reason;
use authority_core::custody::Account;
use authority_core::session::{SessionMeta, Standing};
use http::Response;
use serde_json::{Value, json};
use tracing::Level;
use tracing::subscriber::DefaultGuard;

use crate::clock;
use crate::https::Https;
use crate::keychain::memory::MemoryStore;
use crate::session::Sessions;
use crate::testing::{Gateway, json as json_answer};

pub(crate) type Answer = fn() -> Response<Vec<u8>>;

pub(crate) fn good() -> Value {
    json!({"token_type": "Bearer", "access_token": "a2", "expires_in": 3600, "refresh_token": "r2"})
}

fn with(member: &str, value: &Value) -> Response<Vec<u8>> {
    let mut answer = good();
    answer[member] = value.clone();
    json_answer(200, &answer)
}

fn without(member: &str) -> Response<Vec<u8>> {
    let mut answer = good();
    answer.as_object_mut().unwrap().remove(member);
    json_answer(200, &answer)
}

fn verbatim(status: u16, content_type: &str, body: &str) -> Response<Vec<u8>> {
    let response = Response::builder().status(status).header("content-type", content_type);
    response.body(body.as_bytes().to_vec()).unwrap()
}

fn of_length(bytes: usize) -> Response<Vec<u8>> {
    let body = good().to_string();
    let padding = " ".repeat(bytes - body.len());
    verbatim(200, "application/json", &(body + &padding))
}

const INVALID: Reason = Reason::InvalidTokenResponse;
pub(crate) const FAILED: Reason = Reason::TokenExchangeFailed;

/// Every answer that is HTTP and no tokens, with the reason of its refusal.
pub(crate) const WRONG_ANSWERS: [(&str, Answer, Reason); 40] = [
    ("a redirect within the host", || redirect(302, "/elsewhere"), FAILED),
    ("a redirect that keeps the method", || redirect(307, "/elsewhere"), FAILED),
    ("a permanent redirect", || redirect(308, "https://evil.test/"), FAILED),
    ("a page", || verbatim(200, "text/html", "<html>"), INVALID),
    ("tokens called a page", || verbatim(200, "text/html", &good().to_string()), INVALID),
    ("tokens called a form", || verbatim(200, "text/plain", &good().to_string()), INVALID),
    ("tokens of no type", || Response::new(good().to_string().into_bytes()), INVALID),
    ("one byte too many", || of_length(64 * 1024 + 1), INVALID),
    ("far too many", || of_length(4 * 1024 * 1024), INVALID),
    ("nothing", || verbatim(200, "application/json", ""), INVALID),
    ("half of it", || verbatim(200, "application/json", &good().to_string()[..40]), INVALID),
    ("no JSON", || verbatim(200, "application/json", "access_token=a2"), INVALID),
    ("a list", || verbatim(200, "application/json", "[]"), INVALID),
    ("two documents", || verbatim(200, "application/json", &format!("{0}{0}", good())), INVALID),
    ("expires_in NaN", || verbatim(200, "application/json", &raw_expiry("NaN")), INVALID),
    ("expires_in Infinity", || verbatim(200, "application/json", &raw_expiry("1e999")), INVALID),
    (
        "expires_in beyond 64 bits",
        || verbatim(200, "application/json", &raw_expiry("18446744073709551616")),
        INVALID,
    ),
    ("expires_in with a fraction", || with("expires_in", &json!(1.5)), INVALID),
    ("expires_in negative", || with("expires_in", &json!(-1)), INVALID),
    ("expires_in zero", || with("expires_in", &json!(0)), INVALID),
    ("expires_in as text", || with("expires_in", &json!("3600")), INVALID),
    ("expires_in null", || with("expires_in", &json!(null)), INVALID),
    ("expires_in absent", || without("expires_in"), INVALID),
    ("expires_in in another unit", || with("expires_in", &json!(3_600_000_000_u64)), INVALID),
    ("token_type mac", || with("token_type", &json!("mac")), INVALID),
    ("token_type DPoP", || with("token_type", &json!("DPoP")), INVALID),
    ("token_type absent", || without("token_type"), INVALID),
    ("access_token absent", || without("access_token"), INVALID),
    ("access_token empty", || with("access_token", &json!("")), INVALID),
    ("access_token with a line end", || with("access_token", &json!("a\r\nb: c")), INVALID),
    ("refresh_token not text", || with("refresh_token", &json!(7)), INVALID),
    ("access_token twice", || verbatim(200, "application/json", &twice("access_token")), INVALID),
    ("refresh_token twice", || verbatim(200, "application/json", &twice("refresh_token")), INVALID),
    ("expires_in twice", || verbatim(200, "application/json", &twice("expires_in")), INVALID),
    ("token_type twice", || verbatim(200, "application/json", &twice("token_type")), INVALID),
    ("an error beside the tokens", || with("error", &json!("invalid_grant")), INVALID),
    ("an error alone with 200", || json_answer(200, &json!({"error": "invalid_grant"})), INVALID),
    ("tokens with 201", || json_answer(201, &good()), FAILED),
    (
        "a portal that says invalid_grant",
        || verbatim(400, "text/html", "{\"error\":\"invalid_grant\"}"),
        FAILED,
    ),
    (
        "a store fault that says invalid_grant",
        || json_answer(503, &json!({"error": "invalid_grant"})),
        FAILED,
    ),
];

fn redirect(status: u16, location: &str) -> Response<Vec<u8>> {
    let mut response = json_answer(status, &good());
    response.headers_mut().insert("location", location.parse().unwrap());
    response
}

fn raw_expiry(number: &str) -> String {
    good().to_string().replace("3600", number)
}

fn twice(member: &str) -> String {
    good().to_string().replacen('{', &format!("{{\"{member}\":{},", good()[member]), 1)
}

const ACCESS_TOKEN: &str = "canary-of-the-access-token-4714";
pub(crate) const REFRESH_TOKEN: &str = "canary-of-the-refresh-token-4715";

/// A keychain with a session that is due for renewal.
pub(crate) fn due(port: u16, https: Https) -> (MemoryStore, Arc<Sessions>) {
    let at = |path: &str| format!("https://gateway.localhost:{port}{path}");
    let store = MemoryStore::default();
    let meta = SessionMeta {
        issuer: at("/native"),
        client_id: "c-1".to_owned(),
        token_endpoint: at("/token"),
        revocation_endpoint: None,
        scopes: Vec::new(),
        expires_at: clock::now(),
    };
    store.put(Account::AccessToken, ACCESS_TOKEN);
    store.put(Account::RefreshToken, REFRESH_TOKEN);
    store.put(Account::SessionMeta, &serde_json::to_string(&meta).unwrap());
    let sessions = Sessions::new(&at("/native"), store.keychain(), https);
    (store, sessions)
}

pub(crate) async fn is_refused_and_unchanged(
    (store, sessions): (MemoryStore, Arc<Sessions>),
    reason: Reason,
    case: &str,
) {
    let held = || Account::OF_SESSION.map(|account| store.text(account));
    let before = held();
    let (log, logging) = everything_logged();
    assert_eq!(sessions.access_token().await.err(), Some(reason), "{case}");
    drop(logging);
    let log = said(&log);
    assert!(
        ![ACCESS_TOKEN, REFRESH_TOKEN].iter().any(|secret| log.contains(secret)),
        "{case}: {log}"
    );
    assert_eq!(held(), before, "{case}");
    assert_eq!(store.writes(), [], "{case}");
    assert_eq!(sessions.overview().await.unwrap().standing, Standing::Refresh, "{case}");
}

/// A file of all that is logged on this thread at any level, by libraries too, while the guard lives.
fn everything_logged() -> (Arc<File>, DefaultGuard) {
    let log = Arc::new(tempfile::tempfile().unwrap());
    let lines = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(log.clone());
    (log, tracing::subscriber::set_default(lines.finish()))
}

fn said(mut log: &File) -> String {
    let mut text = String::new();
    log.rewind().unwrap();
    log.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn a_log_of_everything_would_show_a_secret() {
    let (log, logging) = everything_logged();
    tracing::trace!(REFRESH_TOKEN, "the search can find");
    drop(logging);
    assert!(said(&log).contains(REFRESH_TOKEN));
}

#[tokio::test]
async fn each_wrong_answer_is_refused_with_its_reason_and_the_session_is_unchanged() {
    for (case, answer, reason) in WRONG_ANSWERS {
        let gateway = Gateway::start(move |_| answer());
        is_refused_and_unchanged(due(gateway.port(), gateway.https()), reason, case).await;
        assert_eq!(gateway.requests(), 1, "{case}");
    }
}

#[tokio::test]
async fn an_answer_of_exactly_the_longest_length_is_taken() {
    let gateway = Gateway::start(|_| of_length(64 * 1024));
    let (store, sessions) = due(gateway.port(), gateway.https());
    assert!(sessions.access_token().await.is_ok());
    assert_eq!(store.text(Account::RefreshToken).as_deref(), Some("r2"));
}
