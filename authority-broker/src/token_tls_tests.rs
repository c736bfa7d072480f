//! What lies under an answer of the token endpoint, under fire (contract 6): certificates, versions
//! of TLS, answers that break off or drip. Each is refused, and the session as it was.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use authority_core::custody::Account;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use crate::https::Https;
use crate::testing::{TestConnections, listener};
use crate::tls::client_config;
use crate::token_fire_tests::{FAILED, REFRESH_TOKEN, due, good, is_refused_and_unchanged};

const NAME: &str = "gateway.localhost";

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
    let (certificate, key) = certified(name, change, sign);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn certified(
    name: &str,
    change: impl Fn(&mut CertificateParams),
    sign: impl Fn(CertificateParams, &KeyPair) -> rcgen::Certificate,
) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (sign(params, &key), key)
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
        // Whoever sent the token would be answered rightly.
        let sent = Arc::new(AtomicBool::new(false));
        let came = Arc::clone(&sent);
        let server = over_tls(tls, move |stream| {
            came.store(true, Ordering::SeqCst);
            says(stream, whole_answer())
        });
        is_refused_and_unchanged(due(server.port, authority.https()), FAILED, case).await;
        assert!(!sent.load(Ordering::SeqCst), "{case}: the token was sent");
    }
    let right = over_tls(authority.leaf(NAME, |_| {}), |stream| says(stream, whole_answer()));
    let (_, sessions) = due(right.port, authority.https());
    assert!(sessions.access_token().await.is_ok(), "nothing else was wrong");
}

/// A server that answers whatever it was offered in TLS 1.1, and other bytes that are no TLS.
#[tokio::test]
async fn tls_1_1_and_what_is_no_tls_are_refused_before_the_token_is_sent() {
    let mut server_hello = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    server_hello.extend([7; 32]);
    // No session id, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    server_hello.extend([0, 0, 0x2f, 0]);
    // A fatal alert: protocol_version.
    let of_the_version: &[u8] = &[0x15, 3, 3, 0, 2, 2, 70];
    for (case, bytes, answer) in [
        ("TLS 1.1", server_hello, of_the_version),
        ("plain HTTP", whole_answer(), &[]),
        ("nothing", Vec::new(), &[]),
        ("an alert", vec![0x15, 3, 3, 0, 2, 2, 40], &[]),
    ] {
        let (said, mut heard) = mpsc::unbounded_channel();
        let server = Raw::start(move |mut stream| {
            let (bytes, said) = (bytes.clone(), said.clone());
            async move {
                let mut all = vec![0; 4096];
                let hello = stream.read(&mut all).await.unwrap_or(0);
                all.truncate(hello);
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut all).await;
                let _ = said.send(all);
            }
        });
        let authority = Authority::new();
        is_refused_and_unchanged(due(server.port, authority.https()), FAILED, case).await;
        let heard = heard.recv().await.unwrap();
        assert!(heard.ends_with(answer), "{case}: {heard:?}");
        let token = REFRESH_TOKEN.as_bytes();
        assert!(!heard.windows(token.len()).any(|part| part == token), "{case}: it was sent");
    }
}

/// OpenSSL, which can still speak TLS 1.1: a server of that version alone, and of the next.
#[tokio::test]
async fn a_server_of_tls_1_1_alone_is_refused_and_one_of_tls_1_2_is_not() {
    let authority = Authority::new();
    let mut old = OpenSsl::start(&authority, "-tls1_1").await;
    is_refused_and_unchanged(due(old.port, authority.https()), FAILED, "TLS 1.1").await;
    let said = old.said().await;
    assert!(said.contains("unsupported protocol") && !said.contains(REFRESH_TOKEN), "{said}");

    let mut new = OpenSsl::start(&authority, "-tls1_2").await;
    let (store, sessions) = due(new.port, authority.https());
    let (answer, ()) = tokio::join!(sessions.access_token(), new.answer());
    assert!(answer.is_ok(), "nothing else was wrong");
    assert_eq!(store.text(Account::RefreshToken).as_deref(), Some("r2"));
}

/// `openssl s_server` for one connection: it shows what it is told, and passes on what it is given.
struct OpenSsl {
    port: u16,
    process: Child,
    output: BufReader<ChildStdout>,
    _pem: NamedTempFile,
}

impl OpenSsl {
    async fn start(authority: &Authority, version: &str) -> Self {
        let sign =
            |params: CertificateParams, key: &KeyPair| params.signed_by(key, &authority.0).unwrap();
        let (certificate, key) = certified(NAME, |_| {}, sign);
        let pem = NamedTempFile::new().unwrap();
        std::fs::write(pem.path(), key.serialize_pem() + &certificate.pem()).unwrap();
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1", version])
            .args(["-cipher", "ALL:@SECLEVEL=0", "-cert"])
            .args([pem.path(), "-key".as_ref(), pem.path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the package openssl");
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert_ne!(output.read_line(&mut line).await.unwrap(), 0, "openssl ended");
            if let Some(port) = line.trim_end().strip_prefix("ACCEPT 127.0.0.1:") {
                break port.parse().unwrap();
            }
        };
        Self { port, process, output, _pem: pem }
    }

    /// Answers rightly once the token has come.
    async fn answer(&mut self) {
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains(REFRESH_TOKEN) {
            assert_ne!(self.output.read_buf(&mut said).await.unwrap(), 0, "openssl ended");
        }
        self.process.stdin.take().unwrap().write_all(&whole_answer()).await.unwrap();
    }

    /// Everything it said until it ended.
    async fn said(&mut self) -> String {
        let mut said = String::new();
        self.output.read_to_string(&mut said).await.unwrap();
        self.process.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
        said
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
        let tls = authority.leaf(NAME, |_| {});
        let server = over_tls(tls, move |stream| says(stream, bytes.clone()));
        is_refused_and_unchanged(due(server.port, authority.https()), FAILED, case).await;
    }
}

/// One byte a second never ends: the request does, after 30 s in all.
#[tokio::test]
async fn an_answer_that_drips_is_given_up_after_30_seconds() {
    let (authority, came) = (Authority::new(), Arc::new(Notify::new()));
    let request_came = Arc::clone(&came);
    let tls = authority.leaf(NAME, |_| {});
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
