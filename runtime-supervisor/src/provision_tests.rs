//! Provisioning over real TLS from a model host in this process, which misbehaves on demand.

use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use runtime_api::v1;
use runtime_core::Reason;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tonic::Status;

use crate::fetch::{Dial, Fetcher};
use crate::progress::Progress;
use crate::provision::{Wanted, provision};
use crate::store::{Kind, Store};

const HOST: &str = "models.localhost:443";

/// What the model host does with the next requests.
#[derive(Debug, Clone)]
enum Conduct {
    Serve,
    WithoutRanges,
    CutAfter(usize),
    Endless,
    Claims(usize),
    Flip(usize),
    Redirect(String),
    Status(&'static str),
    Compressed,
}

struct World {
    _dir: TempDir,
    store: Arc<Store>,
    fetcher: Fetcher,
    bytes: Vec<u8>,
    conduct: Arc<Mutex<Conduct>>,
    /// Request heads that the host saw.
    seen: Arc<Mutex<Vec<String>>>,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .tempdir()
            .unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let conduct = Arc::new(Mutex::new(Conduct::Serve));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (server, client) = certificates();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(8).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let (bytes_there, conduct_there, seen_there) =
            (bytes.clone(), Arc::clone(&conduct), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let conduct = conduct_there.lock().unwrap().clone();
                let _ = serve(&acceptor, stream, &bytes_there, conduct, &seen_there).await;
            }
        });
        let dial: Dial = Arc::new(move |_, _| {
            Box::pin(async move {
                TcpStream::connect(address).await.map_err(|_| Reason::ConnectionFailed)
            })
        });
        let fetcher = Fetcher::new(dial, client);
        Self { _dir: dir, store, fetcher, bytes, conduct, seen }
    }

    fn artifact(&self) -> v1::Artifact {
        v1::Artifact {
            id: "m".to_owned(),
            kind: v1::ArtifactKind::Model.into(),
            urls: vec!["https://models.localhost/models/m".to_owned()],
            sha256: hex::encode(Sha256::digest(&self.bytes)),
            size_bytes: self.bytes.len() as u64,
            allowed_sources: vec!["https://models.localhost/models/".to_owned()],
        }
    }

    fn conducts(&self, conduct: Conduct) {
        *self.conduct.lock().unwrap() = conduct;
    }

    async fn pull(&self) -> (Result<(), Reason>, Vec<v1::Progress>) {
        self.pull_as(&self.artifact()).await
    }

    async fn pull_as(&self, artifact: &v1::Artifact) -> (Result<(), Reason>, Vec<v1::Progress>) {
        let (events, mut received) = mpsc::channel::<Result<v1::ProvisionEvent, Status>>(64);
        let outcome = match Wanted::judge(artifact, &[HOST.to_owned()]) {
            Ok(wanted) => {
                let mut progress = Progress::new(events, wanted.spec.size());
                provision(&self.store, &self.fetcher, &wanted, &mut progress).await
            }
            Err(reason) => Err(reason),
        };
        let mut progress = Vec::new();
        while let Ok(event) = received.try_recv() {
            let Some(v1::provision_event::Event::Progress(shown)) = event.unwrap().event else {
                panic!("only progress comes from here");
            };
            progress.push(shown);
        }
        (outcome, progress)
    }

    async fn is_refused(&self, conduct: Conduct, reason: Reason) {
        self.conducts(conduct.clone());
        assert_eq!(self.pull().await.0, Err(reason), "{conduct:?}");
        assert_eq!(self.store.list().unwrap(), [], "{conduct:?}");
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self._dir.path()).unwrap().count()
    }

    fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn certificates() -> (ServerConfig, ClientConfig) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["models.localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}

async fn serve(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    bytes: &[u8],
    conduct: Conduct,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let from = head.split("range: bytes=").nth(1).and_then(|r| r.split('-').next()?.parse().ok());
    seen.lock().unwrap().push(head);
    let (from, total) = (from.unwrap_or(0), bytes.len());
    let full = format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n");
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
    stream.write_all(b"Connection: close\r\n\r\n").await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}

#[tokio::test]
async fn bytes_from_an_allowed_source_become_a_verified_file() {
    let world = World::new().await;
    let (outcome, progress) = world.pull().await;
    assert_eq!(outcome, Ok(()));
    let wanted = Wanted::judge(&world.artifact(), &[HOST.to_owned()]).unwrap();
    assert!(world.store.open_verified(wanted.spec, Kind::Model).is_ok());
    assert_eq!((progress[0].received_bytes, progress[0].total_bytes), (0, 300_000));
    assert_eq!(progress.last().unwrap().received_bytes, 300_000);
    let head = &world.heads()[0];
    assert!(head.starts_with("get /models/m http/1.1\r\nhost: models.localhost\r\n"), "{head}");

    assert_eq!(world.pull().await.0, Ok(()));
    assert_eq!(world.heads().len(), 1, "a verified file was fetched again");
}

#[tokio::test]
async fn a_cut_download_says_so_and_the_next_one_resumes_it() {
    let world = World::new().await;
    world.is_refused(Conduct::CutAfter(200_000), Reason::DownloadTruncated).await;
    world.conducts(Conduct::Serve);
    let (outcome, progress) = world.pull().await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(progress[0].received_bytes, 200_000);
    assert!(world.heads()[1].contains("range: bytes=200000-\r\n"));
}

#[tokio::test]
async fn a_server_without_ranges_is_read_from_the_first_byte() {
    let world = World::new().await;
    world.is_refused(Conduct::CutAfter(200_000), Reason::DownloadTruncated).await;
    world.conducts(Conduct::WithoutRanges);
    assert_eq!(world.pull().await.0, Ok(()));
}

#[tokio::test]
async fn what_is_not_the_file_is_refused_with_its_reason_and_leaves_nothing() {
    let world = World::new().await;
    for (conduct, reason) in [
        (Conduct::Flip(0), Reason::DigestMismatch),
        (Conduct::Flip(299_999), Reason::DigestMismatch),
        (Conduct::Endless, Reason::SizeMismatch),
        (Conduct::Claims(299_999), Reason::SizeMismatch),
        (Conduct::Claims(300_001), Reason::SizeMismatch),
        (Conduct::Status("404 Not Found"), Reason::ServerRefused),
        (Conduct::Status("206 Partial Content"), Reason::ServerRefused),
        (Conduct::Compressed, Reason::ServerRefused),
        (Conduct::Redirect("/elsewhere".to_owned()), Reason::SourceNotAllowed),
        (Conduct::Redirect("https://evil.test/m".to_owned()), Reason::SourceNotAllowed),
        (
            Conduct::Redirect("http://models.localhost/models/m".to_owned()),
            Reason::SchemeNotAllowed,
        ),
        (Conduct::Redirect("/models/again".to_owned()), Reason::TooManyRedirects),
    ] {
        world.is_refused(conduct, reason).await;
        assert_eq!(world.files(), 0);
    }
    let heads = world.heads();
    assert_eq!(heads.iter().filter(|head| head.contains("/models/again")).count(), 5);
}

#[tokio::test]
async fn resumed_bytes_that_the_host_then_disowns_are_deleted() {
    let world = World::new().await;
    world.is_refused(Conduct::CutAfter(200_000), Reason::DownloadTruncated).await;
    world.is_refused(Conduct::Status("416 Range Not Satisfiable"), Reason::SizeMismatch).await;
    assert_eq!(world.files(), 0);
}

#[tokio::test]
async fn a_certificate_of_another_host_is_a_failed_connection() {
    let mut world = World::new().await;
    let (_, strangers_roots) = certificates();
    let address_of = world.fetcher.clone();
    world.fetcher = address_of.with_tls(strangers_roots);
    world.is_refused(Conduct::Serve, Reason::ConnectionFailed).await;
    assert_eq!(world.heads(), Vec::<String>::new());
    assert_eq!(world.files(), 0);
}

#[tokio::test]
async fn the_next_source_is_tried_when_the_first_one_fails() {
    let world = World::new().await;
    world.conducts(Conduct::CutAfter(100_000));
    let mut artifact = world.artifact();
    artifact.urls.push("https://models.localhost/models/mirror".to_owned());
    let (outcome, _) = world.pull_as(&artifact).await;
    assert_eq!(outcome, Ok(()), "the second request resumes, and is not cut");
    assert!(world.heads()[1].contains("range: bytes=100000-"));
}

#[tokio::test]
async fn values_that_no_catalog_may_state_are_refused_before_a_connection() {
    let world = World::new().await;
    let good = world.artifact();
    let urls = |url: &str| vec![url.to_owned()];
    for (artifact, reason) in [
        (v1::Artifact { id: "../m".to_owned(), ..good.clone() }, Reason::MalformedSpec),
        (v1::Artifact { kind: 0, ..good.clone() }, Reason::MalformedSpec),
        (v1::Artifact { kind: 9, ..good.clone() }, Reason::MalformedSpec),
        (v1::Artifact { sha256: "AB".repeat(32), ..good.clone() }, Reason::MalformedSpec),
        (v1::Artifact { size_bytes: 0, ..good.clone() }, Reason::MalformedSpec),
        (v1::Artifact { urls: Vec::new(), ..good.clone() }, Reason::SourceNotAllowed),
        (v1::Artifact { allowed_sources: Vec::new(), ..good.clone() }, Reason::SourceNotAllowed),
        (
            v1::Artifact { urls: urls("https://models.localhost/other/m"), ..good.clone() },
            Reason::SourceNotAllowed,
        ),
        (
            v1::Artifact { urls: urls("http://models.localhost/models/m"), ..good.clone() },
            Reason::SchemeNotAllowed,
        ),
        (
            v1::Artifact { allowed_sources: urls("https://evil.test/"), ..good.clone() },
            Reason::SourceNotAllowed,
        ),
    ] {
        assert_eq!(world.pull_as(&artifact).await.0, Err(reason));
    }
    assert_eq!(world.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn more_than_the_disk_holds_is_refused_before_the_first_byte() {
    let world = World::new().await;
    let artifact = v1::Artifact { size_bytes: u64::MAX / 2, ..world.artifact() };
    assert_eq!(world.pull_as(&artifact).await.0, Err(Reason::DiskFull));
    assert_eq!(world.heads(), Vec::<String>::new());
    assert_eq!(world.files(), 0);
}

#[tokio::test]
async fn two_pulls_of_one_artifact_share_one_download() {
    let world = World::new().await;
    let (first, second) = tokio::join!(world.pull(), world.pull());
    assert_eq!((first.0, second.0), (Ok(()), Ok(())));
    assert_eq!(world.heads().len(), 1);
}
