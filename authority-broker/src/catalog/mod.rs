//! The signed catalog (contract 8): fetched from the gateway or read from this disk, verified by TUF, judged entry by
//! entry, kept while it is unexpired.

mod datastore;
pub(crate) use datastore::replace_file;
mod offline;
mod trust;
mod update;

use std::path::Path;
use std::sync::Arc;

use authority_core::catalog::{Catalog, HostName};
use authority_core::rpc::{Needs, Rpc};
use authority_core::{Reason, Secret};
use companion_settings::Gateway;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::clock;
use crate::https::Https;
use crate::limits::{CATALOG_FRESH, CATALOG_UPDATE};
use crate::session::Sessions;
use update::{Source, Updated, Updater};

/// Custody of the catalog.
pub(crate) struct Catalogs {
    updater: Result<Updater, Reason>,
    needs_session: bool,
    /// On this disk it is read anew each time: its owner publishes and looks at once.
    on_disk: bool,
    sessions: Arc<Sessions>,
    /// Held over an update: one at a time, however many callers.
    held: Mutex<Option<Held>>,
}

struct Held {
    catalog: Arc<Catalog>,
    /// When the gateway last confirmed it; `None`: read from the copy on disk.
    confirmed: Option<Instant>,
    /// Seconds since the epoch.
    expires_at: u64,
}

impl Held {
    fn of(updated: Updated, confirmed: Option<Instant>) -> Self {
        let Updated { catalog, expires_at } = updated;
        Self { catalog: Arc::new(catalog), confirmed, expires_at }
    }

    fn is_unexpired(&self) -> bool {
        clock::now() < self.expires_at
    }

    fn is_fresh(&self) -> bool {
        self.is_unexpired() && self.confirmed.is_some_and(|at| at.elapsed() < CATALOG_FRESH)
    }
}

/// Why the gateway gave no catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpdateFault {
    /// It did not accept the session.
    Unauthorized,
    /// It could not be reached, or had nothing to give.
    Unreachable,
    /// What it gave is refused.
    Refused(Reason),
}

impl Catalogs {
    /// The catalog of the `[gateway]` section. `pinned_root` was read before the process was
    /// confined; without it there is no catalog.
    pub(crate) fn new(
        gateway: &Gateway,
        pinned_root: Option<Vec<u8>>,
        model_hosts: &[String],
        state_dir: &Path,
        https: Https,
        sessions: Arc<Sessions>,
    ) -> Arc<Self> {
        Arc::new(Self {
            updater: updater(gateway, pinned_root, model_hosts, state_dir, https),
            needs_session: gateway.catalog_needs_session,
            on_disk: gateway.catalog_directory().is_some(),
            sessions,
            held: Mutex::new(None),
        })
    }

    /// The catalog that an RPC needs, if it is allowed in the session's standing.
    ///
    /// As it is now: at most 60 s old while the gateway answers, else the last verified one until
    /// it expires. For starting, removing and verifying what was provisioned before: any verified
    /// one that is unexpired.
    ///
    /// # Errors
    /// `not_signed_in`, `catalog_unreachable`, `manifest_untrusted` and the session's.
    pub(crate) async fn for_rpc(&self, rpc: Rpc) -> Result<Arc<Catalog>, Reason> {
        if rpc.needs() == Needs::VerifiedCatalog {
            let mut held = self.held.lock().await;
            let known = self.known(&mut held).await;
            self.admit(rpc, known.is_some()).await?;
            return match known {
                Some(known) => Ok(known),
                None => self.update(&mut held).await,
            };
        }
        self.admit(rpc, false).await?;
        let mut held = self.held.lock().await;
        match &*held {
            Some(fresh) if fresh.is_fresh() && !self.on_disk => Ok(Arc::clone(&fresh.catalog)),
            Some(_) | None => self.update(&mut held).await,
        }
    }

    async fn admit(&self, rpc: Rpc, at_hand: bool) -> Result<(), Reason> {
        match self.needs_session {
            true => self.sessions.admit(rpc, at_hand).await,
            false => Ok(()),
        }
    }

    async fn update(&self, held: &mut Option<Held>) -> Result<Arc<Catalog>, Reason> {
        let updater = self.updater.as_ref().map_err(|reason| *reason)?;
        let unreachable = match self.ask(updater).await {
            Ok(updated) => {
                let new = held.insert(Held::of(updated, Some(Instant::now())));
                return Ok(Arc::clone(&new.catalog));
            }
            Err(Reason::CatalogUnreachable) => Reason::CatalogUnreachable,
            Err(reason @ (Reason::TokenExchangeFailed | Reason::InvalidTokenResponse)) => reason,
            Err(reason) => {
                if reason == Reason::ManifestUntrusted {
                    *held = None;
                }
                tracing::warn!(reason = %reason, "the catalog was refused");
                return Err(reason);
            }
        };
        tracing::warn!(reason = %unreachable, "the catalog could not be fetched");
        self.known(held).await.ok_or(unreachable)
    }

    /// With a token that the gateway refuses, once more with another one.
    async fn ask(&self, updater: &Updater) -> Result<Updated, Reason> {
        let token = match self.needs_session {
            true => Some(self.sessions.access_token().await?),
            false => None,
        };
        let first = ask_once(updater, token.as_ref()).await;
        let answer = match (first, token) {
            (Err(UpdateFault::Unauthorized), Some(token)) => {
                let token = self.sessions.access_token_after(&token).await?;
                ask_once(updater, Some(&token)).await
            }
            (first, _) => first,
        };
        answer.map_err(|fault| match fault {
            UpdateFault::Unauthorized => Reason::NotSignedIn,
            UpdateFault::Unreachable => Reason::CatalogUnreachable,
            UpdateFault::Refused(reason) => reason,
        })
    }

    /// What is held, else what the copy on disk still proves.
    async fn known(&self, held: &mut Option<Held>) -> Option<Arc<Catalog>> {
        if held.as_ref().is_none_or(|held| !held.is_unexpired()) {
            let updater = self.updater.as_ref().ok()?;
            let copy = updater.offline_copy().await?;
            *held = Some(Held::of(updater.update(Source::Copy(copy)).await.ok()?, None));
        }
        held.as_ref().filter(|held| held.is_unexpired()).map(|held| Arc::clone(&held.catalog))
    }
}

async fn ask_once(updater: &Updater, token: Option<&Secret>) -> Result<Updated, UpdateFault> {
    let source = Source::Origin { bearer: token.map(Secret::duplicate) };
    timeout(CATALOG_UPDATE, updater.update(source)).await.unwrap_or(Err(UpdateFault::Unreachable))
}

fn updater(
    gateway: &Gateway,
    pinned_root: Option<Vec<u8>>,
    model_hosts: &[String],
    state_dir: &Path,
    https: Https,
) -> Result<Updater, Reason> {
    let (false, Some(pinned_root)) = (gateway.catalog_url.is_empty(), pinned_root) else {
        return Err(Reason::CatalogNotConfigured);
    };
    let mut base = Url::parse(&gateway.catalog_url).map_err(|_| Reason::CatalogNotConfigured)?;
    let on_disk = gateway.catalog_directory().is_some();
    if (base.scheme() != "https" && !on_disk) || base.query().is_some() || base.fragment().is_some()
    {
        return Err(Reason::CatalogNotConfigured);
    }
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    let host = match on_disk {
        true => None,
        false => Some(HostName::of_url(&base).ok_or(Reason::CatalogNotConfigured)?),
    };
    let model_hosts =
        model_hosts.iter().map(|pair| HostName::of_pair(pair)).collect::<Result<_, _>>()?;
    Updater::new(base, host, model_hosts, pinned_root, state_dir, https)
}

#[cfg(test)]
impl Catalogs {
    /// One that holds this catalog, for tests of what is done with it.
    pub(crate) fn holding(
        catalog: Catalog,
        needs_session: bool,
        sessions: Arc<Sessions>,
    ) -> Arc<Self> {
        let held = Held {
            catalog: Arc::new(catalog),
            confirmed: Some(Instant::now()),
            expires_at: u64::MAX,
        };
        Arc::new(Self {
            updater: Err(Reason::CatalogUnreachable),
            needs_session,
            on_disk: false,
            sessions,
            held: Mutex::new(Some(held)),
        })
    }
}

#[cfg(test)]
mod freeze_tests;
#[cfg(test)]
mod matrix_tests;
#[cfg(test)]
mod repository;
#[cfg(test)]
mod tests;
