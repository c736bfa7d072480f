//! Which root is trusted, and which versions were seen: what tough does not keep by itself.
//!
//! tough writes its newest root down and never reads it back, so a server that hides a rotation
//! would be believed with the keys of before. The newest root is therefore chosen here and given
//! to it, and a record of the versions refuses anything lower, even where the stored metadata
//! itself was damaged.

use authority_core::Reason;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tough::Repository;
use tough::schema::{Role, RoleType, Root, Signed};

/// The versions of a verified repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Versions {
    root: u64,
    timestamp: u64,
    snapshot: u64,
    targets: u64,
    /// Names the keys of timestamp and snapshot. A root that rotates them starts their versions
    /// anew: that is how a repository recovers from versions set too high by a thief.
    keys: String,
}

impl Versions {
    pub(super) fn of(repository: &Repository) -> Self {
        Self {
            root: repository.root().signed.version.get(),
            timestamp: repository.timestamp().signed.version.get(),
            snapshot: repository.snapshot().signed.version.get(),
            targets: repository.targets().signed.version.get(),
            keys: online_keys(&repository.root().signed),
        }
    }

    /// Whether a repository of these versions may follow one of `floor`.
    pub(super) fn may_follow(&self, floor: &Self) -> bool {
        let same_keys = self.keys == floor.keys;
        let not_lower = self.timestamp >= floor.timestamp
            && self.snapshot >= floor.snapshot
            && self.targets >= floor.targets;
        self.root >= floor.root && (not_lower || !same_keys)
    }

    /// The lowest root that is believed.
    pub(super) fn root(&self) -> u64 {
        self.root
    }

    /// A record for a root that was verified while the rest was not.
    pub(super) fn with_root(self, root: &Root) -> Self {
        Self { root: self.root.max(root.version.get()), ..self }
    }
}

fn online_keys(root: &Root) -> String {
    let mut names: Vec<_> = [RoleType::Timestamp, RoleType::Snapshot]
        .into_iter()
        .filter_map(|role| root.roles.get(&role))
        .flat_map(|role| role.keyids.iter().map(|id| hex::encode(&**id)))
        .collect();
    names.sort();
    hex::encode(Sha256::digest(names.join(",")))
}

/// A root that is signed as it itself demands.
pub(super) fn sound_root(bytes: &[u8]) -> Option<Signed<Root>> {
    let root: Signed<Root> = serde_json::from_slice(bytes).ok()?;
    root.signed.verify_role(&root).ok()?;
    Some(root)
}

/// Whether stored metadata is of its role; whom it was signed by is for tough to check, since
/// the keys may have been rotated since.
pub(super) fn is_sound<T: Role + for<'de> Deserialize<'de>>(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Signed<T>>(bytes).is_ok()
}

/// The root to begin with: the stored one if it is sound and not older than the pinned one.
///
/// # Errors
/// `manifest_untrusted` when the pinned root itself is not sound, or when nothing is left that
/// is as new as what was trusted before.
pub(super) fn newest_root(
    pinned: &[u8],
    stored: Option<&[u8]>,
    floor: Option<&Versions>,
) -> Result<Vec<u8>, Reason> {
    let pinned_root = sound_root(pinned).ok_or(Reason::ManifestUntrusted)?;
    let newer = stored.filter(|bytes| {
        sound_root(bytes).is_some_and(|root| root.signed.version > pinned_root.signed.version)
    });
    if stored.is_some_and(|bytes| sound_root(bytes).is_none()) {
        tracing::warn!("the stored root of the catalog is damaged: rebuilding from the pinned one");
    }
    if newer.is_none() && floor.is_some_and(|floor| floor.root() > pinned_root.signed.version.get())
    {
        tracing::warn!("the stored root of the catalog is gone: the gateway must show it again");
    }
    Ok(newer.unwrap_or(pinned).to_vec())
}
