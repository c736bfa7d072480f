//! What is kept of the catalog on disk: the trusted metadata that guards against rollback, and
//! the record of its versions.
//!
//! tough writes into a directory of its own while it works, not atomically, and takes what it
//! finds damaged for absent. It is therefore given a copy made for one update, of what was found
//! sound; and only what it has verified comes back, file by file, by atomic rename.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use authority_core::Reason;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tough::schema::{Snapshot, Targets, Timestamp};

use super::offline::OfflineCopy;
use super::trust::{Versions, is_sound, newest_root, sound_root};
use crate::limits::OFFLINE_COPY_BYTES;
use crate::serve::read_bounded;

const ROOT: &str = "root.json";
const CLOCK: &str = "latest_known_time.json";
const METADATA: [&str; 3] = ["timestamp.json", "snapshot.json", "targets.json"];
const VERSIONS: &str = "versions.json";
const OFFLINE: &str = "offline.json";

/// The directory of one pinned root: another root is another catalog.
#[derive(Debug, Clone)]
pub(super) struct Datastore {
    dir: PathBuf,
    pinned_root: Vec<u8>,
}

/// What one update begins with.
pub(super) struct Begun {
    /// The newest trusted root.
    pub(super) root: Vec<u8>,
    /// tough's own directory for this update.
    pub(super) work: tempfile::TempDir,
    /// What may not be undercut.
    pub(super) floor: Option<Versions>,
}

impl Datastore {
    pub(super) fn new(state_dir: &Path, pinned_root: Vec<u8>) -> Self {
        let name = hex::encode(&Sha256::digest(&pinned_root)[..16]);
        Self { dir: state_dir.join("tuf").join(name), pinned_root }
    }

    /// Copies what is sound into a fresh directory.
    pub(super) fn begin(&self) -> Result<Begun, Reason> {
        private_dir(&self.dir).map_err(fault)?;
        let floor = self.versions();
        let stored_root = self.read(ROOT);
        let root = newest_root(&self.pinned_root, stored_root.as_deref(), floor.as_ref())?;
        let work = tempfile::Builder::new().prefix("work-").tempdir_in(&self.dir).map_err(fault)?;
        for (name, sound) in [
            (METADATA[0], is_sound::<Timestamp> as fn(&[u8]) -> bool),
            (METADATA[1], is_sound::<Snapshot>),
            (METADATA[2], is_sound::<Targets>),
            (CLOCK, |bytes| serde_json::from_slice::<String>(bytes).is_ok()),
        ] {
            match self.read(name) {
                Some(bytes) if sound(&bytes) => {
                    fs::write(work.path().join(name), bytes).map_err(fault)?;
                }
                Some(_) => {
                    tracing::warn!("stored metadata of the catalog is damaged: rebuilding it");
                }
                None => {}
            }
        }
        Ok(Begun { root, work, floor })
    }

    /// Takes over what a successful update verified.
    pub(super) fn commit(&self, work: &Path, versions: &Versions) -> Result<(), Reason> {
        for name in [ROOT, METADATA[0], METADATA[1], METADATA[2], CLOCK] {
            match fs::read(work.join(name)) {
                Ok(bytes) => self.write(name, &bytes).map_err(fault)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.remove(name).map_err(fault)?;
                }
                Err(error) => return Err(fault(error)),
            }
        }
        self.write_versions(versions)
    }

    /// Takes over a rotated root from an update that failed after it was verified: the
    /// specification trusts it from that moment.
    pub(super) fn commit_root(&self, begun: &Begun) -> Result<(), Reason> {
        let Ok(bytes) = fs::read(begun.work.path().join(ROOT)) else { return Ok(()) };
        let (Some(new), Some(old)) = (sound_root(&bytes), sound_root(&begun.root)) else {
            return Ok(());
        };
        if new.signed.version <= old.signed.version {
            return Ok(());
        }
        self.write(ROOT, &bytes).map_err(fault)?;
        match begun.floor.clone() {
            Some(floor) => self.write_versions(&floor.with_root(&new.signed)),
            None => Ok(()),
        }
    }

    /// Keeps the files as they came, for working offline.
    pub(super) fn keep_copy(&self, copy: &OfflineCopy) -> Result<(), Reason> {
        let bytes = serde_json::to_vec(copy).map_err(|_| Reason::Internal)?;
        self.write(OFFLINE, &bytes).map_err(fault)
    }

    /// The files as they came at the last successful update.
    pub(super) fn copy(&self) -> Option<OfflineCopy> {
        serde_json::from_slice(&read_bounded(&self.dir.join(OFFLINE), OFFLINE_COPY_BYTES)?).ok()
    }

    /// The record of versions; a damaged one is said and rebuilt by the next update.
    fn versions(&self) -> Option<Versions> {
        let bytes = self.read(VERSIONS)?;
        let versions = serde_json::from_slice(&bytes).ok();
        if versions.is_none() {
            tracing::warn!("the record of the catalog's versions is damaged: rebuilding it");
        }
        versions
    }

    fn write_versions(&self, versions: &Versions) -> Result<(), Reason> {
        let bytes = serde_json::to_vec(versions).map_err(|_| Reason::Internal)?;
        self.write(VERSIONS, &bytes).map_err(fault)
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.dir.join(name)).ok()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if self.read(name).as_deref() == Some(bytes) {
            return Ok(());
        }
        replace_file(&self.dir, name, bytes)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Replaces a file of mode 0600 so that it is either the old one or the new one, whole.
pub(crate) fn replace_file(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(dir.join(name)).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

/// Makes a directory of mode 0700, and empties it of what a killed update left behind.
fn private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("work-") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn fault(error: io::Error) -> Reason {
    tracing::error!(io.kind = %error.kind(), "the catalog's directory cannot be used");
    Reason::Internal
}
