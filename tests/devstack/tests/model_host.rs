//! The model host serves files and ranges, and misbehaves as told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use devstack::browser::{self, Page};
use devstack::catalog::{Artifact, ArtifactKind};
use devstack::model_host::{Fault, ModelHost};
use devstack::stack::{Stack, StackOptions};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION};
use http::{Method, StatusCode};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;

/// More than one piece of a body, and no multiple of one.
const LENGTH: usize = 700_001;

/// Longest anything here may take before the test fails.
const LIMIT: Duration = Duration::from_secs(60);

struct World {
    stack: Stack,
    tls: Arc<ClientConfig>,
    content: Vec<u8>,
    _dir: TempDir,
}

impl World {
    async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let content: Vec<u8> = (0..LENGTH).map(|i| u8::try_from(i % 251).unwrap_or(0)).collect();
        let file = dir.path().join("content");
        std::fs::write(&file, &content)?;
        let mut options = StackOptions::new(dir.path());
        options.more = vec![artifact("file.bin", file.clone()), artifact("other.bin", file)];
        let stack = Stack::start(options).await?;
        let tls = stack.client_config()?;
        Ok(Self { stack, tls, content, _dir: dir })
    }

    fn host(&self) -> &ModelHost {
        &self.stack.model_host
    }

    fn fault(&self, fault: Fault) {
        self.host().switch(|switches| switches.fault = fault);
    }

    async fn get(&self, headers: &[(&str, &str)]) -> Result<Page> {
        self.get_from(&self.host().url("file.bin"), headers).await
    }

    async fn get_from(&self, url: &str, headers: &[(&str, &str)]) -> Result<Page> {
        let url = Url::parse(url)?;
        browser::request(Method::GET, &url, &self.tls, headers, Bytes::new()).await
    }

    /// Sends a request by hand and reads the response head.
    async fn open(&self) -> Result<(TlsStream<TcpStream>, String)> {
        let stream = TcpStream::connect(self.host().address()).await?;
        let name = ServerName::try_from("models.localhost")?;
        let mut stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        let host = self.host().authority();
        stream
            .write_all(format!("GET /files/file.bin HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
            .await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        Ok((stream, String::from_utf8(head)?))
    }
}

fn artifact(target: &str, file: PathBuf) -> Artifact {
    Artifact {
        id: target.to_owned(),
        file,
        target: target.to_owned(),
        urls: Vec::new(),
        license: "MIT".to_owned(),
        kind: ArtifactKind::Model {
            context_length: 1,
            architecture: "none".to_owned(),
            quantization: "none".to_owned(),
        },
    }
}

async fn in_time<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LIMIT, future).await.context("too late")?
}

#[tokio::test]
async fn the_whole_file_and_any_part_of_it_are_served() -> Result<()> {
    let world = World::start().await?;
    let whole = world.get(&[]).await?;
    assert_eq!(whole.status, StatusCode::OK);
    assert_eq!(whole.body, world.content);
    let etag = whole.headers[ETAG].to_str()?;

    let part = world.get(&[("range", "bytes=300000-"), ("if-range", etag)]).await?;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.body, world.content[300_000..]);
    assert_eq!(part.headers[CONTENT_RANGE], format!("bytes 300000-{}/{LENGTH}", LENGTH - 1));
    let part = world.get(&[("range", "bytes=1-2")]).await?;
    assert_eq!(part.body, world.content[1..3]);

    let changed = world.get(&[("range", "bytes=1-2"), ("if-range", "\"another\"")]).await?;
    assert_eq!((changed.status, changed.body.len()), (StatusCode::OK, LENGTH));
    let beyond = world.get(&[("range", "bytes=700001-")]).await?;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.headers[CONTENT_RANGE], format!("bytes */{LENGTH}"));
    let missing = world.get_from(&world.host().url("nothing"), &[]).await?;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);

    let counts = world.host().counts();
    assert_eq!(counts.requests, 6);
    assert_eq!(counts.range_starts, [300_000, 1, 1]);
    assert_eq!(counts.requests_with_credentials, 0);
    Ok(())
}

#[tokio::test]
async fn a_flipped_byte_is_one_bit_at_its_place_whatever_part_is_asked_for() -> Result<()> {
    let world = World::start().await?;
    for offset in [0, 262_144, 700_000] {
        world.fault(Fault::FlipByte { offset: offset as u64 });
        let mut expected = world.content.clone();
        expected[offset] ^= 1;
        assert_eq!(world.get(&[]).await?.body, expected);
        let range = format!("bytes={offset}-");
        assert_eq!(world.get(&[("range", &range)]).await?.body, expected[offset..]);
    }
    world.host().switch(|switches| switches.only = Some("other.bin".to_owned()));
    assert_eq!(world.get(&[]).await?.body, world.content);
    Ok(())
}

#[tokio::test]
async fn a_cut_body_ends_the_connection_before_its_announced_length() -> Result<()> {
    let world = World::start().await?;
    world.fault(Fault::CutAfter { bytes: 300_000 });
    let (mut stream, head) = world.open().await?;
    assert!(head.contains(&format!("content-length: {LENGTH}")), "{head}");
    let mut body = Vec::new();
    // A cut is no clean end of TLS.
    let _ = in_time(async { Ok(stream.read_to_end(&mut body).await?) }).await;
    assert!(body.len() <= 300_000, "{}", body.len());
    assert_eq!(body, world.content[..body.len()]);
    assert!(world.get(&[]).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_stalled_body_sends_no_more_and_its_end_is_seen() -> Result<()> {
    let world = World::start().await?;
    world.fault(Fault::StallAfter { bytes: 100_000 });
    let (mut stream, _) = world.open().await?;
    let mut body = vec![0; 100_000];
    in_time(async { Ok(stream.read_exact(&mut body).await?) }).await?;
    assert_eq!(body, world.content[..100_000]);
    let counts = world.host().counts();
    assert_eq!((counts.bytes_sent, counts.open_bodies), (100_000, 1));
    drop(stream);
    in_time(world.host().until(|counts| counts.open_bodies == 0)).await?;
    Ok(())
}

#[tokio::test]
async fn an_endless_body_has_no_length_and_goes_past_the_file() -> Result<()> {
    let world = World::start().await?;
    world.fault(Fault::Endless);
    let (mut stream, head) = world.open().await?;
    assert!(!head.contains("content-length"), "{head}");
    let mut chunk = vec![0; 64 * 1024];
    let mut received = 0;
    while received < 3 * LENGTH {
        received += in_time(async { Ok(stream.read(&mut chunk).await?) }).await?;
    }
    drop(stream);
    in_time(world.host().until(|counts| counts.open_bodies == 0)).await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_length_is_claimed_both_ways() -> Result<()> {
    let world = World::start().await?;
    world.fault(Fault::ContentLength { bytes: 1000 });
    let short = world.get(&[]).await?;
    assert_eq!(short.headers[CONTENT_LENGTH], "1000");
    assert_eq!(short.body, world.content[..1000]);
    world.fault(Fault::ContentLength { bytes: LENGTH as u64 + 1 });
    assert!(world.get(&[]).await.is_err());
    Ok(())
}

#[tokio::test]
async fn redirects_lead_where_they_are_told_and_chains_end() -> Result<()> {
    let world = World::start().await?;
    world.fault(Fault::Redirect { to: "https://elsewhere.localhost:1/x".to_owned() });
    let page = world.get(&[]).await?;
    assert_eq!(page.status, StatusCode::FOUND);
    assert_eq!(page.headers[LOCATION], "https://elsewhere.localhost:1/x");
    world.fault(Fault::RedirectChain { hops: 3 });
    let before = world.host().counts().requests;
    let page = browser::navigate(&world.host().url("file.bin"), &world.tls).await?;
    assert_eq!(page.body, world.content);
    assert_eq!(world.host().counts().requests - before, 4);
    Ok(())
}

#[tokio::test]
async fn ranges_can_be_ignored_or_answered_wrongly_and_any_status_given() -> Result<()> {
    let world = World::start().await?;
    world.fault(Fault::IgnoreRange);
    let page = world.get(&[("range", "bytes=10-19")]).await?;
    assert_eq!((page.status, page.body.len()), (StatusCode::OK, LENGTH));
    world.fault(Fault::WrongRange);
    let page = world.get(&[("range", "bytes=10-19")]).await?;
    assert_eq!(page.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(page.headers[CONTENT_RANGE], format!("bytes 10-19/{LENGTH}"));
    assert_eq!(page.body, world.content[..10]);
    world.fault(Fault::Status(503));
    assert_eq!(world.get(&[]).await?.status, StatusCode::SERVICE_UNAVAILABLE);
    world.host().behave();
    assert_eq!(world.get(&[]).await?.body, world.content);
    Ok(())
}

#[tokio::test]
async fn a_paced_body_is_whole_and_credentials_are_noticed() -> Result<()> {
    let world = World::start().await?;
    world.host().switch(|switches| switches.pace = Some(20_000_000));
    assert_eq!(world.get(&[("authorization", "Bearer x")]).await?.body, world.content);
    assert_eq!(world.host().counts().requests_with_credentials, 1);
    Ok(())
}
