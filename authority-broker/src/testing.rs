//! Stand-ins for the tests of this crate: a gateway of a few lines over real TLS, and sockets in
//! place of the launcher's.

use std::future::ready;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use authority_core::discovery::{Issuer, ServerMetadata, judge};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use peer_socket::MonitorError;
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::connections::Connections;
use crate::https::Https;

/// The name in the gateway's certificate.
const HOST: &str = "gateway.localhost";

/// Connections of a test: every host of the gateway is on loopback.
#[derive(Debug, Default)]
pub(crate) struct TestConnections {
    bus: Option<PathBuf>,
    catalog: Option<PathBuf>,
}

impl TestConnections {
    /// Without a session bus.
    pub(crate) fn nowhere() -> Connections {
        Connections::Test(Arc::default())
    }

    /// With a session bus at this path.
    pub(crate) fn with_bus(bus: PathBuf) -> Connections {
        Connections::Test(Arc::new(Self { bus: Some(bus), catalog: None }))
    }

    /// With a catalog whose metadata lies in this directory.
    pub(crate) fn with_catalog(catalog: PathBuf) -> Connections {
        Connections::Test(Arc::new(Self { bus: None, catalog: Some(catalog) }))
    }

    pub(crate) fn catalog_file(&self, name: &str) -> Result<std::fs::File, MonitorError> {
        let dir = self.catalog.as_ref().ok_or(MonitorError::Gone)?;
        let not_there = |_| MonitorError::Refused(monitor_api::MonitorRefusal::NotThere);
        std::fs::File::open(dir.join(name)).map_err(not_there)
    }

    pub(crate) async fn gateway(&self, port: u16) -> Result<TcpStream, MonitorError> {
        TcpStream::connect(("127.0.0.1", port)).await.map_err(|_| MonitorError::Gone)
    }

    pub(crate) async fn session_bus(&self) -> Result<UnixStream, MonitorError> {
        let bus = self.bus.as_ref().ok_or(MonitorError::Gone)?;
        UnixStream::connect(bus).await.map_err(|_| MonitorError::Gone)
    }

    pub(crate) fn redirect_listener(&self) -> Result<TcpListener, MonitorError> {
        listener().map_err(|_| MonitorError::Gone)
    }
}

/// A listener on a free port of loopback.
pub(crate) fn listener() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    socket.listen(64)
}

/// A gateway that answers as its function says; gone when dropped.
pub(crate) struct Gateway {
    port: u16,
    certificate: CertificateDer<'static>,
    requests: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

impl Gateway {
    pub(crate) fn start(
        answer: impl Fn(Request<Vec<u8>>) -> Response<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::start_with_port(|_| answer)
    }

    /// For answers that name the gateway's own port.
    pub(crate) fn start_with_port<A>(answer: impl FnOnce(u16) -> A) -> Self
    where
        A: Fn(Request<Vec<u8>>) -> Response<Vec<u8>> + Send + Sync + 'static,
    {
        let listener = listener().unwrap();
        let port = listener.local_addr().unwrap().port();
        let (certificate, config) = certificate();
        let requests = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(answer(port));
        let serving = accept(listener, TlsAcceptor::from(config), Arc::clone(&requests), answer);
        let _serving = AbortOnDropHandle::new(tokio::spawn(serving));
        Self { port, certificate, requests, _serving }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn issuer(&self) -> String {
        format!("https://{HOST}:{}/native", self.port)
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("https://{HOST}:{}{path}", self.port)).unwrap()
    }

    /// Requests that came so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// A client that trusts this gateway's certificate.
    pub(crate) fn https(&self) -> Https {
        self.https_that_trusts(self)
    }

    pub(crate) fn https_that_trusts(&self, other: &Self) -> Https {
        let mut roots = RootCertStore::empty();
        roots.add(other.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Https::new(TestConnections::nowhere(), Some(Arc::new(config)))
    }
}

fn certificate() -> (CertificateDer<'static>, Arc<ServerConfig>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    (certificate, Arc::new(config))
}

async fn accept<A>(
    listener: TcpListener,
    tls: TlsAcceptor,
    requests: Arc<AtomicUsize>,
    answer: Arc<A>,
) where
    A: Fn(Request<Vec<u8>>) -> Response<Vec<u8>> + Send + Sync + 'static,
{
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, requests, answer) = (tls.clone(), Arc::clone(&requests), Arc::clone(&answer));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(|request: Request<Incoming>| async {
                requests.fetch_add(1, Ordering::SeqCst);
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes().to_vec();
                let response = answer(Request::from_parts(head, body));
                ready(Ok::<_, hyper::Error>(response.map(|body| Full::new(Bytes::from(body)))))
                    .await
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A JSON answer.
pub(crate) fn json(status: u16, body: &Value) -> Response<Vec<u8>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(body.to_string().into_bytes()).unwrap()
}

/// 404.
pub(crate) fn not_found() -> Response<Vec<u8>> {
    Response::builder().status(404).body(Vec::new()).unwrap()
}

/// The metadata of a gateway on this port.
pub(crate) fn metadata(port: u16) -> Value {
    let at = |path: &str| format!("https://{HOST}:{port}{path}");
    json!({
        "issuer": at("/native"),
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "registration_endpoint": at("/register"),
        "revocation_endpoint": at("/revoke"),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
    })
}

/// The same, judged.
pub(crate) fn server_metadata(gateway: &Gateway) -> ServerMetadata {
    let issuer = Issuer::parse(&gateway.issuer()).unwrap();
    judge(metadata(gateway.port()).to_string().as_bytes(), &issuer).unwrap()
}
