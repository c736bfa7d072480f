//! A TUF repository for the tests of this module, signed on the spot.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::Value;
use tough::TargetName;
use tough::async_trait;
use tough::editor::signed::SignedRole;
use tough::key_source::KeySource;
use tough::schema::{
    Hashes, KeyHolder, Metafile, Role, RoleKeys, RoleType, Root, Snapshot, Target, Targets,
    Timestamp,
};
use tough::sign::{Sign, parse_keypair};

const SPEC: &str = "1.0.0";
pub(super) const FUTURE: &str = "2199-01-01T00:00:00Z";
pub(super) const PAST: &str = "2001-01-01T00:00:00Z";

/// Metadata files by name, shared with the server that gives them out.
pub(super) type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

#[derive(Debug, Clone)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_der())
    }

    fn source(&self) -> Box<dyn KeySource> {
        Box::new(self.clone())
    }

    fn public(&self) -> tough::schema::key::Key {
        parse_keypair(&self.0).unwrap().tuf_key()
    }
}

#[async_trait]
impl KeySource for Key {
    async fn as_sign(
        &self,
    ) -> Result<Box<dyn Sign>, Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(Box::new(parse_keypair(&self.0)?))
    }

    async fn write(
        &self,
        _value: &str,
        _key_id: &str,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(())
    }
}

/// A repository: one key for the root, one for the other three roles.
pub(super) struct Repository {
    pub(super) files: Files,
    root_key: Key,
    online_key: Key,
    root: Root,
}

impl Repository {
    pub(super) async fn new() -> Self {
        let (root_key, online_key) = (Key::new(), Key::new());
        let root = root_of(1, &root_key, &online_key);
        let repository = Self { files: Files::default(), root_key, online_key, root };
        repository.publish_root().await;
        repository
    }

    /// The root that an installation pins.
    pub(super) fn pinned(&self) -> Vec<u8> {
        self.files.lock().unwrap()["1.root.json"].clone()
    }

    /// Publishes the next root, with another key for the other roles; returns the revoked one.
    pub(super) async fn rotate(&mut self) -> Key {
        let revoked = std::mem::replace(&mut self.online_key, Key::new());
        let version = self.root.version.get() + 1;
        self.root = root_of(version, &self.root_key, &self.online_key);
        self.publish_root().await;
        revoked
    }

    /// Publishes timestamp, snapshot and targets of one version.
    pub(super) async fn publish(&self, version: u64, expires: &str, customs: &[Value]) {
        self.publish_until(version, Expiries::all(expires), customs).await;
    }

    /// The same, each role with an end of its own.
    pub(super) async fn publish_until(&self, version: u64, until: Expiries, customs: &[Value]) {
        self.publish_signed_by(&self.online_key, &self.root, version, until, customs).await;
    }

    /// The same, as whoever holds `key` would under the first root.
    pub(super) async fn publish_as(&self, key: &Key, version: u64, customs: &[Value]) {
        let root = root_of(1, &self.root_key, key);
        self.publish_signed_by(key, &root, version, Expiries::all(FUTURE), customs).await;
    }

    async fn publish_signed_by(
        &self,
        key: &Key,
        root: &Root,
        version: u64,
        until: Expiries,
        customs: &[Value],
    ) {
        let number = NonZeroU64::new(version).unwrap();
        let at = |expires: String| expires.parse().unwrap();
        let mut targets = Targets::new(SPEC.to_owned(), number, at(until.targets));
        for (n, custom) in customs.iter().enumerate() {
            let name = TargetName::new(format!("target-{n}")).unwrap();
            targets.targets.insert(name, target(u8::try_from(n).unwrap(), custom));
        }
        let targets = signed(targets, root, key).await;
        let mut snapshot = Snapshot::new(SPEC.to_owned(), number, at(until.snapshot));
        snapshot.meta.insert("targets.json".to_owned(), described(version, &targets));
        let snapshot = signed(snapshot, root, key).await;
        let mut timestamp = Timestamp::new(SPEC.to_owned(), number, at(until.timestamp));
        timestamp.meta.insert("snapshot.json".to_owned(), described(version, &snapshot));
        let timestamp = signed(timestamp, root, key).await;
        let mut files = self.files.lock().unwrap();
        files.insert(format!("{version}.targets.json"), targets.buffer().clone());
        files.insert(format!("{version}.snapshot.json"), snapshot.buffer().clone());
        files.insert("timestamp.json".to_owned(), timestamp.buffer().clone());
    }

    async fn publish_root(&self) {
        let signed = signed(self.root.clone(), &self.root, &self.root_key).await;
        let name = format!("{}.root.json", self.root.version);
        self.files.lock().unwrap().insert(name, signed.buffer().clone());
    }
}

/// When each role ends, as RFC 3339 writes it.
pub(super) struct Expiries {
    pub(super) timestamp: String,
    pub(super) snapshot: String,
    pub(super) targets: String,
}

impl Expiries {
    pub(super) fn all(expires: &str) -> Self {
        let [timestamp, snapshot, targets] = [(); 3].map(|()| expires.to_owned());
        Self { timestamp, snapshot, targets }
    }
}

fn root_of(version: u64, root_key: &Key, online_key: &Key) -> Root {
    let (root_public, online_public) = (root_key.public(), online_key.public());
    let root_id = root_public.key_id().unwrap();
    let online_id = online_public.key_id().unwrap();
    let role = |id: &tough::schema::decoded::Decoded<tough::schema::decoded::Hex>| RoleKeys {
        keyids: vec![id.clone()],
        threshold: NonZeroU64::MIN,
        _extra: HashMap::new(),
    };
    Root {
        spec_version: SPEC.to_owned(),
        consistent_snapshot: true,
        version: NonZeroU64::new(version).unwrap(),
        expires: FUTURE.parse().unwrap(),
        roles: HashMap::from([
            (RoleType::Root, role(&root_id)),
            (RoleType::Timestamp, role(&online_id)),
            (RoleType::Snapshot, role(&online_id)),
            (RoleType::Targets, role(&online_id)),
        ]),
        keys: HashMap::from([(root_id, root_public), (online_id, online_public)]),
        _extra: HashMap::new(),
    }
}

async fn signed<T: Role + serde::Serialize>(role: T, root: &Root, key: &Key) -> SignedRole<T> {
    let holder = KeyHolder::Root(root.clone());
    SignedRole::new(role, &holder, &[key.source()], &SystemRandom::new()).await.unwrap()
}

fn described<T: Role + serde::Serialize>(version: u64, role: &SignedRole<T>) -> Metafile {
    Metafile {
        length: Some(*role.length()),
        hashes: Some(hashes(role.sha256())),
        version: NonZeroU64::new(version).unwrap(),
        _extra: HashMap::new(),
    }
}

fn target(n: u8, custom: &Value) -> Target {
    Target {
        length: 10,
        hashes: hashes(&[n; 32]),
        custom: custom.as_object().unwrap().clone().into_iter().collect(),
        _extra: HashMap::new(),
    }
}

fn hashes(sha256: &[u8]) -> Hashes {
    Hashes { sha256: sha256.to_vec().into(), _extra: HashMap::new() }
}
