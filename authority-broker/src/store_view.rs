//! The supervisor as the broker sees it: what is in its store, and what may be asked of it. It is
//! handed plain values only.

use authority_core::Reason;
use authority_core::catalog::{CatalogEntry, Details, allowed_source};
use runtime_api::v1::runtime_control_client::RuntimeControlClient;
use runtime_api::v1::{
    Artifact, ArtifactKind, ListStoreRequest, ProvisionEvent, RemoveRequest, StartEvent,
    StartRequest, StopRequest,
};
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::limits::{SUPERVISOR_ANSWER, SUPERVISOR_STOP};
use crate::refusal::Refusal;

/// A client of the supervisor; cheap to clone.
#[derive(Clone)]
pub(crate) struct Supervisor {
    channel: Channel,
    allowed_sources: Result<Vec<String>, Reason>,
}

/// What the supervisor has.
#[derive(Debug, Default)]
pub(crate) struct StoreView {
    provisioned: Vec<String>,
    /// Catalog id of the model that is loaded or being loaded; empty: none.
    pub(crate) running_model: String,
    /// Which process answered.
    pub(crate) supervisor_pid: u32,
}

impl StoreView {
    /// Whether an entry is verified and in the store.
    pub(crate) fn has(&self, entry: &CatalogEntry) -> bool {
        self.provisioned.contains(&entry.sha256)
    }

    /// The digests that are in the store.
    pub(crate) fn provisioned(&self) -> &[String] {
        &self.provisioned
    }
}

impl Supervisor {
    /// `model_hosts`: the `host:port` pairs where bytes may come from.
    pub(crate) fn new(channel: Channel, model_hosts: &[String]) -> Self {
        let allowed_sources = model_hosts.iter().map(|pair| allowed_source(pair)).collect();
        Self { channel, allowed_sources }
    }

    /// What is in the store now.
    pub(crate) async fn store(&self) -> Result<StoreView, Refusal> {
        let mut client = self.client();
        let listed = timeout(SUPERVISOR_ANSWER, client.list_store(ListStoreRequest {}))
            .await
            .map_err(|_| Refusal::from(Reason::SupervisorUnreachable))?
            .map_err(|status| Refusal::of_supervisor(&status))?
            .into_inner();
        Ok(StoreView {
            provisioned: listed.sha256,
            running_model: listed.running_model_id,
            supervisor_pid: listed.supervisor_pid,
        })
    }

    /// Has an entry provisioned; dropping the stream cancels.
    pub(crate) async fn provision(
        &self,
        entry: &CatalogEntry,
    ) -> Result<Streaming<ProvisionEvent>, Refusal> {
        let artifact = self.artifact(entry)?;
        let answer = self.client().provision(artifact).await;
        answer.map(tonic::Response::into_inner).map_err(|status| Refusal::of_supervisor(&status))
    }

    /// Starts a model with a runtime.
    pub(crate) async fn start(
        &self,
        model: &CatalogEntry,
        runtime: &CatalogEntry,
    ) -> Result<Streaming<StartEvent>, Refusal> {
        let (model, runtime) = (self.artifact(model)?, self.artifact(runtime)?);
        let request = StartRequest { model: Some(model), runtime: Some(runtime) };
        let answer = self.client().start(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| Refusal::of_supervisor(&status))
    }

    /// Stops the runtime; waits while its streams end.
    pub(crate) async fn stop(&self) -> Result<(), Refusal> {
        timeout(SUPERVISOR_STOP, self.client().stop(StopRequest {}))
            .await
            .map_err(|_| Refusal::from(Reason::SupervisorUnreachable))?
            .map(drop)
            .map_err(|status| Refusal::of_supervisor(&status))
    }

    /// Removes an entry's file; returns the bytes freed.
    pub(crate) async fn remove(&self, entry: &CatalogEntry) -> Result<u64, Refusal> {
        let request = RemoveRequest { sha256: entry.sha256.clone() };
        timeout(SUPERVISOR_ANSWER, self.client().remove(request))
            .await
            .map_err(|_| Refusal::from(Reason::SupervisorUnreachable))?
            .map(|response| response.into_inner().freed_bytes)
            .map_err(|status| Refusal::of_supervisor(&status))
    }

    /// Has an entry's file hashed again, which takes as long as its disk needs.
    pub(crate) async fn verify(&self, entry: &CatalogEntry) -> Result<(), Refusal> {
        let artifact = self.artifact(entry)?;
        let answer = self.client().verify(artifact).await;
        answer.map(drop).map_err(|status| Refusal::of_supervisor(&status))
    }

    fn artifact(&self, entry: &CatalogEntry) -> Result<Artifact, Refusal> {
        let kind = match entry.details {
            Details::Model { .. } => ArtifactKind::Model,
            Details::Runtime { is_archive: true, .. } => ArtifactKind::RuntimeArchive,
            Details::Runtime { is_archive: false, .. } => ArtifactKind::Runtime,
        };
        Ok(Artifact {
            id: entry.id.clone(),
            kind: kind.into(),
            urls: entry.urls.clone(),
            sha256: entry.sha256.clone(),
            size_bytes: entry.size_bytes,
            allowed_sources: self.allowed_sources.clone()?,
            import: entry.import.clone(),
        })
    }

    fn client(&self) -> RuntimeControlClient<Channel> {
        RuntimeControlClient::new(self.channel.clone())
    }
}
