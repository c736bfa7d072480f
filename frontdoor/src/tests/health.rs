//! Following the supervisor, health end to end, and `available` (contract 9), with a supervisor
//! that is a stand-in: the real protocol over an in-memory pipe.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use frontdoor_core::client::ClientId;
use runtime_api::v1::health_report::{Demand, Outcome};
use runtime_api::v1::runtime_status_server::{RuntimeStatus, RuntimeStatusServer};
use runtime_api::v1::{HealthReport, Lifecycle, RuntimeFacts};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::{CHAT, DialError, Dialling, House, LIMIT, Runtime, Section, ready_facts};
use crate::door::Followed;
use crate::{follow, health, status};

/// A supervisor whose streams are in the test's hands.
pub(super) struct Supervisor {
    streams: mpsc::UnboundedReceiver<FollowStream>,
}

pub(super) struct FollowStream {
    facts: mpsc::Sender<Result<RuntimeFacts, Status>>,
    reports: Streaming<HealthReport>,
}

impl FollowStream {
    pub(super) async fn say(&self, facts: RuntimeFacts) {
        self.facts.send(Ok(facts)).await.expect("the front door listens");
    }

    pub(super) async fn next_report(&mut self) -> HealthReport {
        let message = timeout(LIMIT, self.reports.message()).await.expect("in time");
        message.expect("no error").expect("a report")
    }

    async fn report(&mut self) -> (Outcome, u64, u32) {
        let report = self.next_report().await;
        assert_eq!(report.demand(), Demand::Unspecified);
        (report.outcome(), report.generation, report.in_flight)
    }
}

struct StandIn(mpsc::UnboundedSender<FollowStream>);

#[tonic::async_trait]
impl RuntimeStatus for StandIn {
    type FollowStream = ReceiverStream<Result<RuntimeFacts, Status>>;

    async fn follow(
        &self,
        request: Request<Streaming<HealthReport>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let (facts, outgoing) = mpsc::channel(16);
        let stream = FollowStream { facts, reports: request.into_inner() };
        self.0.send(stream).map_err(|_| Status::unavailable("gone"))?;
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

/// A channel that leads to the stand-in, each connection a pipe of its own.
pub(super) fn supervisor() -> (Channel, Supervisor) {
    let (streams, opened) = mpsc::unbounded_channel();
    let (dialled, accepted) = mpsc::unbounded_channel::<Result<DuplexStream, std::io::Error>>();
    tokio::spawn(
        Server::builder()
            .add_service(RuntimeStatusServer::new(StandIn(streams)))
            .serve_with_incoming(UnboundedReceiverStream::new(accepted)),
    );
    let dialled = Arc::new(Mutex::new(dialled));
    let connector = tower::service_fn(move |_: http::Uri| {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        drop(dialled.lock().expect("not poisoned").send(Ok(theirs)));
        async move { Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(ours)) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    (endpoint.connect_with_connector_lazy(connector), Supervisor { streams: opened })
}

/// A house that follows the stand-in and probes; nothing is known yet.
async fn following() -> (House, Supervisor, FollowStream) {
    let (channel, mut supervisor) = supervisor();
    let mut house = House::with_supervisor(Section::default(), channel).await;
    house.door.tell_facts(None);
    tokio::spawn(follow::follow(house.door.clone()));
    let credential = house.credential.take().expect("not yet used");
    tokio::spawn(health::probe_on(house.door.clone(), credential));
    let stream = next_stream(&mut supervisor).await;
    (house, supervisor, stream)
}

pub(super) async fn next_stream(supervisor: &mut Supervisor) -> FollowStream {
    timeout(LIMIT, supervisor.streams.recv()).await.expect("in time").expect("followed")
}

pub(super) async fn until_missing(house: &House, wanted: &[&str]) {
    let mut changes = house.door.changes();
    let holds = async {
        while status::message(&house.door).missing != wanted {
            changes.changed().await.expect("the door is there");
        }
    };
    let now = || status::message(&house.door).missing;
    timeout(LIMIT, holds).await.unwrap_or_else(|_| panic!("missing: {:?}", now()));
}

async fn answer_health(house: &mut House) -> Runtime {
    let mut runtime = house.runtime().await;
    let (head, _) = runtime.request().await;
    assert!(head.starts_with("GET /health HTTP/1.1\r\n"), "{head}");
    runtime.answer(r#"{"status":"ok"}"#).await;
    runtime
}

#[tokio::test]
async fn a_new_ready_runtime_is_probed_at_once_end_to_end_and_makes_it_available() {
    let (mut house, _supervisor, mut stream) = following().await;
    let unreachable = [
        "supervisor_unreachable",
        "model_unverified",
        "runtime_unverified",
        "not_ready",
        "health_stale",
    ];
    until_missing(&house, &unreachable).await;
    stream.say(RuntimeFacts { lifecycle: Lifecycle::Starting.into(), ..ready_facts(3) }).await;
    until_missing(&house, &["not_ready", "health_stale"]).await;
    stream.say(ready_facts(3)).await;
    until_missing(&house, &["health_stale"]).await;
    answer_health(&mut house).await;
    until_missing(&house, &[]).await;
    assert_eq!(stream.report().await, (Outcome::Healthy, 3, 0));
    let now = status::message(&house.door);
    assert!(now.available && now.lane == "local" && now.health_age_ms.is_some());
}

#[tokio::test]
async fn a_runtime_that_answers_wrongly_is_reported_as_its_own_failure() {
    for said in [
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
        "nonsense",
        "",
    ] {
        let (mut house, _supervisor, mut stream) = following().await;
        stream.say(ready_facts(1)).await;
        let mut runtime = house.runtime().await;
        runtime.request().await;
        runtime.say(said).await;
        drop(runtime);
        assert_eq!(stream.report().await, (Outcome::RuntimeFailed, 1, 0), "{said:?}");
        until_missing(&house, &["health_stale"]).await;
    }
}

#[tokio::test]
async fn a_runtime_that_pretends_to_be_the_front_door_does_not_shift_its_blame() {
    let (mut house, _supervisor, mut stream) = following().await;
    stream.say(ready_facts(1)).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    let body = r#"{"error":{"type":"companion_error","code":"path_failed"}}"#;
    let length = body.len();
    runtime.say(&format!("HTTP/1.1 502 X\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    assert_eq!(stream.report().await.0, Outcome::RuntimeFailed);
}

#[tokio::test]
async fn a_runtime_that_cannot_be_dialled_has_failed_and_a_broken_path_has_not() {
    let cases = [
        (DialError::NotThere, Outcome::RuntimeFailed),
        (DialError::PathBroken, Outcome::PathFailed),
    ];
    for (error, outcome) in cases {
        let (house, _supervisor, mut stream) = following().await;
        *house.dial.lock().expect("not poisoned") = Dialling::Fails(error);
        stream.say(ready_facts(1)).await;
        assert_eq!(stream.report().await.0, outcome);
    }
}

#[tokio::test]
async fn the_success_of_one_runtime_says_nothing_of_the_next() {
    let (mut house, _supervisor, mut stream) = following().await;
    stream.say(ready_facts(1)).await;
    answer_health(&mut house).await;
    until_missing(&house, &[]).await;
    stream.say(ready_facts(2)).await;
    until_missing(&house, &["health_stale"]).await;
    answer_health(&mut house).await;
    until_missing(&house, &[]).await;
    assert_eq!(stream.report().await, (Outcome::Healthy, 1, 0));
    assert_eq!(stream.report().await, (Outcome::Healthy, 2, 0));
}

#[tokio::test]
async fn the_loss_of_the_supervisor_is_the_end_of_available_at_once_and_it_comes_back() {
    let (mut house, mut supervisor, mut stream) = following().await;
    stream.say(ready_facts(1)).await;
    answer_health(&mut house).await;
    until_missing(&house, &[]).await;
    stream.report().await;
    let mut lost = house.door.facts();
    drop(stream);
    let gone = lost.wait_for(Option::is_none);
    drop(timeout(LIMIT, gone).await.expect("in time").expect("there"));
    assert!(!house.door.availability().is_available());
    let stream = next_stream(&mut supervisor).await;
    stream.say(ready_facts(1)).await;
    // A new supervisor counts its runtimes anew: the old success is not this one's.
    until_missing(&house, &["health_stale"]).await;
    answer_health(&mut house).await;
    until_missing(&house, &[]).await;
}

#[tokio::test]
async fn each_loss_alone_ends_available() {
    let (mut house, _supervisor, stream) = following().await;
    stream.say(ready_facts(1)).await;
    answer_health(&mut house).await;
    until_missing(&house, &[]).await;
    drop(house.token.take());
    until_missing(&house, &["token_digest_unset"]).await;
    stream.say(RuntimeFacts { lifecycle: Lifecycle::Draining.into(), ..ready_facts(1) }).await;
    until_missing(&house, &["not_ready", "token_digest_unset"]).await;
    house.door.leave();
    until_missing(&house, &["not_ready", "token_digest_unset", "shutting_down"]).await;
    house.stop.cancel();
    let all = ["not_ready", "listener_unbound", "token_digest_unset", "shutting_down"];
    until_missing(&house, &all).await;
}

#[tokio::test]
async fn while_draining_the_supervisor_hears_how_many_requests_are_left() {
    let (mut house, _supervisor, mut stream) = following().await;
    stream.say(ready_facts(1)).await;
    answer_health(&mut house).await;
    assert_eq!(stream.report().await, (Outcome::Healthy, 1, 0));
    let mut clients = Vec::new();
    let mut runtimes = Vec::new();
    for _ in 0..2 {
        let mut client = house.connect().await;
        client.send(house.post(CHAT, "{}")).await;
        clients.push(client);
        runtimes.push(house.runtime().await);
    }
    stream.say(RuntimeFacts { lifecycle: Lifecycle::Draining.into(), ..ready_facts(1) }).await;
    assert_eq!(stream.report().await, (Outcome::Unspecified, 1, 2), "when it begins");
    for left in [1, 0] {
        let mut runtime = runtimes.pop().expect("two");
        runtime.request().await;
        runtime.answer("{}").await;
        assert_eq!(stream.report().await, (Outcome::Unspecified, 1, left));
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn while_the_runtime_does_not_drain_no_request_wakes_who_follows_the_supervisor() {
    let house = House::ready().await;
    let mut draining = follow::Draining::new(&house.door);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut changed = pin!(draining.in_flight_changed());
    assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(house.door.queue.admit(ClientId::UNNAMED, pending()).await.expect("free"));
    assert!(!woken.0.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_silent_supervisor_is_not_believed_while_ready() {
    let (channel, mut supervisor) = supervisor();
    let house = House::with_supervisor(Section::default(), channel).await;
    house.door.tell_facts(None);
    tokio::spawn(follow::follow(house.door.clone()));
    let stream = next_stream(&mut supervisor).await;
    let mut facts = house.door.facts();
    stream.say(RuntimeFacts { lifecycle: Lifecycle::Stopped.into(), ..ready_facts(1) }).await;
    drop(facts.wait_for(Option::is_some).await.expect("there"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(facts.borrow().is_some(), "nothing changes while nothing runs");
    stream.say(ready_facts(1)).await;
    let is_ready = |followed: &Option<Followed>| {
        followed.as_ref().is_some_and(|known| known.facts.lifecycle() == Lifecycle::Ready)
    };
    drop(facts.wait_for(is_ready).await.expect("there"));
    let since = tokio::time::Instant::now();
    drop(facts.wait_for(Option::is_none).await.expect("there"));
    assert!(since.elapsed() <= crate::limits::FACTS_STALE_AFTER + Duration::from_millis(5));
}
