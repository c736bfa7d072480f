//! Provisioning over real TLS from a model host in this process, which misbehaves on demand.

mod child;
mod disk;
mod host;
mod kills;
mod segments;
mod shared;
mod synced;
mod unpacking_kills;
mod watching;

use std::sync::{Arc, Mutex};

use runtime_api::v1;
use runtime_core::Reason;
use tempfile::TempDir;

use self::host::{AUTHORITY, Conduct, Host, artifact_of, certificates, dialling, trusting};
use crate::fetch::Fetcher;
use crate::limits::SEGMENT;
use crate::progress::Progress;
use crate::provision::{Wanted, provision};
use crate::store::{Kind, Store};

/// Many of them make the file of these tests.
const SMALL_SEGMENT: u64 = 20_000;

struct World {
    dir: TempDir,
    store: Arc<Store>,
    fetcher: Fetcher,
    host: Host,
}

impl World {
    fn new() -> Self {
        Self::serving((0..300_000u32).map(|n| (n % 251) as u8).collect())
    }

    fn serving(bytes: Vec<u8>) -> Self {
        let dir = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .tempdir()
            .unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let host = Host::serving(bytes);
        Self { dir, store, fetcher: host.fetcher(), host }
    }

    /// The same, with files that are large enough to come in segments of this size.
    fn in_segments_of(segment: u64) -> Self {
        let world = Self::new();
        Self { fetcher: world.fetcher.clone().in_segments_of(segment), ..world }
    }

    fn artifact(&self) -> v1::Artifact {
        artifact_of(self.host.bytes(), Kind::Model)
    }

    fn with_a_mirror(&self) -> v1::Artifact {
        let mut artifact = self.artifact();
        artifact.urls.push("https://models.localhost/models/mirror".to_owned());
        artifact
    }

    async fn pull(&self) -> (Result<(), Reason>, Vec<u64>) {
        self.pull_as(&self.artifact()).await
    }

    /// How it ends, and the bytes in place that were shown.
    async fn pull_as(&self, artifact: &v1::Artifact) -> (Result<(), Reason>, Vec<u64>) {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let outcome = match Wanted::judge(artifact, &[AUTHORITY.to_owned()]) {
            Ok(wanted) => {
                let seen = Arc::clone(&shown);
                let progress = Progress::new(wanted.spec.size(), move |now| {
                    seen.lock().unwrap().push(now.received);
                });
                provision(&self.store, &self.fetcher, &wanted, &progress).await
            }
            Err(reason) => Err(reason),
        };
        let shown = shown.lock().unwrap().clone();
        (outcome, shown)
    }

    async fn is_refused(&self, conduct: Conduct, reason: Reason) {
        self.host.conducts(conduct.clone());
        assert_eq!(self.pull().await.0, Err(reason), "{conduct:?}");
        assert_eq!(self.store.list().unwrap(), [], "{conduct:?}");
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.dir.path()).unwrap().count()
    }
}

#[tokio::test]
async fn bytes_from_an_allowed_source_become_a_verified_file() {
    let world = World::new();
    let (outcome, progress) = world.pull().await;
    assert_eq!(outcome, Ok(()));
    let wanted = Wanted::judge(&world.artifact(), &[AUTHORITY.to_owned()]).unwrap();
    assert!(world.store.open_verified(wanted.spec, Kind::Model).is_ok());
    assert_eq!((progress[0], *progress.last().unwrap()), (0, 300_000));
    let head = &world.host.heads()[0];
    assert!(head.starts_with("get /models/m http/1.1\r\nhost: models.localhost\r\n"), "{head}");

    assert_eq!(world.pull().await.0, Ok(()));
    assert_eq!(world.host.heads().len(), 1, "a verified file was fetched again");
}

#[tokio::test]
async fn a_cut_download_says_so_and_the_next_one_resumes_it() {
    let world = World::new();
    world.is_refused(Conduct::CutAfter(200_000), Reason::DownloadTruncated).await;
    world.host.conducts(Conduct::Serve);
    let (outcome, progress) = world.pull().await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(progress[0], 200_000);
    assert!(world.host.heads()[1].contains("range: bytes=200000-\r\n"));
}

#[tokio::test]
async fn a_server_without_ranges_is_read_from_the_first_byte() {
    let world = World::new();
    world.is_refused(Conduct::CutAfter(200_000), Reason::DownloadTruncated).await;
    world.host.conducts(Conduct::WithoutRanges);
    assert_eq!(world.pull().await.0, Ok(()));
}

#[tokio::test]
async fn what_is_not_the_file_is_refused_with_its_reason_and_leaves_nothing() {
    let world = World::new();
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
    let heads = world.host.heads();
    assert_eq!(heads.iter().filter(|head| head.contains("/models/again")).count(), 5);
}

#[tokio::test]
async fn resumed_bytes_that_the_host_then_disowns_are_deleted() {
    let world = World::new();
    world.is_refused(Conduct::CutAfter(200_000), Reason::DownloadTruncated).await;
    world.is_refused(Conduct::Status("416 Range Not Satisfiable"), Reason::SizeMismatch).await;
    assert_eq!(world.files(), 0);
}

#[tokio::test]
async fn a_certificate_of_another_host_is_a_failed_connection() {
    let mut world = World::new();
    let (_, strangers_certificate) = certificates();
    world.fetcher = dialling(world.host.address, trusting(&strangers_certificate));
    world.is_refused(Conduct::Serve, Reason::ConnectionFailed).await;
    assert_eq!(world.host.heads(), Vec::<String>::new());
    assert_eq!(world.files(), 0);
}

#[tokio::test]
async fn the_next_source_is_tried_when_the_first_one_fails() {
    let world = World::new();
    world.host.conducts(Conduct::CutAfter(100_000));
    let mut artifact = world.artifact();
    artifact.urls.push("https://models.localhost/models/mirror".to_owned());
    let (outcome, _) = world.pull_as(&artifact).await;
    assert_eq!(outcome, Ok(()), "the second request resumes, and is not cut");
    assert!(world.host.heads()[1].contains("range: bytes=100000-"));
}

/// A mirror out of date, or one that lies, must not stand in the way of an honest one.
#[tokio::test]
async fn the_next_source_is_tried_when_the_first_one_sends_wrong_bytes() {
    for wrong in [Conduct::Flip(250_000), Conduct::Claims(299_999), Conduct::Endless] {
        let world = World::new();
        world.host.conducts_at("m", wrong.clone());
        let (outcome, _) = world.pull_as(&world.with_a_mirror()).await;
        assert_eq!(outcome, Ok(()), "{wrong:?}");
        assert_eq!(world.host.heads().len(), 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn wrong_bytes_from_every_source_are_refused_and_deleted() {
    let world = World::new();
    world.host.conducts(Conduct::Flip(7));
    let (outcome, _) = world.pull_as(&world.with_a_mirror()).await;
    assert_eq!(outcome, Err(Reason::DigestMismatch));
    assert_eq!((world.host.heads().len(), world.files()), (2, 0));
}

/// Which of the two was wrong nobody can tell: the source is asked once more, for all of it.
#[tokio::test]
async fn bytes_on_disk_that_spoil_a_right_rest_are_fetched_again() {
    for kept in [vec![9; 200_000], vec![9; 300_000]] {
        let world = World::new();
        let name = format!("{}.partial", world.artifact().sha256);
        std::fs::write(world.dir.path().join(name), kept).unwrap();
        assert_eq!(world.pull().await.0, Ok(()));
        let last = world.host.heads().pop().unwrap();
        assert!(!last.contains("range:"), "{last}");
    }
}

/// RFC 9110 section 13.1.5: the rest of a file is asked for only while it is the same file.
#[tokio::test]
async fn a_file_that_changed_on_the_server_is_fetched_from_its_first_byte() {
    let world = World::new();
    world.is_refused(Conduct::CutAfter(200_000), Reason::DownloadTruncated).await;
    world.host.conducts(Conduct::Serve);
    world.host.tags("\"second\"");
    let (outcome, progress) = world.pull().await;
    assert_eq!(outcome, Ok(()));
    let heads = world.host.heads();
    assert!(heads[1].contains("range: bytes=200000-\r\nif-range: \"first\"\r\n"), "{}", heads[1]);
    assert_eq!((heads.len(), progress[0]), (2, 0));
    assert_eq!(world.files(), 2, "the file and its record");
}

/// Its tag may be the same: what counts is the signed size.
#[tokio::test]
async fn a_file_whose_length_changed_on_the_server_is_refused_and_a_mirror_serves_it() {
    let world = World::new();
    world.is_refused(Conduct::CutAfter(200_000), Reason::DownloadTruncated).await;
    world.is_refused(Conduct::Resizes(300_001), Reason::SizeMismatch).await;
    assert!(world.host.heads()[1].contains("range: bytes=200000-\r\nif-range: \"first\"\r\n"));
    assert_eq!(world.files(), 0);

    world.is_refused(Conduct::CutAfter(200_000), Reason::DownloadTruncated).await;
    world.host.conducts(Conduct::Serve);
    world.host.conducts_at("m", Conduct::Resizes(299_999));
    let (outcome, progress) = world.pull_as(&world.with_a_mirror()).await;
    assert_eq!((outcome, progress[0]), (Ok(()), 200_000));
}

#[tokio::test]
async fn a_tag_of_one_source_is_not_shown_to_another_and_a_weak_one_to_none() {
    for tag in ["W/\"weak\"", "\"first\""] {
        let world = World::new();
        world.host.tags(tag);
        world.host.conducts_at("m", Conduct::CutAfter(100_000));
        assert_eq!(world.pull_as(&world.with_a_mirror()).await.0, Ok(()));
        let resumed = &world.host.heads()[1];
        assert!(resumed.contains("range: bytes=100000-") && !resumed.contains("if-range"));
    }
}

#[tokio::test]
async fn values_that_no_catalog_may_state_are_refused_before_a_connection() {
    let world = World::new();
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
    assert_eq!(world.host.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn two_pulls_of_one_artifact_share_one_download() {
    let world = World::new();
    let (first, second) = tokio::join!(world.pull(), world.pull());
    assert_eq!((first.0, second.0), (Ok(()), Ok(())));
    assert_eq!(world.host.heads().len(), 1);
}
