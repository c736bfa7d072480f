//! A signed catalog: a TUF repository of metadata only, whose targets are models and runtimes.

use std::collections::HashMap;
use std::io::Read;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tough::editor::RepositoryEditor;
use tough::key_source::KeySource;
use tough::schema::{Hashes, Role, RoleKeys, RoleType, Root, Signature, Signed, Target};
use tough::sign::{Sign, parse_keypair};

/// The version of the specification that the files name.
const SPEC_VERSION: &str = "1.0.0";

/// Days until honest metadata expires.
const LIFETIME_DAYS: i64 = 7;

/// Bytes read at a time while hashing.
const CHUNK: usize = 1024 * 1024;

/// The four top-level roles.
const ROLES: [RoleType; 4] =
    [RoleType::Root, RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp];

/// One model or runtime to list.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Catalog id.
    pub id: String,
    /// The real file; its length and digest are what is signed.
    pub file: PathBuf,
    /// Target name: one path segment.
    pub target: String,
    /// Where the bytes are.
    pub urls: Vec<String>,
    /// SPDX licence expression.
    pub license: String,
    /// What it is.
    pub kind: ArtifactKind,
}

/// What an artifact is, with what only that kind has.
#[derive(Debug, Clone)]
pub enum ArtifactKind {
    /// A model file.
    Model {
        /// Tokens of context it was trained for.
        context_length: u32,
        /// Architecture as GGUF names it.
        architecture: String,
        /// Quantization as GGUF names it.
        quantization: String,
    },
    /// An inference server.
    Runtime {
        /// As `std::env::consts::OS` names it.
        os: String,
        /// As `std::env::consts::ARCH` names it.
        arch: String,
        /// Version of the program.
        version: String,
    },
}

/// What is wrong with a published catalog; the default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogFlaws {
    /// Whose keys sign it.
    pub signed_by: SignedBy,
    /// The timestamp has expired.
    pub expired: bool,
    /// Added to the length of each artifact named here.
    pub wrong_size: HashMap<String, i64>,
    /// Artifacts whose digest is another one.
    pub wrong_digest: Vec<String>,
}

/// Whose keys sign a published catalog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SignedBy {
    /// The keys that the trust root leads to.
    #[default]
    Current,
    /// Keys that the trust root does not know; the served root is theirs too.
    Foreign,
    /// The keys before the last rotation. A client that is kept from the root that revoked them
    /// (hide `N.root.json` at the gateway) must not accept it once it has seen that root.
    Revoked,
}

/// A key and the root that it holds.
#[derive(Debug, Clone)]
struct Holder {
    key: SigningKey,
    root: Vec<u8>,
    root_version: u64,
}

/// A catalog on disk: `metadata/` to serve, `root.json` to pin.
#[derive(Debug)]
pub struct Catalog {
    dir: PathBuf,
    current: Holder,
    revoked: Option<Holder>,
    version: u64,
    measured: HashMap<PathBuf, (u64, [u8; 32])>,
}

impl Catalog {
    /// Makes new keys and a pinned root in `dir`; nothing is published yet.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub async fn create(dir: &Path) -> Result<Self> {
        let current = Holder::first().await?;
        let catalog = Self {
            dir: dir.to_owned(),
            current,
            revoked: None,
            version: 0,
            measured: HashMap::new(),
        };
        std::fs::create_dir_all(catalog.metadata_dir())?;
        std::fs::write(catalog.trust_root(), &catalog.current.root)?;
        Ok(catalog)
    }

    /// The root to pin: version 1, whatever has been rotated since.
    #[must_use]
    pub fn trust_root(&self) -> PathBuf {
        self.dir.join("root.json")
    }

    /// The directory whose files are served under `metadata/`.
    #[must_use]
    pub fn metadata_dir(&self) -> PathBuf {
        self.dir.join("metadata")
    }

    /// The version that was published last; 0 before the first.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Signs and writes the next version. The timestamp is written last, so that a client that
    /// reads meanwhile sees one version or the other.
    ///
    /// # Errors
    /// When a file cannot be read or the metadata cannot be written.
    pub async fn publish(&mut self, artifacts: &[Artifact], flaws: &CatalogFlaws) -> Result<()> {
        self.publish_as(self.version + 1, artifacts, flaws).await
    }

    /// [`Catalog::publish`] at a version of one's own choice: a lower one than before is a
    /// rollback.
    ///
    /// # Errors
    /// When a file cannot be read or the metadata cannot be written.
    pub async fn publish_as(
        &mut self,
        version: u64,
        artifacts: &[Artifact],
        flaws: &CatalogFlaws,
    ) -> Result<()> {
        let holder = match flaws.signed_by {
            SignedBy::Current => self.current.clone(),
            SignedBy::Foreign => Holder::first().await?,
            SignedBy::Revoked => self.revoked.clone().context("no key was rotated yet")?,
        };
        let root_file = self.dir.join("signing-root.json");
        std::fs::write(&root_file, &holder.root)?;

        let number = NonZeroU64::new(version).context("version 0")?;
        let mut editor = RepositoryEditor::new(&root_file).await?;
        for artifact in artifacts {
            editor.add_target(artifact.target.as_str(), self.target(artifact, flaws)?)?;
        }
        editor.targets_version(number)?.targets_expires(in_days(LIFETIME_DAYS)?.parse()?)?;
        editor.snapshot_version(number).snapshot_expires(in_days(LIFETIME_DAYS)?.parse()?);
        let timestamp_days = if flaws.expired { -1 } else { LIFETIME_DAYS };
        editor.timestamp_version(number).timestamp_expires(in_days(timestamp_days)?.parse()?);
        let signed = editor.sign(&[holder.key.source()]).await?;
        signed.write(self.metadata_dir()).await?;
        self.version = version;
        Ok(())
    }

    /// Replaces the key of every role: the next root is signed by the new key and the old one,
    /// and what is published afterwards by the new one alone.
    ///
    /// # Errors
    /// When the root cannot be written.
    pub async fn rotate_keys(&mut self) -> Result<()> {
        let next = self.current.rotated().await?;
        let file = self.metadata_dir().join(format!("{}.root.json", next.root_version));
        std::fs::write(file, &next.root)?;
        self.revoked = Some(std::mem::replace(&mut self.current, next));
        Ok(())
    }

    fn target(&mut self, artifact: &Artifact, flaws: &CatalogFlaws) -> Result<Target> {
        let (length, mut sha256) = self.measure(&artifact.file)?;
        if flaws.wrong_digest.contains(&artifact.id) {
            sha256[0] ^= 1;
        }
        let off_by = flaws.wrong_size.get(&artifact.id).copied().unwrap_or(0);
        Ok(Target {
            length: length.checked_add_signed(off_by).context("a length below zero")?,
            hashes: Hashes { sha256: sha256.to_vec().into(), _extra: HashMap::new() },
            custom: custom(artifact),
            _extra: HashMap::new(),
        })
    }

    fn measure(&mut self, file: &Path) -> Result<(u64, [u8; 32])> {
        if let Some(known) = self.measured.get(file) {
            return Ok(*known);
        }
        let measured = measure(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.measured.insert(file.to_owned(), measured);
        Ok(measured)
    }
}

impl Holder {
    async fn first() -> Result<Self> {
        let key = SigningKey::generate()?;
        Ok(Self { root: signed_root(1, &key, &[]).await?, key, root_version: 1 })
    }

    async fn rotated(&self) -> Result<Self> {
        let (key, root_version) = (SigningKey::generate()?, self.root_version + 1);
        let root = signed_root(root_version, &key, &[&self.key]).await?;
        Ok(Self { key, root, root_version })
    }
}

/// Length and SHA-256 of a file.
///
/// # Errors
/// When it cannot be read.
pub fn measure(path: &Path) -> Result<(u64, [u8; 32])> {
    let mut file = std::fs::File::open(path)?;
    let (mut hasher, mut length) = (Sha256::new(), 0);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((length, hasher.finalize().into()));
        }
        hasher.update(&chunk[..read]);
        length += read as u64;
    }
}

fn is_gzip(file: &Path) -> bool {
    let mut magic = [0; 2];
    let read = std::fs::File::open(file).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == [0x1f, 0x8b]
}

fn custom(artifact: &Artifact) -> HashMap<String, Value> {
    let kind = match &artifact.kind {
        ArtifactKind::Model { context_length, architecture, quantization } => vec![
            ("kind", json!("model")),
            ("context_length", json!(context_length)),
            ("architecture", json!(architecture)),
            ("quantization", json!(quantization)),
        ],
        ArtifactKind::Runtime { os, arch, version } => vec![
            ("kind", json!("runtime")),
            ("os", json!(os)),
            ("arch", json!(arch)),
            ("version", json!(version)),
            // Null says that it is a program.
            ("format", json!(is_gzip(&artifact.file).then_some("tar.gz"))),
        ],
    };
    let common = [
        ("id", json!(artifact.id)),
        ("urls", json!(artifact.urls)),
        ("license", json!(artifact.license)),
    ];
    kind.into_iter().chain(common).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A root whose four roles are all held by `holder`, signed by it and by `others`.
async fn signed_root(version: u64, holder: &SigningKey, others: &[&SigningKey]) -> Result<Vec<u8>> {
    let key = holder.sign()?.tuf_key();
    let role = RoleKeys {
        keyids: vec![key.key_id()?],
        threshold: NonZeroU64::MIN,
        _extra: HashMap::new(),
    };
    let root = Root {
        spec_version: SPEC_VERSION.to_owned(),
        consistent_snapshot: true,
        version: NonZeroU64::new(version).context("version 0")?,
        expires: in_days(LIFETIME_DAYS)?.parse()?,
        keys: HashMap::from([(key.key_id()?, key)]),
        roles: ROLES.into_iter().map(|name| (name, role.clone())).collect(),
        _extra: HashMap::new(),
    };
    let message = root.canonical_form()?;
    let mut signatures = Vec::new();
    for signer in std::iter::once(&holder).chain(others) {
        let signer = signer.sign()?;
        let signature = signer.sign(&message, &SystemRandom::new()).await;
        let sig = signature.map_err(|error| anyhow!(error))?.into();
        signatures.push(Signature { keyid: signer.tuf_key().key_id()?, sig });
    }
    Ok(serde_json::to_vec_pretty(&Signed { signed: root, signatures })?)
}

/// An RFC 3339 time in whole seconds, which is what TUF metadata holds.
fn in_days(days: i64) -> Result<String> {
    let at = OffsetDateTime::now_utc() + time::Duration::days(days);
    Ok(at.replace_nanosecond(0)?.format(&Rfc3339)?)
}

/// An Ed25519 key in memory, as PKCS #8.
#[derive(Clone)]
struct SigningKey {
    pkcs8: Vec<u8>,
}

impl SigningKey {
    fn generate() -> Result<Self> {
        Ok(Self { pkcs8: KeyPair::generate_for(&PKCS_ED25519)?.serialize_der() })
    }

    fn sign(&self) -> Result<Box<dyn Sign>> {
        Ok(Box::new(parse_keypair(&self.pkcs8)?))
    }

    fn source(&self) -> Box<dyn KeySource> {
        Box::new(self.clone())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

#[tough::async_trait]
impl KeySource for SigningKey {
    async fn as_sign(
        &self,
    ) -> Result<Box<dyn Sign>, Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(Box::new(parse_keypair(&self.pkcs8)?))
    }

    async fn write(
        &self,
        _value: &str,
        _key_id_hex: &str,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Err("a key in memory is not written".into())
    }
}
