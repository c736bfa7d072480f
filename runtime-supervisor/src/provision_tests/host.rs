//! A model host in this process, over real TLS, which misbehaves on demand.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
use crate::store::Kind;

/// Authority of the host in URLs, and the only entry of `[models] hosts`.
pub(super) const AUTHORITY: &str = "models.localhost:443";

/// Longest a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the model host does with the next requests.
#[derive(Debug, Clone)]
pub(super) enum Conduct {
    Serve,
    WithoutRanges,
    /// Sends what lies before this offset and closes; who asks for what lies behind gets it.
    CutAfter(usize),
    /// Sends what lies before this offset, says so, and sends no more until it is told to, or the
    /// client has gone.
    HoldAfter(usize),
    /// Serves, and closes the connection, whether it says so or not.
    Leaves {
        says: bool,
    },
    /// Says of a part that it begins one byte later.
    Misplaces,
    /// Says of a part that it belongs to a file of this tag, whatever tag was asked for.
    Retags(&'static str),
    /// Says of a part that the file has so many bytes.
    Resizes(usize),
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
    /// For the next request from this offset on, instead of either.
    conduct_from: Mutex<HashMap<usize, Conduct>>,
    etag: Mutex<&'static str>,
    /// Request heads.
    seen: Mutex<Vec<String>>,
    /// Connections that were accepted, and the most that may be.
    accepted: Mutex<(usize, usize)>,
    /// Responses that were held.
    held: watch::Sender<usize>,
    /// Offsets from which held responses were asked for that may go on.
    released: watch::Sender<HashSet<usize>>,
}

impl Host {
    pub(super) fn serving(bytes: Vec<u8>) -> Self {
        let shared = Arc::new(Shared {
            bytes,
            conduct: Mutex::new(Conduct::Serve),
            conduct_at: Mutex::default(),
            conduct_from: Mutex::default(),
            etag: Mutex::new("\"first\""),
            seen: Mutex::default(),
            accepted: Mutex::new((0, usize::MAX)),
            held: watch::Sender::new(0),
            released: watch::Sender::default(),
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
                if there.may_accept() {
                    let (acceptor, there) = (acceptor.clone(), Arc::clone(&there));
                    tokio::spawn(async move { serve(&acceptor, stream, &there).await });
                }
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

    pub(super) fn conducts_from(&self, offset: usize, conduct: Conduct) {
        self.shared.conduct_from.lock().unwrap().insert(offset, conduct);
    }

    /// Connections after this one are closed unserved.
    pub(super) fn accepts(&self, connections: usize) {
        *self.shared.accepted.lock().unwrap() = (0, connections);
    }

    /// Connections that were asked for.
    pub(super) fn accepted(&self) -> usize {
        self.shared.accepted.lock().unwrap().0
    }

    /// Lets the held response go on that was asked for from this offset on.
    pub(super) fn release(&self, offset: usize) {
        self.shared.released.send_modify(|released| {
            released.insert(offset);
        });
    }

    /// Waits until so many responses in all were held.
    pub(super) async fn has_held(&self, count: usize) {
        let mut held = self.held();
        let held = held.wait_for(|held| *held >= count);
        tokio::time::timeout(PATIENCE, held).await.unwrap().unwrap();
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
    fn may_accept(&self) -> bool {
        let mut accepted = self.accepted.lock().unwrap();
        accepted.0 += 1;
        accepted.0 <= accepted.1
    }

    fn conduct_for(&self, head: &str) -> Conduct {
        let offset = asked_part(head).map_or(0, |(first, _)| first);
        if let Some(conduct) = self.conduct_from.lock().unwrap().remove(&offset) {
            return conduct;
        }
        let name = head.split(' ').nth(1).and_then(|path| path.rsplit('/').next());
        let at = self.conduct_at.lock().unwrap();
        let own = name.and_then(|name| at.get(name)).cloned();
        own.unwrap_or_else(|| self.conduct.lock().unwrap().clone())
    }
}

/// What the catalog says of these bytes.
pub(super) fn artifact_of(bytes: &[u8], kind: Kind) -> v1::Artifact {
    let kind = match kind {
        Kind::Model => v1::ArtifactKind::Model,
        Kind::Runtime => v1::ArtifactKind::Runtime,
        Kind::Archive => v1::ArtifactKind::RuntimeArchive,
    };
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
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        shared.seen.lock().unwrap().push(head.clone());
        let answer = Answer::to(&head, shared);
        let fields = if answer.says_close { "Connection: close\r\n\r\n" } else { "\r\n" };
        stream.write_all(format!("{}{fields}", answer.head).as_bytes()).await?;
        stream.write_all(&answer.body).await?;
        if let Some(rest) = answer.held {
            stream.flush().await?;
            shared.held.send_modify(|held| *held += 1);
            let mut released = shared.released.subscribe();
            tokio::select! {
                _ = released.wait_for(|released| released.contains(&answer.from)) => {}
                _ = stream.read_u8() => return Ok(()),
            }
            stream.write_all(&rest).await?;
        }
        if answer.closes {
            return stream.shutdown().await;
        }
    }
}

/// The part that a request asks for: its first offset, and the one after its last.
fn asked_part(head: &str) -> Option<(usize, Option<usize>)> {
    let (first, rest) = head.split("range: bytes=").nth(1)?.split_once('-')?;
    let last = rest.split("\r\n").next().and_then(|last| last.parse::<usize>().ok());
    Some((first.parse().ok()?, last.map(|last| last + 1)))
}

struct Answer {
    /// Without its last line.
    head: String,
    body: Vec<u8>,
    /// What is sent after the hold.
    held: Option<Vec<u8>>,
    /// Offset of the first byte that was asked for.
    from: usize,
    closes: bool,
    says_close: bool,
}

impl Answer {
    fn to(head: &str, shared: &Shared) -> Self {
        let (conduct, etag) = (shared.conduct_for(head), *shared.etag.lock().unwrap());
        let bytes = shared.bytes.as_slice();
        let total = bytes.len();
        // RFC 9110 section 13.1.5.
        let is_another = head.contains("\r\nif-range: ")
            && !head.contains(&format!("if-range: {etag}"))
            && !matches!(conduct, Conduct::Retags(_));
        let part = asked_part(head).filter(|_| !is_another);
        let (from, to) = part.map_or((0, total), |(from, to)| (from, to.unwrap_or(total)));
        let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n");
        let served = match part {
            Some(_) => format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n\
                 Content-Range: bytes {from}-{}/{total}\r\n",
                to - from,
                to - 1
            ),
            None => whole.clone(),
        };
        let middle = |offset: usize| offset.clamp(from, to);
        let (mut tag, mut held, mut closes) = (etag, None, false);
        let is_asked_to_close = head.contains("\r\nconnection: close");
        let says_close = is_asked_to_close || matches!(conduct, Conduct::Leaves { says: true });
        let (start, body) = match conduct {
            Conduct::Serve => (served, bytes[from..to].to_vec()),
            Conduct::CutAfter(offset) => {
                closes = offset > from && offset < to;
                let end = if closes { offset } else { to };
                (served, bytes[from..end].to_vec())
            }
            Conduct::HoldAfter(offset) => {
                held = (offset <= to).then(|| bytes[middle(offset)..to].to_vec());
                (served, bytes[from..middle(offset)].to_vec())
            }
            Conduct::Leaves { .. } => {
                closes = true;
                (served, bytes[from..to].to_vec())
            }
            Conduct::Misplaces => {
                let said = format!("bytes {}-{}", from + 1, to - 1);
                let served = served.replace(&format!("bytes {from}-{}", to - 1), &said);
                (served, bytes[from..to].to_vec())
            }
            Conduct::Resizes(total_said) => {
                let said = served.replace(&format!("/{total}\r"), &format!("/{total_said}\r"));
                (said, bytes[from..to].to_vec())
            }
            Conduct::Retags(other) => {
                tag = other;
                (served, bytes[from..to].to_vec())
            }
            Conduct::WithoutRanges => (whole, bytes.to_vec()),
            Conduct::Endless => ("HTTP/1.1 200 OK\r\n".to_owned(), [bytes, bytes].concat()),
            Conduct::Claims(size) => {
                (format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n"), vec![0; size])
            }
            Conduct::Flip(at) => {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 1;
                (whole, flipped)
            }
            Conduct::Redirect(to) => {
                (format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n"), Vec::new())
            }
            Conduct::Status(status) => (format!("HTTP/1.1 {status}\r\n"), Vec::new()),
            Conduct::Compressed => (format!("{whole}Content-Encoding: gzip\r\n"), bytes.to_vec()),
        };
        closes |= is_asked_to_close || !start.contains("Content-Length");
        Self { head: format!("{start}ETag: {tag}\r\n"), body, held, from, closes, says_close }
    }
}
