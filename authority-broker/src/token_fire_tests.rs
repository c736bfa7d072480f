//! The token endpoint under fire (contract 6): each wrong answer refused with its reason, and the
//! session as it was, byte for byte.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::sync::Arc;
use std::time::Duration;

use authority_core::Reason;
use authority_core::custody::Account;
use authority_core::session::{SessionMeta, Standing};
use http::Response;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;
use tracing::Level;
use tracing::subscriber::DefaultGuard;

use crate::clock;
use crate::https::Https;
use crate::keychain::memory::MemoryStore;
use crate::session::Sessions;
use crate::testing::{Gateway, TestConnections, json as json_answer, listener};
use crate::tls::client_config;

pub(crate) type Answer = fn() -> Response<Vec<u8>>;

fn good() -> Value {
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
const FAILED: Reason = Reason::TokenExchangeFailed;

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
const REFRESH_TOKEN: &str = "canary-of-the-refresh-token-4715";

/// A keychain with a session that is due for renewal.
fn due(port: u16, https: Https) -> (MemoryStore, Arc<Sessions>) {
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

async fn is_refused_and_unchanged(
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

/// A server of raw bytes over TLS, or under it.
struct Raw {
    port: u16,
    _serving: AbortOnDropHandle<()>,
}

impl Raw {
    fn start<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = listener().unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self { port, _serving: AbortOnDropHandle::new(serving) }
    }
}

/// A certificate authority of a test, as the configured `ca_file` of a broker.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The client of the product, with this authority beside the platform's.
    fn https(&self) -> Https {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), self.0.pem()).unwrap();
        Https::new(TestConnections::nowhere(), client_config(file.path()).unwrap())
    }

    fn leaf(&self, name: &str, change: impl Fn(&mut CertificateParams)) -> TlsAcceptor {
        acceptor(name, change, |params, key| params.signed_by(key, &self.0).unwrap())
    }
}

fn acceptor(
    name: &str,
    change: impl Fn(&mut CertificateParams),
    sign: impl Fn(CertificateParams, &KeyPair) -> rcgen::Certificate,
) -> TlsAcceptor {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = sign(params, &key).der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Serves each connection over TLS, once its request has come.
fn over_tls<F>(
    tls: TlsAcceptor,
    answer: impl Fn(TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
) -> Raw
where
    F: Future<Output = ()> + Send + 'static,
{
    Raw::start(move |stream| {
        let (tls, answer) = (tls.clone(), answer.clone());
        async move {
            let Ok(mut stream) = tls.accept(stream).await else { return };
            let mut request = Vec::new();
            while !String::from_utf8_lossy(&request).contains(REFRESH_TOKEN) {
                let mut part = [0; 1024];
                let Ok(read @ 1..) = stream.read(&mut part).await else { return };
                request.extend_from_slice(&part[..read]);
            }
            answer(stream).await;
        }
    })
}

async fn says(mut stream: TlsStream<TcpStream>, bytes: Vec<u8>) {
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

fn whole_answer() -> Vec<u8> {
    let body = good().to_string();
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

#[tokio::test]
async fn a_certificate_with_any_fault_ends_the_refresh_before_the_token_is_sent() {
    const NAME: &str = "gateway.localhost";
    let (authority, other) = (Authority::new(), Authority::new());
    let cases = [
        ("expired", authority.leaf(NAME, |it| it.not_after = date_time_ymd(2001, 1, 1))),
        ("not yet valid", authority.leaf(NAME, |it| it.not_before = date_time_ymd(2999, 1, 1))),
        ("of another host", authority.leaf("other.localhost", |_| {})),
        ("of a name above it", authority.leaf("localhost", |_| {})),
        (
            "for clients only",
            authority.leaf(NAME, |it| {
                it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
        ),
        ("of another authority", other.leaf(NAME, |_| {})),
        ("self-signed", acceptor(NAME, |_| {}, |params, key| params.self_signed(key).unwrap())),
    ];
    for (case, tls) in cases {
        let server = over_tls(tls, |_| async { panic!("the token was sent") });
        is_refused_and_unchanged(due(server.port, authority.https()), FAILED, case).await;
    }
    let right = over_tls(authority.leaf(NAME, |_| {}), |stream| says(stream, whole_answer()));
    let (_, sessions) = due(right.port, authority.https());
    assert!(sessions.access_token().await.is_ok(), "nothing else was wrong");
}

/// A stand-in of a few bytes: no maintained TLS library speaks TLS 1.1 any more.
#[tokio::test]
async fn tls_1_1_and_what_is_no_tls_are_refused_before_the_token_is_sent() {
    let mut server_hello = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    server_hello.extend([7; 32]);
    // No session id, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    server_hello.extend([0, 0, 0x2f, 0]);
    for (case, bytes) in [
        ("TLS 1.1", server_hello),
        ("plain HTTP", whole_answer()),
        ("nothing", Vec::new()),
        ("an alert", vec![0x15, 3, 3, 0, 2, 2, 40]),
    ] {
        let server = Raw::start(move |mut stream| {
            let bytes = bytes.clone();
            async move {
                let mut hello = [0; 4096];
                let _ = stream.read(&mut hello).await;
                let _ = stream.write_all(&bytes).await;
                let mut rest = Vec::new();
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut rest).await;
            }
        });
        let authority = Authority::new();
        is_refused_and_unchanged(due(server.port, authority.https()), FAILED, case).await;
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_no_http_is_refused() {
    let authority = Authority::new();
    let json = "content-type: application/json";
    let cut = |head: &str| format!("HTTP/1.1 200 OK\r\n{json}\r\n{head}\r\n\r\n{}", good());
    for (case, bytes) in [
        ("cut off", cut("content-length: 1000")),
        ("a chunk that never ends", cut("transfer-encoding: chunked")),
        ("two lengths", cut("content-length: 1\r\ncontent-length: 2")),
        ("no HTTP", "SSH-2.0-x\r\n".to_owned()),
        ("nothing", String::new()),
        ("a head without end", format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1024 * 1024))),
    ] {
        let bytes = bytes.into_bytes();
        let tls = authority.leaf("gateway.localhost", |_| {});
        let server = over_tls(tls, move |stream| says(stream, bytes.clone()));
        is_refused_and_unchanged(due(server.port, authority.https()), FAILED, case).await;
    }
}

/// One byte a second never ends: the request does, after 30 s in all.
#[tokio::test]
async fn an_answer_that_drips_is_given_up_after_30_seconds() {
    let (authority, came) = (Authority::new(), Arc::new(Notify::new()));
    let request_came = Arc::clone(&came);
    let tls = authority.leaf("gateway.localhost", |_| {});
    let server = over_tls(tls, move |mut stream| {
        request_came.notify_one();
        async move {
            for byte in whole_answer() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        }
    });
    let session = due(server.port, authority.https());
    let hurry = async {
        came.notified().await;
        let before = tokio::time::Instant::now();
        tokio::time::pause();
        before
    };
    let ((), before) = tokio::join!(is_refused_and_unchanged(session, FAILED, "a drip"), hurry);
    let took = before.elapsed();
    assert!(took > Duration::from_secs(28) && took < Duration::from_secs(40), "{took:?}");
}

/// No network at all: the port is closed.
#[tokio::test]
async fn without_a_network_the_session_is_kept() {
    let listener = listener().unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    is_refused_and_unchanged(due(port, Authority::new().https()), FAILED, "no network").await;
}
