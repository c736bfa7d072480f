//! Importing from a catalog of this disk: the same checks as for a download, and no URL.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use runtime_api::v1;
use runtime_core::Reason;
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::fetch::{Dial, Fetcher, OpenFile};
use crate::limits::IMPORT_STEP;
use crate::progress::Progress;
use crate::provision::{Wanted, provision};
use crate::store::Store;

struct World {
    dir: TempDir,
    store: Arc<Store>,
    fetcher: Fetcher,
    bytes: Vec<u8>,
}

impl World {
    /// A store, and a file of two steps and a bit, as the launcher would open it.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("store");
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, Permissions::from_mode(0o700)).unwrap();
        let bytes: Vec<u8> = (0..2 * IMPORT_STEP + 12_345).map(|n| (n % 251) as u8).collect();
        fs::write(dir.path().join("m.gguf"), &bytes).unwrap();
        let dial: Dial = Arc::new(|_, _| panic!("an import dials nobody"));
        let files = dir.path().to_owned();
        let open_file: OpenFile = Arc::new(move |name| {
            let opened = File::open(files.join(name)).map_err(|_| Reason::SourceUnavailable);
            Box::pin(std::future::ready(opened))
        });
        let tls = ClientConfig::builder()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let fetcher = Fetcher::new(dial, tls).importing(open_file);
        Self { store: Arc::new(Store::open(&place).unwrap()), dir, fetcher, bytes }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("m.gguf")
    }

    fn artifact(&self) -> v1::Artifact {
        v1::Artifact {
            id: "m".to_owned(),
            kind: v1::ArtifactKind::Model.into(),
            sha256: hex::encode(Sha256::digest(&self.bytes)),
            size_bytes: self.bytes.len() as u64,
            import: "m.gguf".to_owned(),
            ..v1::Artifact::default()
        }
    }

    async fn import(&self) -> Result<(), Reason> {
        let wanted = Wanted::judge(&self.artifact(), &[])?;
        let progress = Progress::new(wanted.spec.size(), |_| ());
        provision(&self.store, &self.fetcher, &wanted, &progress).await
    }

    fn stored(&self) -> Vec<String> {
        self.store.list().unwrap().iter().map(runtime_core::Digest::file_name).collect()
    }

    fn partials(&self) -> usize {
        let entries = fs::read_dir(self.dir.path().join("store")).unwrap().flatten();
        entries.filter(|it| it.file_name().to_string_lossy().ends_with(".partial")).count()
    }
}

#[tokio::test]
async fn the_signed_bytes_are_taken_into_the_store() {
    let world = World::new();
    world.import().await.unwrap();
    assert_eq!(world.stored(), [world.artifact().sha256]);
    // What is there is not read again from where it came.
    fs::remove_file(world.file()).unwrap();
    world.import().await.unwrap();
}

#[tokio::test]
async fn other_bytes_another_size_or_no_file_are_refused_and_leave_nothing() {
    let world = World::new();
    let mut flipped = world.bytes.clone();
    flipped[20_000_000] ^= 1;
    let longer = [&world.bytes[..], b"x"].concat();
    let shorter = world.bytes[1..].to_vec();
    for (bytes, reason) in [
        (flipped, Reason::DigestMismatch),
        (longer, Reason::SizeMismatch),
        (shorter, Reason::SizeMismatch),
    ] {
        fs::write(world.file(), bytes).unwrap();
        assert_eq!(world.import().await, Err(reason));
        assert_eq!((world.stored().len(), world.partials()), (0, 0), "{reason}");
    }
    fs::remove_file(world.file()).unwrap();
    assert_eq!(world.import().await, Err(Reason::SourceUnavailable));
    assert_eq!((world.stored().len(), world.partials()), (0, 0));
}

#[tokio::test]
async fn an_import_that_was_cut_short_goes_on_where_it_stopped() {
    let world = World::new();
    let partial = format!("store/{}.partial", world.artifact().sha256);
    let partial = world.dir.path().join(partial);
    fs::write(&partial, &world.bytes[..1_000_000]).unwrap();
    fs::set_permissions(&partial, Permissions::from_mode(0o600)).unwrap();
    world.import().await.unwrap();
    assert_eq!(world.stored(), [world.artifact().sha256]);
}

#[test]
fn an_artifact_lies_on_the_web_or_on_this_disk_and_not_on_both() {
    let world = World::new();
    let urls = vec!["https://models.localhost/m".to_owned()];
    let both = v1::Artifact { urls: urls.clone(), ..world.artifact() };
    assert_eq!(Wanted::judge(&both, &[]).err(), Some(Reason::MalformedSpec));
    let neither = v1::Artifact { import: String::new(), ..world.artifact() };
    assert_eq!(Wanted::judge(&neither, &[]).err(), Some(Reason::SourceNotAllowed));
}
