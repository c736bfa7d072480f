//! A model host in this process, over real TLS, which misbehaves on demand.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use runtime_api::v1;
use runtime_core::Reason;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::fetch::{Dial, Fetcher};

/// Authority of the host in URLs, and the only entry of `[models] hosts`.
pub(super) const AUTHORITY: &str = "models.localhost:443";

/// What the model host does with the next requests.
#[derive(Debug, Clone)]
pub(super) enum Conduct {
    Serve,
    WithoutRanges,
    CutAfter(usize),
    /// Sends so many bytes, says so, and sends no more until the client has gone.
    HoldAfter(usize),
    Endless,
    Claims(usize),
    Flip(usize),
    Redirect(String),
    Status(&'static str),
    Compressed,
}

/// The host, which ends with the test's executor.
pub(super) struct Host {
    pub(super) address: SocketAddr,
    certificate: CertificateDer<'static>,
    shared: Arc<Shared>,
}

struct Shared {
    bytes: Vec<u8>,
    conduct: Mutex<Conduct>,
    /// By the last segment of the path, instead of `conduct`.
    conduct_at: Mutex<HashMap<&'static str, Conduct>>,
    etag: Mutex<&'static str>,
    /// Request heads.
    seen: Mutex<Vec<String>>,
    /// Responses that were held.
    held: watch::Sender<usize>,
}

impl Host {
    pub(super) fn serving(bytes: Vec<u8>) -> Self {
        let shared = Arc::new(Shared {
            bytes,
            conduct: Mutex::new(Conduct::Serve),
            conduct_at: Mutex::default(),
            etag: Mutex::new("\"first\""),
            seen: Mutex::default(),
            held: watch::Sender::new(0),
        });
        let (server, certificate) = certificates();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(8).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let there = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, there) = (acceptor.clone(), Arc::clone(&there));
                tokio::spawn(async move { serve(&acceptor, stream, &there).await });
            }
        });
        Self { address, certificate, shared }
    }

    /// A fetcher that reaches this host under any name.
    pub(super) fn fetcher(&self) -> Fetcher {
        dialling(self.address, trusting(&self.certificate))
    }

    /// Writes down what a child needs to know of this host.
    pub(super) fn describe_in(&self, dir: &Path) {
        std::fs::write(dir.join("certificate"), &self.certificate).unwrap();
        std::fs::write(dir.join("bytes"), self.bytes()).unwrap();
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.shared.bytes
    }

    pub(super) fn conducts(&self, conduct: Conduct) {
        *self.shared.conduct.lock().unwrap() = conduct;
    }

    pub(super) fn conducts_at(&self, name: &'static str, conduct: Conduct) {
        self.shared.conduct_at.lock().unwrap().insert(name, conduct);
    }

    /// From now on the file counts as another one.
    pub(super) fn tags(&self, etag: &'static str) {
        *self.shared.etag.lock().unwrap() = etag;
    }

    /// How many responses were held until now, and each change.
    pub(super) fn held(&self) -> watch::Receiver<usize> {
        self.shared.held.subscribe()
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }
}

impl Shared {
    fn conduct_for(&self, head: &str) -> Conduct {
        let name = head.split(' ').nth(1).and_then(|path| path.rsplit('/').next());
        let at = self.conduct_at.lock().unwrap();
        let own = name.and_then(|name| at.get(name)).cloned();
        own.unwrap_or_else(|| self.conduct.lock().unwrap().clone())
    }
}

/// What the catalog says of these bytes.
pub(super) fn artifact_of(bytes: &[u8], is_runtime: bool) -> v1::Artifact {
    let kind = if is_runtime { v1::ArtifactKind::Runtime } else { v1::ArtifactKind::Model };
    v1::Artifact {
        id: "m".to_owned(),
        kind: kind.into(),
        urls: vec!["https://models.localhost/models/m".to_owned()],
        sha256: hex::encode(Sha256::digest(bytes)),
        size_bytes: bytes.len() as u64,
        allowed_sources: vec!["https://models.localhost/models/".to_owned()],
        import: String::new(),
    }
}

/// A fetcher that reaches this address under any name.
pub(super) fn dialling(address: SocketAddr, client: ClientConfig) -> Fetcher {
    let dial: Dial = Arc::new(move |_, _| {
        Box::pin(
            async move { TcpStream::connect(address).await.map_err(|_| Reason::ConnectionFailed) },
        )
    });
    Fetcher::new(dial, client)
}

/// A client that trusts this certificate and no other.
pub(super) fn trusting(certificate: &CertificateDer<'_>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).unwrap();
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(super) fn certificates() -> (ServerConfig, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["models.localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (server, cert.der().clone())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

async fn serve(acceptor: &TlsAcceptor, stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let (conduct, etag) = (shared.conduct_for(&head), *shared.etag.lock().unwrap());
    let from = head.split("range: bytes=").nth(1).and_then(|r| r.split('-').next()?.parse().ok());
    // RFC 9110 section 13.1.5.
    let is_another =
        head.contains("\r\nif-range: ") && !head.contains(&format!("if-range: {etag}"));
    let from = from.filter(|_| !is_another);
    shared.seen.lock().unwrap().push(head);
    let bytes = shared.bytes.as_slice();
    let (from, total) = (from.unwrap_or(0), bytes.len());
    let full = format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n");
    let is_held = matches!(conduct, Conduct::HoldAfter(_));
    let (start, body) = match conduct {
        Conduct::Serve | Conduct::CutAfter(_) if from > 0 => (
            format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n\
                 Content-Range: bytes {from}-{}/{total}\r\n",
                total - from,
                total - 1
            ),
            bytes[from..].to_vec(),
        ),
        Conduct::Serve | Conduct::WithoutRanges => (full, bytes.to_vec()),
        Conduct::HoldAfter(count) => (full, bytes[..count].to_vec()),
        Conduct::CutAfter(count) => (full, bytes[..count].to_vec()),
        Conduct::Endless => ("HTTP/1.1 200 OK\r\n".to_owned(), [bytes, bytes].concat()),
        Conduct::Claims(size) => {
            (format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n"), vec![0; size])
        }
        Conduct::Flip(at) => {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1;
            (full, flipped)
        }
        Conduct::Redirect(to) => (format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n"), Vec::new()),
        Conduct::Status(status) => (format!("HTTP/1.1 {status}\r\n"), Vec::new()),
        Conduct::Compressed => (format!("{full}Content-Encoding: gzip\r\n"), bytes.to_vec()),
    };
    stream.write_all(start.as_bytes()).await?;
    stream.write_all(format!("ETag: {etag}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    stream.write_all(&body).await?;
    if is_held {
        stream.flush().await?;
        shared.held.send_modify(|held| *held += 1);
        let _ = stream.read_u8().await;
    }
    stream.shutdown().await
}
