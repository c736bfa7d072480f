use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use authority_api::v1::WorkEvent;
use authority_api::v1::work_event::Event as Said;
use authority_core::catalog::{HostName, UntrustedTarget, judge};
use hyper_util::rt::TokioIo;
use peer_socket::MonitorError;
use runtime_api::v1::runtime_control_server::{RuntimeControl, RuntimeControlServer};
use runtime_api::v1::{
    Artifact, Failed, ListStoreRequest, ListStoreResponse, Progress, ProvisionEvent, Ready,
    RemoveRequest, RemoveResponse, StartEvent, StartRequest, Starting, StopRequest, StopResponse,
    Verified, VerifyResponse, provision_event, start_event,
};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Request, Response, Status};

use super::Work;
use crate::catalog::Catalogs;
use crate::keychain::memory::MemoryStore;
use crate::session::Sessions;
use crate::store_view::Supervisor;
use crate::testing::Gateway;
use crate::wanted::{Wanted, Wish};

const MODEL: [u8; 32] = [1; 32];
const OLD_RUNTIME: [u8; 32] = [2; 32];
const NEW_RUNTIME: [u8; 32] = [3; 32];

/// A stand-in for the supervisor that records what it is asked.
#[derive(Clone, Default)]
struct StandIn(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    store: Vec<String>,
    running: String,
    pid: u32,
    asked: Vec<String>,
    artifacts: Vec<Artifact>,
    provision: VecDeque<ProvisionEvent>,
    start: VecDeque<StartEvent>,
    refusal: Option<Status>,
    /// Set while a provisioning is under way; closed when its reader goes away.
    provisioning: Option<mpsc::Sender<Result<ProvisionEvent, Status>>>,
}

impl StandIn {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn note(&self, act: &str, artifacts: Vec<Artifact>) -> Result<(), Status> {
        let mut state = self.state();
        state.asked.push(act.to_owned());
        state.artifacts.extend(artifacts);
        state.refusal.clone().map_or(Ok(()), Err)
    }

    fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }
}

#[tonic::async_trait]
impl RuntimeControl for StandIn {
    type ProvisionStream = ReceiverStream<Result<ProvisionEvent, Status>>;
    type StartStream = ReceiverStream<Result<StartEvent, Status>>;

    async fn provision(
        &self,
        request: Request<Artifact>,
    ) -> Result<Response<Self::ProvisionStream>, Status> {
        self.note("provision", vec![request.into_inner()])?;
        let (sender, stream) = mpsc::channel(16);
        for event in self.state().provision.drain(..) {
            sender.try_send(Ok(event)).unwrap();
        }
        self.state().provisioning = Some(sender);
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn start(
        &self,
        request: Request<StartRequest>,
    ) -> Result<Response<Self::StartStream>, Status> {
        let request = request.into_inner();
        self.note("start", request.model.into_iter().chain(request.runtime).collect())?;
        let (sender, stream) = mpsc::channel(16);
        for event in self.state().start.drain(..) {
            sender.try_send(Ok(event)).unwrap();
        }
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn stop(&self, _: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        self.note("stop", Vec::new())?;
        Ok(Response::new(StopResponse {}))
    }

    async fn remove(
        &self,
        request: Request<RemoveRequest>,
    ) -> Result<Response<RemoveResponse>, Status> {
        self.note(&format!("remove {}", request.into_inner().sha256), Vec::new())?;
        Ok(Response::new(RemoveResponse { freed_bytes: 10 }))
    }

    async fn verify(&self, request: Request<Artifact>) -> Result<Response<VerifyResponse>, Status> {
        self.note("verify", vec![request.into_inner()])?;
        Ok(Response::new(VerifyResponse {}))
    }

    async fn list_store(
        &self,
        _: Request<ListStoreRequest>,
    ) -> Result<Response<ListStoreResponse>, Status> {
        let state = self.state();
        Ok(Response::new(ListStoreResponse {
            sha256: state.store.clone(),
            running_model_id: state.running.clone(),
            supervisor_pid: state.pid,
        }))
    }
}

async fn channel(stand_in: StandIn) -> Channel {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let incoming = tokio_stream::once(Ok::<DuplexStream, std::io::Error>(server));
    tokio::spawn(
        Server::builder()
            .add_service(RuntimeControlServer::new(stand_in))
            .serve_with_incoming(incoming),
    );
    let client = Mutex::new(Some(client));
    let connector = tower::service_fn(move |_: Uri| {
        let client = client.lock().unwrap().take();
        async move { client.map(TokioIo::new).ok_or(MonitorError::Gone) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap()
}

struct Stand {
    work: Arc<Work>,
    wanted: Arc<Wanted>,
    supervisor: StandIn,
    _dir: tempfile::TempDir,
}

fn runtime(id: &str, version: &str) -> Value {
    json!({"kind": "runtime", "id": id, "urls": ["https://models.test/r"], "license": "MIT",
           "os": super::OS, "arch": super::ARCH, "version": version})
}

async fn stand(configured: &str) -> Stand {
    let model = json!({"kind": "model", "id": "m", "urls": ["https://models.test/m"],
        "license": "MIT", "context_length": 1, "architecture": "a", "quantization": "q"});
    let targets = [
        (MODEL, model),
        (OLD_RUNTIME, runtime("old", "b9999")),
        (NEW_RUNTIME, runtime("new", "b11434")),
    ];
    let untrusted = targets.iter().map(|(sha256, custom)| UntrustedTarget {
        name: "target",
        length: 10,
        sha256: sha256.as_slice(),
        custom: custom.clone(),
    });
    let catalog = judge(untrusted, Some(&HostName::of_pair("g.test:1").unwrap()), &[]).unwrap();

    let supervisor = StandIn::default();
    supervisor.state().pid = 1;
    let gateway = Gateway::start(|_| panic!("asked"));
    let sessions = Sessions::new("", MemoryStore::default().keychain(), gateway.https());
    let hosts = ["models.test:443".to_owned(), "mirror.test:8443".to_owned()];
    let client = Supervisor::new(channel(supervisor.clone()).await, &hosts);
    let dir = tempfile::tempdir().unwrap();
    let wanted = Wanted::new(dir.path(), "start", configured);
    let catalogs = Catalogs::holding(catalog, false, sessions);
    let work = Work::new(catalogs, client, Arc::clone(&wanted));
    Stand { work, wanted, supervisor, _dir: dir }
}

impl Stand {
    fn provisioned(&self) {
        let all = [MODEL, OLD_RUNTIME, NEW_RUNTIME].map(hex::encode);
        self.supervisor.state().store = all.to_vec();
    }

    fn starts(&self, events: impl IntoIterator<Item = start_event::Event>) {
        let events = events.into_iter().map(|event| StartEvent { event: Some(event) });
        self.supervisor.state().start = events.collect();
    }

    async fn start(&self, id: &str) -> Vec<Said> {
        let (events, stream) = mpsc::channel(16);
        Arc::clone(&self.work).start(id.to_owned(), events).await;
        said(stream).await
    }

    async fn pull(&self, id: &str) -> Vec<Said> {
        let (events, stream) = mpsc::channel(16);
        Arc::clone(&self.work).pull(id.to_owned(), events).await;
        said(stream).await
    }
}

async fn said(mut stream: mpsc::Receiver<Result<WorkEvent, Status>>) -> Vec<Said> {
    let mut events = Vec::new();
    while let Some(event) = stream.recv().await {
        events.push(event.unwrap().event.unwrap());
    }
    events
}

fn failed(reason: &str) -> Vec<Said> {
    vec![Said::Failed(authority_api::v1::Failed { reason: reason.to_owned() })]
}

fn starting() -> start_event::Event {
    start_event::Event::Starting(Starting {})
}

fn ready() -> start_event::Event {
    start_event::Event::Ready(Ready {})
}

#[tokio::test]
async fn a_pull_hands_over_plain_values_and_relays_how_it_goes() {
    let stand = stand("").await;
    let progress = Progress {
        received_bytes: 5,
        total_bytes: 20,
        bytes_per_second: 7,
        seconds_left: Some(3),
        waiting: true,
    };
    stand.supervisor.state().provision = VecDeque::from([
        ProvisionEvent { event: Some(provision_event::Event::Progress(progress)) },
        ProvisionEvent { event: Some(provision_event::Event::Verified(Verified {})) },
    ]);
    let events = stand.pull("m").await;
    let relayed = authority_api::v1::Progress {
        id: "m".to_owned(),
        received_bytes: 5,
        total_bytes: 20,
        bytes_per_second: 7,
        seconds_left: Some(3),
        waiting: true,
    };
    assert!(matches!(&events[..], [Said::Expected(e), Said::Progress(p), Said::Verified(v)]
        if e.id == "m" && e.size_bytes == 10 && e.hosts == ["models.test"]
            && *p == relayed && v.id == "m"));
    let artifact = stand.supervisor.state().artifacts.pop().unwrap();
    assert_eq!(artifact.sha256, hex::encode(MODEL));
    assert_eq!((artifact.id.as_str(), artifact.size_bytes), ("m", 10));
    assert_eq!(artifact.urls, ["https://models.test/m"]);
    let sources = ["https://models.test:443/", "https://mirror.test:8443/"];
    assert_eq!(artifact.allowed_sources, sources);
}

#[tokio::test]
async fn a_verification_is_asked_by_the_catalog_s_values_and_its_refusal_passes() {
    let stand = stand("").await;
    assert_eq!(stand.work.verify("m").await, Ok(()));
    let artifact = stand.supervisor.state().artifacts.pop().unwrap();
    assert_eq!((artifact.sha256, artifact.size_bytes), (hex::encode(MODEL), 10));
    stand.supervisor.state().refusal = Some(Status::data_loss("digest_mismatch"));
    assert_eq!(stand.work.verify("m").await.unwrap_err().reason(), "digest_mismatch");
    assert_eq!(stand.work.verify("none").await.unwrap_err().reason(), "unknown_artifact");
    assert_eq!(stand.supervisor.asked(), ["verify", "verify"]);
}

#[tokio::test]
async fn an_unknown_id_is_never_asked_of_the_supervisor() {
    let stand = stand("").await;
    assert_eq!(stand.pull("../x").await, failed("unknown_artifact"));
    assert_eq!(stand.start("none").await, failed("unknown_artifact"));
    assert_eq!(stand.start("new").await, failed("unknown_artifact"), "a runtime is no model");
    assert_eq!(stand.work.remove("none").await.unwrap_err().reason(), "unknown_artifact");
    assert_eq!(stand.supervisor.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn the_supervisor_s_refusals_pass_and_a_broken_stream_is_one() {
    let stand = stand("").await;
    let mismatch = provision_event::Event::Failed(Failed { reason: "digest_mismatch".to_owned() });
    stand.supervisor.state().provision.push_back(ProvisionEvent { event: Some(mismatch) });
    assert_eq!(stand.pull("m").await[1..], failed("digest_mismatch"));
    stand.supervisor.state().refusal = Some(Status::failed_precondition("disk_full"));
    assert_eq!(stand.pull("m").await, failed("disk_full"));
    stand.supervisor.state().refusal = None;
    stand.provisioned();
    stand.starts([starting()]);
    let events = stand.start("m").await;
    assert_eq!(events[1..], failed("supervisor_unreachable"));
}

#[tokio::test]
async fn a_reader_who_goes_away_cancels_the_download() {
    let stand = stand("").await;
    let (events, stream) = mpsc::channel(16);
    let pull = tokio::spawn(Arc::clone(&stand.work).pull("m".to_owned(), events));
    let sender = loop {
        if let Some(sender) = stand.supervisor.state().provisioning.take() {
            break sender;
        }
        tokio::task::yield_now().await;
    };
    drop(stream);
    pull.await.unwrap();
    sender.closed().await;
}

#[tokio::test]
async fn a_start_needs_model_and_runtime_and_takes_the_newest_runtime() {
    let stand = stand("").await;
    assert_eq!(stand.start("m").await, failed("not_provisioned"));
    stand.supervisor.state().store = vec![hex::encode(MODEL)];
    assert_eq!(stand.start("m").await, failed("not_provisioned"));
    stand.provisioned();
    stand.starts([starting(), ready()]);
    let events = stand.start("m").await;
    assert!(matches!(&events[..], [Said::Starting(_), Said::Ready(r)] if r.id == "m"));
    let ids: Vec<_> = stand.supervisor.state().artifacts.iter().map(|a| a.id.clone()).collect();
    assert_eq!(ids, ["m", "new"]);
    assert_eq!(stand.wanted.wish(), Some(Wish { model: "m".to_owned(), asked_of: Some(1) }));
}

#[tokio::test]
async fn what_did_not_come_up_or_was_stopped_or_removed_is_not_wanted() {
    let stand = stand("").await;
    stand.provisioned();
    stand.starts([
        starting(),
        start_event::Event::Failed(Failed { reason: "health_failed".into() }),
    ]);
    assert_eq!(stand.start("m").await[1..], failed("health_failed"));
    assert_eq!(stand.wanted.wish(), None);
    stand.wanted.asked("m", 1);
    stand.work.stop().await.unwrap();
    assert_eq!(stand.wanted.wish(), None);
    stand.wanted.asked("m", 1);
    assert_eq!(stand.work.remove("m").await, Ok(10));
    assert_eq!(stand.wanted.wish(), None);
    let removed = format!("remove {}", hex::encode(MODEL));
    assert_eq!(stand.supervisor.asked(), ["start", "stop", removed.as_str()]);
}

#[tokio::test]
async fn a_refusal_before_it_began_leaves_what_runs_wanted() {
    let stand = stand("").await;
    stand.provisioned();
    stand.wanted.asked("m", 1);
    stand.supervisor.state().refusal = Some(Status::failed_precondition("already_running"));
    assert_eq!(stand.start("m").await, failed("already_running"));
    assert!(stand.wanted.wish().is_some());
}

#[tokio::test]
async fn another_supervisor_is_asked_for_the_wanted_model_and_the_same_one_is_not() {
    let stand = stand("").await;
    stand.provisioned();
    stand.wanted.asked("m", 1);
    let see = async || stand.work.see_to(&stand.wanted.wish().unwrap()).await;
    see().await;
    assert_eq!(stand.supervisor.asked(), Vec::<String>::new());
    stand.supervisor.state().pid = 2;
    stand.starts([starting(), ready()]);
    see().await;
    see().await;
    assert_eq!(stand.supervisor.asked(), ["start"]);
    assert_eq!(stand.wanted.wish(), Some(Wish { model: "m".to_owned(), asked_of: Some(2) }));
}

#[tokio::test]
async fn the_configured_model_is_started_once_it_is_provisioned() {
    let stand = stand("m").await;
    let see = async || stand.work.see_to(&stand.wanted.wish().unwrap()).await;
    see().await;
    assert_eq!(stand.supervisor.asked(), Vec::<String>::new());
    stand.provisioned();
    stand.starts([starting(), ready()]);
    see().await;
    see().await;
    assert_eq!(stand.supervisor.asked(), ["start"]);
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_asked_again() {
    let stand = stand("m").await;
    stand.provisioned();
    stand.supervisor.state().refusal = Some(Status::failed_precondition("digest_mismatch"));
    stand.work.see_to(&stand.wanted.wish().unwrap()).await;
    stand.work.see_to(&stand.wanted.wish().unwrap()).await;
    assert_eq!(stand.supervisor.asked(), ["start"]);
}

#[tokio::test]
async fn the_list_says_what_is_there_what_runs_and_what_suits() {
    let stand = stand("").await;
    stand.supervisor.state().store = vec![hex::encode(MODEL)];
    stand.supervisor.state().running = "m".to_owned();
    let list = stand.work.list().await.unwrap();
    let of = |id: &str| list.iter().find(|entry| entry.id == id).unwrap();
    assert!(of("m").provisioned && of("m").running && !of("m").suits_this_machine);
    assert!(!of("new").provisioned && !of("new").running && of("new").suits_this_machine);
    assert_eq!((of("m").quantization.as_str(), of("new").version.as_str()), ("q", "b11434"));
}
