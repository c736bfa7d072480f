//! One update of the catalog: tough verifies, what it leaves open is closed around it, and the
//! entries are judged.

use std::path::Path;

use authority_core::Reason;
use authority_core::Secret;
use authority_core::catalog::{Catalog, HostName, UntrustedTarget, judge};
use serde_json::Value;
use tough::error::Error;
use tough::{ExpirationEnforcement, Limits, Repository, RepositoryLoader, Transport};
use url::Url;

use super::UpdateFault;
use super::datastore::{Begun, Datastore};
use super::offline::{CatalogTransport, CopyTransport, OfflineCopy};
use super::trust::Versions;
use crate::https::Https;
use crate::limits::{METADATA_BYTES, ROOT_UPDATES, TARGETS_BYTES};

/// Everything an update needs to know.
#[derive(Debug)]
pub(super) struct Updater {
    metadata_base: Url,
    targets_base: Url,
    /// `None`: this disk.
    host: Option<HostName>,
    model_hosts: Vec<HostName>,
    datastore: Datastore,
    https: Https,
}

/// Where an update's files come from.
pub(super) enum Source {
    /// Where the catalog lies: the gateway, with the session's access token where it asks for
    /// one, or this disk.
    Origin {
        /// The access token.
        bearer: Option<Secret>,
    },
    /// The files of the last successful update.
    Copy(OfflineCopy),
}

/// A verified catalog and when it ends, in seconds since the epoch.
pub(super) struct Updated {
    pub(super) catalog: Catalog,
    pub(super) expires_at: u64,
}

impl Updater {
    pub(super) fn new(
        base: Url,
        host: Option<HostName>,
        model_hosts: Vec<HostName>,
        pinned_root: Vec<u8>,
        state_dir: &Path,
        https: Https,
    ) -> Result<Self, Reason> {
        let below = |name| base.join(name).map_err(|_| Reason::CatalogNotConfigured);
        Ok(Self {
            metadata_base: below("metadata/")?,
            targets_base: below("targets/")?,
            host,
            model_hosts,
            datastore: Datastore::new(state_dir, pinned_root),
            https,
        })
    }

    /// Fetches, verifies and judges.
    pub(super) async fn update(&self, source: Source) -> Result<Updated, UpdateFault> {
        let begun = self.on_disk(|datastore| datastore.begin()).await?;
        match source {
            Source::Origin { bearer } => {
                let base = self.metadata_base.clone();
                let transport = CatalogTransport::new(self.https.clone(), base, bearer);
                let loaded = self.load(&begun, transport.clone()).await;
                self.conclude(begun, loaded, &transport).await
            }
            Source::Copy(copy) => {
                let repository = self.load(&begun, CopyTransport(copy)).await;
                let repository = repository.map_err(|error| refusal_of(&error))?;
                self.judge(&repository, begun.floor.as_ref())
            }
        }
    }

    /// The files of the last successful update.
    pub(super) async fn offline_copy(&self) -> Option<OfflineCopy> {
        self.on_disk(|datastore| Ok(datastore.copy())).await.ok().flatten()
    }

    async fn load(
        &self,
        begun: &Begun,
        transport: impl Transport + 'static,
    ) -> Result<Repository, Error> {
        let (metadata, targets) = (self.metadata_base.clone(), self.targets_base.clone());
        RepositoryLoader::new(&begun.root, metadata, targets)
            .transport(transport)
            .limits(Limits {
                max_root_size: METADATA_BYTES as u64,
                max_timestamp_size: METADATA_BYTES as u64,
                max_snapshot_size: METADATA_BYTES as u64,
                max_targets_size: TARGETS_BYTES as u64,
                max_root_updates: ROOT_UPDATES,
            })
            .datastore(begun.work.path())
            .expiration_enforcement(ExpirationEnforcement::Safe)
            .load()
            .await
    }

    async fn conclude(
        &self,
        begun: Begun,
        loaded: Result<Repository, Error>,
        transport: &CatalogTransport,
    ) -> Result<Updated, UpdateFault> {
        let repository = match loaded {
            Ok(repository) => repository,
            Err(error) => {
                self.on_disk(move |datastore| datastore.commit_root(&begun)).await?;
                return Err(transport.fault().unwrap_or_else(|| refusal_of(&error)));
            }
        };
        let updated = match self.judge(&repository, begun.floor.as_ref()) {
            Ok(updated) => updated,
            Err(fault) => {
                // A rotation is believed whatever is wrong with the catalog beside it.
                self.on_disk(move |datastore| datastore.commit_root(&begun)).await?;
                return Err(fault);
            }
        };
        let (versions, copy) = (Versions::of(&repository), transport.copy());
        self.on_disk(move |datastore| {
            datastore.commit(begun.work.path(), &versions)?;
            datastore.keep_copy(&copy)
        })
        .await?;
        Ok(updated)
    }

    /// The versions against those seen before, then the entries.
    fn judge(
        &self,
        repository: &Repository,
        floor: Option<&Versions>,
    ) -> Result<Updated, UpdateFault> {
        if floor.is_some_and(|floor| !Versions::of(repository).may_follow(floor)) {
            tracing::warn!("the catalog is older than one that was trusted before");
            return Err(UpdateFault::Refused(Reason::ManifestUntrusted));
        }
        let targets = &repository.targets().signed.targets;
        let untrusted = targets.iter().map(|(name, target)| UntrustedTarget {
            name: name.raw(),
            length: target.length,
            sha256: &target.hashes.sha256,
            custom: Value::Object(target.custom.clone().into_iter().collect()),
        });
        let catalog = judge(untrusted, self.host.as_ref(), &self.model_hosts)
            .map_err(UpdateFault::Refused)?;
        Ok(Updated { catalog, expires_at: earliest_expiry(repository) })
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Datastore) -> Result<T, Reason> + Send + 'static,
    ) -> Result<T, UpdateFault> {
        let datastore = self.datastore.clone();
        tokio::task::spawn_blocking(move || act(&datastore))
            .await
            .unwrap_or(Err(Reason::Internal))
            .map_err(UpdateFault::Refused)
    }
}

fn earliest_expiry(repository: &Repository) -> u64 {
    let expiries = [
        repository.root().signed.expires,
        repository.timestamp().signed.expires,
        repository.snapshot().signed.expires,
        repository.targets().signed.expires,
    ];
    expiries.into_iter().min().map_or(0, |at| u64::try_from(at.as_second()).unwrap_or(0))
}

/// Whatever tough refuses is untrusted; only what goes wrong on this disk is not.
fn refusal_of(error: &Error) -> UpdateFault {
    let reason = match error {
        Error::DatastoreInit { .. }
        | Error::DatastoreCreate { .. }
        | Error::DatastoreOpen { .. }
        | Error::DatastoreRemove { .. }
        | Error::DatastoreSerialize { .. } => Reason::Internal,
        _ => Reason::ManifestUntrusted,
    };
    UpdateFault::Refused(reason)
}
