//! A runtime that sleeps: who comes waits in the queue and has it woken, and `available` says so.

use std::future::pending;
use std::time::Duration;

use runtime_api::v1::health_report::Demand;
use runtime_api::v1::{HealthReport, Lifecycle, RuntimeFacts};
use tokio::time::{Instant, timeout};

use super::health::{FollowStream, next_stream, supervisor, until_missing};
use super::{CHAT, Client, House, Section, nobody, ready_facts};
use crate::demand::RuntimeDemand;
use crate::follow;
use frontdoor_core::admission::Counts;
use frontdoor_core::client::ClientId;

const IDLE: Duration = Duration::from_secs(60);

fn asleep(lifecycle: Lifecycle, generation: u64) -> RuntimeFacts {
    RuntimeFacts {
        lifecycle: lifecycle.into(),
        asleep: true,
        model_verified: false,
        runtime_verified: false,
        resources: None,
        ..ready_facts(generation)
    }
}

/// A house that follows a runtime that sleeps.
async fn sleeping(section: Section) -> (House, FollowStream) {
    let (channel, mut supervisor) = supervisor();
    let house = House::build(section, channel, IDLE.as_secs()).await;
    house.door.tell_facts(None);
    tokio::spawn(follow::follow(house.door.clone()));
    let stream = next_stream(&mut supervisor).await;
    stream.say(asleep(Lifecycle::Stopped, 1)).await;
    let all = ["model_unverified", "runtime_unverified", "not_ready", "health_stale", "asleep"];
    until_missing(&house, &all).await;
    (house, stream)
}

async fn send_chat(house: &House) -> Client {
    let mut client = house.connect().await;
    client.send(house.post(CHAT, "{}")).await;
    client
}

fn wants(report: &HealthReport) -> (Demand, u64) {
    (report.demand(), report.generation)
}

#[tokio::test]
async fn a_request_has_it_woken_waits_in_the_queue_and_is_answered() {
    let (mut house, mut stream) = sleeping(Section::default()).await;
    let mut client = send_chat(&house).await;
    house.counts(0, 1).await;
    assert_eq!(wants(&stream.next_report().await), (Demand::Wanted, 1));
    for waking in [asleep(Lifecycle::Stopped, 1), asleep(Lifecycle::Starting, 2)] {
        stream.say(waking).await;
        assert!(!house.door.availability().is_available());
    }
    let another = send_chat(&house).await;
    house.counts(0, 2).await;
    assert!(house.was_never_dialled(), "nothing reaches it before it is ready");
    drop(another);
    house.counts(0, 1).await;
    stream.say(ready_facts(2)).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.answer("well rested").await;
    assert_eq!(client.answer().await.body, "well rested");
}

/// Its turn has come, and before it sees that, the runtime sleeps.
#[tokio::test]
async fn who_is_called_as_the_runtime_falls_asleep_waits_on_and_is_answered() {
    let section = Section { max_in_flight: 1, ..Section::default() };
    let mut house = House::build(section, nobody(), IDLE.as_secs()).await;
    let held = house.door.queue.admit(ClientId::UNNAMED, pending()).await.expect("free");
    let mut client = send_chat(&house).await;
    house.counts(1, 1).await;
    drop(held);
    house.door.tell_facts(Some(asleep(Lifecycle::Stopped, 1)));
    house.counts(0, 1).await;
    house.door.tell_facts(Some(ready_facts(2)));
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.answer("well rested").await;
    assert_eq!(client.answer().await.body, "well rested");
}

#[tokio::test]
async fn the_wait_is_bounded_as_every_wait_in_the_queue() {
    let bounds = Section { queue_timeout_s: 1, queue_bound: 1, ..Section::default() };
    let (house, _stream) = sleeping(bounds).await;
    let mut waits = send_chat(&house).await;
    house.counts(0, 1).await;
    let refused = house.ask(&house.post(CHAT, "{}")).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "queue_full"));
    let answer = waits.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "queue_timeout"));
    house.counts(0, 0).await;
}

#[tokio::test]
async fn who_waits_for_one_that_does_not_come_back_is_told_so_at_once() {
    let (house, stream) = sleeping(Section::default()).await;
    let mut waits = send_chat(&house).await;
    house.counts(0, 1).await;
    let failed = RuntimeFacts { asleep: false, ..asleep(Lifecycle::Stopped, 2) };
    stream.say(failed).await;
    let answer = waits.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));

    stream.say(asleep(Lifecycle::Stopped, 2)).await;
    until_missing(
        &house,
        &["model_unverified", "runtime_unverified", "not_ready", "health_stale", "asleep"],
    )
    .await;
    let mut waits = send_chat(&house).await;
    house.counts(0, 1).await;
    drop(stream);
    let answer = waits.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
}

#[tokio::test]
async fn asking_for_health_status_or_figures_wakes_nobody() {
    let (mut house, mut stream) = sleeping(Section::default()).await;
    let health = house.ask(&house.get("/health")).await;
    assert_eq!((health.status, health.code().as_str()), (503, "not_ready"));
    for path in ["/companion/v1/status", "/metrics"] {
        assert_eq!(house.ask(&house.get(path)).await.status, 200);
    }
    assert_eq!(house.door.queue.counts(), Counts::default());
    // The first report of all is of the first request for the runtime.
    let _client = send_chat(&house).await;
    let report = stream.next_report().await;
    assert_eq!((wants(&report), report.in_flight), ((Demand::Wanted, 1), 0));
    assert!(house.was_never_dialled());
}

#[tokio::test(start_paused = true)]
async fn it_is_idle_when_nobody_ran_or_waited_for_so_long() {
    let house = House::build(Section::default(), nobody(), IDLE.as_secs()).await;
    let mut demand = RuntimeDemand::new(&house.door);
    let slot = || house.door.queue.admit(ClientId::UNNAMED, pending());
    tokio::time::sleep(IDLE * 3).await;
    let mut since = Instant::now();
    demand.hear(&ready_facts(4));
    assert_eq!(demand.is_clear().await, (4, Demand::Idle));
    assert!(since.elapsed() >= IDLE && since.elapsed() < IDLE + IDLE / 60, "counted from ready on");
    demand.tell(4, Demand::Idle);
    demand.hear(&ready_facts(4));

    since = Instant::now();
    assert!(timeout(IDLE / 2, demand.is_clear()).await.is_err(), "told once, not without end");
    drop(slot().await.expect("free"));
    assert!(
        timeout(IDLE * 9 / 10, demand.is_clear()).await.is_err(),
        "the shortest request counts"
    );
    let held = slot().await.expect("free");
    assert!(timeout(IDLE * 10, demand.is_clear()).await.is_err(), "somebody runs");
    drop(held);
    let left = Instant::now();
    assert_eq!(demand.is_clear().await, (4, Demand::Idle));
    assert!(left.elapsed() >= IDLE && left.elapsed() < IDLE + IDLE / 60);
    assert!(since.elapsed() > IDLE * 11);
}

#[tokio::test(start_paused = true)]
async fn without_the_setting_nothing_is_ever_idle() {
    let house = House::with_supervisor(Section::default(), nobody()).await;
    let mut demand = RuntimeDemand::new(&house.door);
    demand.hear(&ready_facts(1));
    assert!(timeout(IDLE * 10_000, demand.is_clear()).await.is_err());
}
