//! `RuntimeControl`: what the broker may have done, over `supervisor-control.sock`.

use std::sync::Arc;

use runtime_api::v1;
use runtime_api::v1::runtime_control_server::RuntimeControl;
use runtime_core::{Digest, Reason};
use tonic::{Request, Response, Status};

use crate::downloads::{Downloads, Told};
use crate::error::refusal;
use crate::limits::STREAM_QUEUE;
use crate::progress::Shown;
use crate::provision::{Wanted, judge_values};
use crate::runtime::{Handle, Job, Progress};
use crate::store::{Kind, Store};
use crate::stream::TaskStream;

/// The service behind the control socket.
pub(crate) struct Control {
    /// Where artifacts lie.
    pub(crate) store: Arc<Store>,
    /// How they get there.
    pub(crate) downloads: Downloads,
    /// `[models] hosts`.
    pub(crate) hosts: Vec<String>,
    /// The runtime.
    pub(crate) runtime: Handle,
}

#[tonic::async_trait]
impl RuntimeControl for Control {
    type ProvisionStream = TaskStream<v1::ProvisionEvent>;

    async fn provision(
        &self,
        request: Request<v1::Artifact>,
    ) -> Result<Response<Self::ProvisionStream>, Status> {
        let wanted = Wanted::judge(request.get_ref(), &self.hosts);
        let joined = wanted.map(|wanted| self.downloads.join(wanted));
        let stream = TaskStream::spawn(STREAM_QUEUE, move |events| async move {
            let outcome = match joined {
                Ok(mut watcher) => loop {
                    match watcher.next().await {
                        Told::Progress(shown) => {
                            let _ = events.send(Ok(provision_progress(shown))).await;
                        }
                        Told::Ended(outcome) => break outcome,
                    }
                },
                Err(reason) => Err(reason),
            };
            let _ = events.send(Ok(provision_end(outcome))).await;
        });
        Ok(Response::new(stream))
    }

    type StartStream = TaskStream<v1::StartEvent>;

    async fn start(
        &self,
        request: Request<v1::StartRequest>,
    ) -> Result<Response<Self::StartStream>, Status> {
        let job = judge_job(request.get_ref());
        let runtime = self.runtime.clone();
        let stream = TaskStream::spawn(STREAM_QUEUE, move |events| async move {
            let job = match job {
                Ok(job) => job,
                Err(reason) => {
                    let _ = events.send(Ok(start_event(Progress::Failed(reason)))).await;
                    return;
                }
            };
            let mut progress = runtime.start(job).await;
            while let Some(progress) = progress.recv().await {
                let is_last = progress != Progress::Starting;
                if events.send(Ok(start_event(progress))).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Response::new(stream))
    }

    async fn stop(
        &self,
        _request: Request<v1::StopRequest>,
    ) -> Result<Response<v1::StopResponse>, Status> {
        self.runtime.stop().await;
        Ok(Response::new(v1::StopResponse {}))
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveRequest>,
    ) -> Result<Response<v1::RemoveResponse>, Status> {
        let digest = Digest::parse(&request.get_ref().sha256).map_err(refusal)?;
        if self.runtime.uses(digest).await {
            return Err(refusal(Reason::InUse));
        }
        let freed_bytes = on_disk(&self.store, move |store| store.remove(digest)).await?;
        Ok(Response::new(v1::RemoveResponse { freed_bytes }))
    }

    async fn verify(
        &self,
        request: Request<v1::Artifact>,
    ) -> Result<Response<v1::VerifyResponse>, Status> {
        let (_, kind, spec) = judge_values(request.get_ref()).map_err(refusal)?;
        on_disk(&self.store, move |store| store.verify_stored(spec, kind)).await?;
        Ok(Response::new(v1::VerifyResponse {}))
    }

    async fn list_store(
        &self,
        _request: Request<v1::ListStoreRequest>,
    ) -> Result<Response<v1::ListStoreResponse>, Status> {
        let digests = on_disk(&self.store, Store::list).await?;
        let facts = self.runtime.facts();
        let running_model_id = facts.borrow().model_id.clone();
        Ok(Response::new(v1::ListStoreResponse {
            sha256: digests.iter().map(Digest::file_name).collect(),
            running_model_id,
            supervisor_pid: std::process::id(),
        }))
    }
}

async fn on_disk<T: Send + 'static>(
    store: &Arc<Store>,
    act: impl FnOnce(&Store) -> Result<T, Reason> + Send + 'static,
) -> Result<T, Status> {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || act(&store))
        .await
        .map_err(|_| refusal(Reason::StoreUnavailable))?
        .map_err(refusal)
}

fn judge_job(request: &v1::StartRequest) -> Result<Job, Reason> {
    let judge = |artifact: &Option<v1::Artifact>, expected: &[Kind]| {
        let (id, kind, spec) = judge_values(artifact.as_ref().ok_or(Reason::MalformedSpec)?)?;
        if expected.contains(&kind) { Ok((id, spec, kind)) } else { Err(Reason::MalformedSpec) }
    };
    let (model_id, model, _) = judge(&request.model, &[Kind::Model])?;
    let (runtime_id, runtime, runtime_kind) =
        judge(&request.runtime, &[Kind::Runtime, Kind::Archive])?;
    Ok(Job { model_id, runtime_id, model, runtime, runtime_kind })
}

fn provision_progress(shown: Shown) -> v1::ProvisionEvent {
    let progress = v1::Progress {
        received_bytes: shown.received,
        total_bytes: shown.total,
        bytes_per_second: shown.bytes_per_second,
        seconds_left: shown.seconds_left,
        waiting: shown.waiting,
    };
    v1::ProvisionEvent { event: Some(v1::provision_event::Event::Progress(progress)) }
}

fn provision_end(outcome: Result<(), Reason>) -> v1::ProvisionEvent {
    use v1::provision_event::Event;
    let event = match outcome {
        Ok(()) => {
            tracing::info!("provision verified");
            Event::Verified(v1::Verified {})
        }
        Err(reason) => {
            tracing::warn!(provision.reason = reason.as_str(), "provision failed");
            Event::Failed(v1::Failed { reason: reason.as_str().to_owned() })
        }
    };
    v1::ProvisionEvent { event: Some(event) }
}

fn start_event(progress: Progress) -> v1::StartEvent {
    use v1::start_event::Event;
    let event = match progress {
        Progress::Starting => Event::Starting(v1::Starting {}),
        Progress::Ready => Event::Ready(v1::Ready {}),
        Progress::Failed(reason) => {
            Event::Failed(v1::Failed { reason: reason.as_str().to_owned() })
        }
    };
    v1::StartEvent { event: Some(event) }
}
