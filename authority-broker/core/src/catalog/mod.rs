//! The signed catalog as plain values (contract 8): what a target of the TUF repository must say
//! before anything may be downloaded or started because of it.

mod entry;
mod host;
mod version;

use std::collections::BTreeMap;

pub use entry::{CatalogEntry, Details, UntrustedTarget};
pub use host::{HostName, allowed_source};

use crate::Reason;
use crate::limits::MAX_CATALOG_ENTRIES;

/// A catalog whose every entry was judged; made by [`judge`] only.
#[derive(Debug, Clone, Default)]
pub struct Catalog(BTreeMap<String, CatalogEntry>);

/// Judges the targets of a verified repository.
///
/// `catalog_host` is where the repository lies, `None` for this disk; `model_hosts` where bytes
/// may come from. Only beside a catalog of this disk may bytes lie without a URL.
/// A target of a kind that this version does not know is passed over; one that says it is a
/// model or a runtime, and is malformed, spoils the whole catalog, as does an id that comes twice.
///
/// # Errors
/// `manifest_untrusted` for a malformed entry, and when the bytes of any entry, or a host that
/// they may come from, lie on the host of the catalog.
pub fn judge<'a>(
    targets: impl IntoIterator<Item = UntrustedTarget<'a>>,
    catalog_host: Option<&HostName>,
    model_hosts: &[HostName],
) -> Result<Catalog, Reason> {
    if catalog_host.is_some_and(|host| model_hosts.contains(host)) {
        return Err(Reason::ManifestUntrusted);
    }
    let mut entries = BTreeMap::new();
    for target in targets {
        let Some(entry) = entry::judge(&target, catalog_host)? else { continue };
        if entries.len() == MAX_CATALOG_ENTRIES || entries.insert(entry.id.clone(), entry).is_some()
        {
            return Err(Reason::ManifestUntrusted);
        }
    }
    Ok(Catalog(entries))
}

impl Catalog {
    /// The entry of an id.
    ///
    /// # Errors
    /// `unknown_artifact` when there is none.
    pub fn get(&self, id: &str) -> Result<&CatalogEntry, Reason> {
        self.0.get(id).ok_or(Reason::UnknownArtifact)
    }

    /// All entries by id.
    pub fn entries(&self) -> impl Iterator<Item = &CatalogEntry> {
        self.0.values()
    }

    /// The newest runtime for a machine among those that `provisioned` names by digest.
    ///
    /// # Errors
    /// `not_provisioned` when there is none.
    pub fn newest_runtime(
        &self,
        os: &str,
        arch: &str,
        provisioned: &[String],
    ) -> Result<&CatalogEntry, Reason> {
        self.entries()
            .filter(|entry| entry.suits(os, arch) && provisioned.contains(&entry.sha256))
            .max_by(|a, b| version::compare(a.version(), b.version()).then(a.id.cmp(&b.id)))
            .ok_or(Reason::NotProvisioned)
    }
}

#[cfg(test)]
mod tests;
