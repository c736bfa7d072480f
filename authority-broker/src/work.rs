//! Pull, start, stop, remove: an id is resolved in the verified catalog, and the supervisor is
//! asked with plain values.

use std::sync::Arc;

use authority_api::v1::work_event::Event as Said;
use authority_api::v1::{self, Expected, Failed, Progress, Ready, Starting, Verified, WorkEvent};
use authority_core::Reason;
use authority_core::catalog::{Catalog, CatalogEntry, Details};
use authority_core::rpc::Rpc;
use runtime_api::v1::{provision_event, start_event};
use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;
use tonic::{Status, Streaming};
use url::Url;

use crate::catalog::Catalogs;
use crate::limits::{WANTED_INTERVAL, WANTED_RETRY};
use crate::refusal::Refusal;
use crate::store_view::{StoreView, Supervisor};
use crate::wanted::{Wanted, Wish};

const OS: &str = std::env::consts::OS;
const ARCH: &str = std::env::consts::ARCH;

/// Where the events of a piece of work go.
pub(crate) type Events = mpsc::Sender<Result<WorkEvent, Status>>;

/// What may be done with the catalog's entries.
pub(crate) struct Work {
    catalogs: Arc<Catalogs>,
    supervisor: Supervisor,
    wanted: Arc<Wanted>,
    /// One start or stop at a time, so that a wish is never older than what was last asked.
    steering: Mutex<()>,
}

impl Work {
    pub(crate) fn new(
        catalogs: Arc<Catalogs>,
        supervisor: Supervisor,
        wanted: Arc<Wanted>,
    ) -> Arc<Self> {
        Arc::new(Self { catalogs, supervisor, wanted, steering: Mutex::new(()) })
    }

    /// The catalog joined with the store.
    pub(crate) async fn list(&self) -> Result<Vec<v1::CatalogEntry>, Refusal> {
        let catalog = self.catalogs.for_rpc(Rpc::ListCatalog).await?;
        let store = self.supervisor.store().await?;
        Ok(catalog.entries().map(|entry| joined(entry, &store)).collect())
    }

    /// Pulls an id and relays how it goes; it ends when its reader goes away.
    pub(crate) async fn pull(self: Arc<Self>, id: String, events: Events) {
        let outcome = tokio::select! {
            biased;
            () = events.closed() => return,
            outcome = self.pull_to(&id, &events) => outcome,
        };
        self.wanted.nudge();
        say_how_it_ended(outcome, &events).await;
    }

    async fn pull_to(&self, id: &str, events: &Events) -> Result<(), Refusal> {
        let catalog = self.catalogs.for_rpc(Rpc::Pull).await?;
        let entry = catalog.get(id)?;
        let mut provisioning = self.supervisor.provision(entry).await?;
        say(Said::Expected(expected(entry)), events).await;
        loop {
            match next(&mut provisioning).await?.event {
                Some(provision_event::Event::Progress(progress)) => {
                    let said = Said::Progress(Progress {
                        id: id.to_owned(),
                        received_bytes: progress.received_bytes,
                        total_bytes: progress.total_bytes,
                        bytes_per_second: progress.bytes_per_second,
                        seconds_left: progress.seconds_left,
                        waiting: progress.waiting,
                    });
                    say(said, events).await;
                }
                Some(provision_event::Event::Verified(_)) => {
                    tracing::info!("an artifact was provisioned");
                    say(Said::Verified(Verified { id: id.to_owned() }), events).await;
                    return Ok(());
                }
                Some(provision_event::Event::Failed(failed)) => {
                    return Err(Refusal::of_event(&failed.reason));
                }
                None => {}
            }
        }
    }

    /// Starts a model and relays how it goes; the start goes on when its reader goes away.
    pub(crate) async fn start(self: Arc<Self>, id: String, events: Events) {
        let outcome = self.start_to(&id, Some(&events)).await;
        say_how_it_ended(outcome, &events).await;
    }

    async fn start_to(&self, id: &str, events: Option<&Events>) -> Result<(), Refusal> {
        let catalog = self.catalogs.for_rpc(Rpc::Start).await?;
        let _steering = self.steering.lock().await;
        if events.is_none() && self.wanted.wish().is_none_or(|wish| wish.model != id) {
            // A person stopped it in the meantime.
            return Ok(());
        }
        let store = self.supervisor.store().await?;
        let (model, runtime) = to_start(&catalog, id, &store)?;
        let mut starting = self.supervisor.start(model, runtime).await?;
        let mut was_begun = false;
        loop {
            match next(&mut starting).await?.event {
                Some(start_event::Event::Starting(_)) => {
                    was_begun = true;
                    self.wanted.asked(id, store.supervisor_pid);
                    if let Some(events) = events {
                        say(Said::Starting(Starting { id: id.to_owned() }), events).await;
                    }
                }
                Some(start_event::Event::Ready(_)) => {
                    self.wanted.asked(id, store.supervisor_pid);
                    tracing::info!("a model was started");
                    if let Some(events) = events {
                        say(Said::Ready(Ready { id: id.to_owned() }), events).await;
                    }
                    return Ok(());
                }
                Some(start_event::Event::Failed(failed)) => {
                    if was_begun {
                        self.wanted.not(id);
                    }
                    return Err(Refusal::of_event(&failed.reason));
                }
                None => {}
            }
        }
    }

    /// Stops what runs; it is not started again by itself.
    pub(crate) async fn stop(&self) -> Result<(), Refusal> {
        self.wanted.nothing();
        self.supervisor.stop().await
    }

    /// Removes an id from the store; returns the bytes freed.
    pub(crate) async fn remove(&self, id: &str) -> Result<u64, Refusal> {
        let catalog = self.catalogs.for_rpc(Rpc::Remove).await?;
        let entry = catalog.get(id)?;
        let freed = self.supervisor.remove(entry).await?;
        self.wanted.not(id);
        Ok(freed)
    }

    /// Has an id of the store hashed again.
    pub(crate) async fn verify(&self, id: &str) -> Result<(), Refusal> {
        let catalog = self.catalogs.for_rpc(Rpc::Verify).await?;
        self.supervisor.verify(catalog.get(id)?).await
    }

    /// Sees to it that the wanted model runs: the configured one as soon as it is provisioned,
    /// the one a person started when another supervisor took over.
    pub(crate) async fn keep_wanted(self: Arc<Self>) {
        let mut nudges = self.wanted.nudges();
        loop {
            let wait = match self.wanted.wish() {
                Some(wish) => self.see_to(&wish).await,
                None => WANTED_INTERVAL,
            };
            tokio::select! {
                () = sleep(wait) => {}
                changed = nudges.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn see_to(&self, wish: &Wish) -> std::time::Duration {
        let Ok(store) = self.supervisor.store().await else { return WANTED_INTERVAL };
        if wish.asked_of == Some(store.supervisor_pid) {
            return WANTED_INTERVAL;
        }
        if !store.running_model.is_empty() {
            self.wanted.asked(&store.running_model, store.supervisor_pid);
            return WANTED_INTERVAL;
        }
        match self.start_to(&wish.model, None).await {
            Ok(()) => WANTED_INTERVAL,
            Err(refusal) if may_pass(refusal.reason()) => WANTED_RETRY,
            Err(refusal) => {
                tracing::warn!(reason = refusal.reason(), "the wanted model could not be started");
                if self.wanted.wish().is_some_and(|present| present == *wish) {
                    self.wanted.asked(&wish.model, store.supervisor_pid);
                }
                WANTED_INTERVAL
            }
        }
    }
}

/// Whether a refusal says "not yet": anything else is not asked of the same supervisor again.
fn may_pass(reason: &str) -> bool {
    const MAY_PASS: [Reason; 9] = [
        Reason::NotProvisioned,
        Reason::NotSignedIn,
        Reason::CatalogUnreachable,
        Reason::TokenExchangeFailed,
        Reason::InvalidTokenResponse,
        Reason::KeychainLocked,
        Reason::KeychainUnavailable,
        Reason::UnknownArtifact,
        Reason::SupervisorUnreachable,
    ];
    MAY_PASS.iter().any(|passing| passing.as_str() == reason)
}

/// The model, which must be one and be provisioned, and the newest provisioned runtime.
fn to_start<'a>(
    catalog: &'a Catalog,
    id: &str,
    store: &StoreView,
) -> Result<(&'a CatalogEntry, &'a CatalogEntry), Reason> {
    let model = catalog.get(id)?;
    if !model.is_model() {
        return Err(Reason::UnknownArtifact);
    }
    if !store.has(model) {
        return Err(Reason::NotProvisioned);
    }
    Ok((model, catalog.newest_runtime(OS, ARCH, store.provisioned())?))
}

fn expected(entry: &CatalogEntry) -> Expected {
    let mut hosts: Vec<_> = entry.urls.iter().filter_map(|url| host_of(url)).collect();
    hosts.dedup();
    Expected { id: entry.id.clone(), size_bytes: entry.size_bytes, hosts }
}

fn host_of(url: &str) -> Option<String> {
    Some(Url::parse(url).ok()?.host_str()?.to_owned())
}

fn joined(entry: &CatalogEntry, store: &StoreView) -> v1::CatalogEntry {
    let mut said = v1::CatalogEntry {
        id: entry.id.clone(),
        size_bytes: entry.size_bytes,
        license: entry.license.clone(),
        provisioned: store.has(entry),
        running: entry.is_model() && entry.id == store.running_model,
        suits_this_machine: entry.suits(OS, ARCH),
        ..v1::CatalogEntry::default()
    };
    match entry.details.clone() {
        Details::Model { context_length, architecture, quantization } => {
            said.set_kind(v1::Kind::Model);
            (said.context_length, said.architecture) = (context_length, architecture);
            said.quantization = quantization;
        }
        Details::Runtime { os, arch, version, .. } => {
            said.set_kind(v1::Kind::Runtime);
            (said.os, said.arch, said.version) = (os, arch, version);
        }
    }
    said
}

/// The next event; a stream that ends before its last event broke off.
async fn next<T>(stream: &mut Streaming<T>) -> Result<T, Refusal> {
    match stream.message().await {
        Ok(Some(event)) => Ok(event),
        Ok(None) => Err(Reason::SupervisorUnreachable.into()),
        Err(status) => Err(Refusal::of_supervisor(&status)),
    }
}

async fn say_how_it_ended(outcome: Result<(), Refusal>, events: &Events) {
    if let Err(refusal) = outcome {
        tracing::warn!(reason = refusal.reason(), "the work was refused");
        say(Said::Failed(Failed { reason: refusal.reason().to_owned() }), events).await;
    }
}

/// That nobody listens any more is no fault.
async fn say(event: Said, events: &Events) {
    let _ = events.send(Ok(WorkEvent { event: Some(event) })).await;
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
