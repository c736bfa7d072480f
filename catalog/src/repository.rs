//! The TUF repository in its directory: `metadata/`, `targets/`, the sealed `keys/`, and the
//! `root.json` that an installation pins.

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use aws_lc_rs::rand::SystemRandom;
use tempfile::TempDir;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tough::editor::RepositoryEditor;
use tough::schema::{Hashes, Role, RoleKeys, RoleType, Root, Signature, Signed, Target, Timestamp};
use tough::sign::Sign;
use tough::{FilesystemTransport, RepositoryLoader};
use url::Url;

use crate::entry::{Draft, measure};
use crate::keys::Key;
use crate::refusal::Refusal;

/// The version of the specification that the files name.
const SPEC_VERSION: &str = "1.0.0";
/// Days until a root expires; `rotate` makes the next.
const ROOT_DAYS: i64 = 5 * 365;

/// A catalog on disk. The newest `N.root.json` says which keys are in force: `keys/N.*.pem`.
pub(crate) struct Repository {
    dir: PathBuf,
    root_version: u64,
}

/// The two keys of one root: one for the root itself, one for all that is published under it.
struct Pair {
    root: Key,
    signing: Key,
}

impl Pair {
    fn generate() -> Result<Self> {
        Ok(Self { root: Key::generate()?, signing: Key::generate()? })
    }
}

impl Repository {
    /// Makes keys and a root in an empty directory.
    pub(crate) async fn create(dir: &Path, passphrase: &str) -> Result<Self> {
        let repository = Self { dir: fs::canonicalize(dir)?, root_version: 1 };
        for name in ["metadata", "targets"] {
            fs::create_dir(repository.dir.join(name))?;
        }
        fs::DirBuilder::new().mode(0o700).create(repository.dir.join("keys"))?;
        let keys = Pair::generate()?;
        repository.seal(&keys, passphrase)?;
        let root = signed_root(1, &keys, &[]).await?;
        replace(&repository.root_file(1), &root)?;
        replace(&repository.dir.join("root.json"), &root)?;
        Ok(repository)
    }

    /// Opens one that was made before.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let none = || {
            let what = format!("{} is no catalog", dir.display());
            Refusal::new(
                "no_catalog",
                what,
                "Make one: companionctl catalog init DIR, or name it by --dir.",
            )
        };
        let dir = fs::canonicalize(dir).with_context(none)?;
        let mut root_version = 0;
        for entry in fs::read_dir(dir.join("metadata")).with_context(none)? {
            let name = entry?.file_name();
            let version = name.to_str().and_then(|name| name.strip_suffix(".root.json"));
            root_version = root_version.max(version.and_then(|it| it.parse().ok()).unwrap_or(0));
        }
        if root_version == 0 {
            bail!(none());
        }
        Ok(Self { dir, root_version })
    }

    /// Moves it as a whole to its place, where nothing is but an empty directory.
    pub(crate) fn move_to(self, dir: &Path) -> Result<Self> {
        fs::rename(&self.dir, dir).with_context(|| taken(dir))?;
        Ok(Self { dir: fs::canonicalize(dir)?, ..self })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lines that point a companion at it.
    pub(crate) fn configuration(&self) -> Result<String> {
        let url = Url::from_directory_path(&self.dir).map_err(|()| anyhow!("no absolute path"))?;
        let root = self.dir.join("root.json");
        let root = serde_json::to_string(root.to_str().context("the path is not UTF-8")?)?;
        Ok(format!(
            "[gateway]\nissuer = \"\"\ncatalog_url = \"{url}\"\ntrust_root = {root}\n\
             catalog_needs_session = false"
        ))
    }

    /// Signs the draft as the next version. The timestamp comes last: whoever reads meanwhile
    /// sees the version before.
    pub(crate) async fn publish(&self, draft: &Draft, passphrase: &str, days: i64) -> Result<u64> {
        let key = Key::unseal(&self.key_file(self.root_version, "signing"), passphrase)?;
        let version = self.published_version()? + 1;
        let number = NonZeroU64::new(version).context("version 0")?;
        let mut editor = RepositoryEditor::new(self.root_file(self.root_version)).await?;
        for (name, entry) in draft.entries() {
            let sha256 = hex::decode(&entry.sha256).context("the draft is damaged")?;
            let custom = entry.custom.clone().into_iter().collect();
            let hashes = Hashes { sha256: sha256.into(), _extra: HashMap::new() };
            let target = Target { length: entry.length, hashes, custom, _extra: HashMap::new() };
            editor.add_target(name.as_str(), target)?;
        }
        let expires = in_days(days)?;
        editor.targets_version(number)?.targets_expires(expires.parse()?)?;
        editor.snapshot_version(number).snapshot_expires(expires.parse()?);
        editor.timestamp_version(number).timestamp_expires(expires.parse()?);
        let work = tempfile::tempdir_in(&self.dir)?;
        editor.sign(&[key.source()]).await?.write(work.path()).await?;
        let metadata = self.dir.join("metadata");
        for name in [
            format!("{version}.targets.json"),
            format!("{version}.snapshot.json"),
            "timestamp.json".to_owned(),
        ] {
            replace(&metadata.join(&name), &fs::read(work.path().join(&name))?)?;
        }
        Ok(version)
    }

    /// The next root with new keys, signed by the old root key too. The new root is what puts
    /// the new keys in force, so it is written after them.
    pub(crate) async fn rotate(&self, passphrase: &str) -> Result<u64> {
        let old = Key::unseal(&self.key_file(self.root_version, "root"), passphrase)?;
        let next = Self { dir: self.dir.clone(), root_version: self.root_version + 1 };
        for role in ["root", "signing"] {
            // Of a rotation that did not get to its root.
            let _ = fs::remove_file(next.key_file(next.root_version, role));
        }
        let keys = Pair::generate()?;
        next.seal(&keys, passphrase)?;
        let root = signed_root(next.root_version, &keys, &[&old]).await?;
        replace(&next.root_file(next.root_version), &root)?;
        for role in ["root", "signing"] {
            fs::remove_file(self.key_file(self.root_version, role))?;
        }
        Ok(next.root_version)
    }

    /// Loads it as a client does that pins `root.json`, and hashes every file. Gives their number
    /// and when the catalog expires.
    pub(crate) async fn verify(&self) -> Result<(usize, String)> {
        let below =
            |name| Url::from_directory_path(self.dir.join(name)).map_err(|()| anyhow!("no path"));
        let root = fs::read(self.dir.join("root.json")).context("root.json cannot be read")?;
        let repository = RepositoryLoader::new(&root, below("metadata")?, below("targets")?)
            .transport(FilesystemTransport)
            .load()
            .await
            .context(Refusal::new(
                "manifest_untrusted",
                "The catalog does not verify",
                "If it was never published, has expired, or its keys were replaced: companionctl \
                 catalog publish.",
            ))?;
        let targets = &repository.targets().signed.targets;
        for (name, target) in targets {
            let sha256 = hex::encode(&*target.hashes.sha256);
            let file = self.dir.join("targets").join(format!("{sha256}.{}", name.raw()));
            let differs = |reason, how: &str| {
                let what = format!("The file of {} {how}", name.raw());
                Refusal::new(reason, what, "Add it again: companionctl catalog add FILE.")
            };
            let missing = || differs("source_unavailable", "cannot be read");
            if measure(&file).with_context(missing)? != (target.length, sha256) {
                bail!(differs("digest_mismatch", "is not the one that was signed"));
            }
        }
        Ok((targets.len(), repository.timestamp().signed.expires.to_string()))
    }

    fn published_version(&self) -> Result<u64> {
        match fs::read(self.dir.join("metadata/timestamp.json")) {
            Ok(bytes) => {
                let timestamp: Signed<Timestamp> = serde_json::from_slice(&bytes)?;
                Ok(timestamp.signed.version.get())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn seal(&self, keys: &Pair, passphrase: &str) -> Result<()> {
        keys.root.seal(&self.key_file(self.root_version, "root"), passphrase)?;
        keys.signing.seal(&self.key_file(self.root_version, "signing"), passphrase)
    }

    fn key_file(&self, version: u64, role: &str) -> PathBuf {
        self.dir.join("keys").join(format!("{version}.{role}.pem"))
    }

    fn root_file(&self, version: u64) -> PathBuf {
        self.dir.join("metadata").join(format!("{version}.root.json"))
    }
}

async fn signed_root(version: u64, keys: &Pair, others: &[&Key]) -> Result<Vec<u8>> {
    let (root_key, signing_key) = (keys.root.sign()?.tuf_key(), keys.signing.sign()?.tuf_key());
    let role =
        |id| RoleKeys { keyids: vec![id], threshold: NonZeroU64::MIN, _extra: HashMap::new() };
    let mut roles = HashMap::from([(RoleType::Root, role(root_key.key_id()?))]);
    for name in [RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp] {
        roles.insert(name, role(signing_key.key_id()?));
    }
    let root = Root {
        spec_version: SPEC_VERSION.to_owned(),
        consistent_snapshot: true,
        version: NonZeroU64::new(version).context("version 0")?,
        expires: in_days(ROOT_DAYS)?.parse()?,
        keys: HashMap::from([(root_key.key_id()?, root_key), (signing_key.key_id()?, signing_key)]),
        roles,
        _extra: HashMap::new(),
    };
    let message = root.canonical_form()?;
    let mut signatures = Vec::new();
    for key in std::iter::once(&keys.root).chain(others.iter().copied()) {
        let signer = key.sign()?;
        let sig =
            signer.sign(&message, &SystemRandom::new()).await.map_err(|error| anyhow!(error))?;
        signatures.push(Signature { keyid: signer.tuf_key().key_id()?, sig: sig.into() });
    }
    Ok(serde_json::to_vec_pretty(&Signed { signed: root, signatures })?)
}

/// An RFC 3339 time in whole seconds, which is what TUF metadata holds.
fn in_days(days: i64) -> Result<String> {
    let at = OffsetDateTime::now_utc() + time::Duration::days(days);
    Ok(at.replace_nanosecond(0)?.format(&Rfc3339)?)
}

/// An empty directory on the disk where `dir` is to be: it goes away unless it is moved there.
pub(crate) fn beside(dir: &Path) -> Result<TempDir> {
    let occupied = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != ErrorKind::NotFound,
    };
    if occupied {
        bail!(taken(dir));
    }
    let parent = dir.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = fs::create_dir_all(parent);
    made.and_then(|()| tempfile::Builder::new().prefix(".catalog-").tempdir_in(parent))
        .with_context(|| {
            let what = format!("Nothing can be made in {}", parent.display());
            Refusal::new("directory_not_made", what, "Check its owner, mode and disk.")
        })
}

fn taken(dir: &Path) -> Refusal {
    let what = format!("{} is there already", dir.display());
    Refusal::new("catalog_exists", what, "Add to it: companionctl catalog add; or name another.")
}

/// Replaces a file as a whole or not at all.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().context("no directory")?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(fs::File::open(dir)?.sync_all()?)
}
