//! The gate: lifecycle, admission, resources (contracts 4, 5 and 9).

use super::health::until_missing;
use super::{
    CHAT, Client, DialError, Dialling, House, LIMIT, Runtime, Section, TOKEN, ready_facts,
};
use crate::metrics;
use frontdoor_core::admission::Counts;
use runtime_api::v1::{Lifecycle, RuntimeFacts};
use tokio::task::yield_now;
use tokio::time::timeout;

fn small() -> Section {
    Section { max_in_flight: 1, queue_bound: 2, ..Section::default() }
}

async fn send_chat(house: &House) -> Client {
    let mut client = house.connect().await;
    client.send(house.post(CHAT, "{}")).await;
    client
}

/// As a client of this name.
async fn send_chat_as(house: &House, name: &str) -> Client {
    let mut client = house.connect().await;
    let request = house.post(CHAT, "{}").replace(TOKEN, &format!("{TOKEN}.{name}"));
    client.send(request).await;
    client
}

async fn finish(runtime: &mut Runtime, client: &mut Client, word: &str) {
    runtime.request().await;
    runtime.answer(word).await;
    assert_eq!(client.answer().await.body, word);
}

#[tokio::test]
async fn at_both_bounds_the_next_is_refused_at_once_and_the_waiting_are_served_in_order() {
    let mut house = House::with(small()).await;
    let mut first = send_chat(&house).await;
    let mut at_runtime = house.runtime().await;
    let mut second = send_chat(&house).await;
    house.counts(1, 1).await;
    let mut third = send_chat(&house).await;
    house.counts(1, 2).await;
    let refused = house.ask(&house.post(CHAT, "{}")).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "queue_full"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("x-companion-queue-position"), Some("3"));
    refused.assert_hardened();
    assert!(house.was_never_dialled(), "one at a time");
    finish(&mut at_runtime, &mut first, "first").await;
    finish(&mut at_runtime, &mut second, "second").await;
    finish(&mut at_runtime, &mut third, "third").await;
    assert!(house.was_never_dialled(), "one after another, on one connection");
    house.counts(0, 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_frees_its_place_and_never_reaches_the_runtime() {
    let mut house = House::with(Section { queue_bound: 1, ..small() }).await;
    let mut first = send_chat(&house).await;
    let mut at_runtime = house.runtime().await;
    let gone = send_chat(&house).await;
    house.counts(1, 1).await;
    drop(gone);
    house.counts(1, 0).await;
    finish(&mut at_runtime, &mut first, "first").await;
    house.counts(0, 0).await;
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn waiting_ends_with_queue_timeout() {
    let mut house = House::with(Section { queue_timeout_s: 1, ..small() }).await;
    let _first = send_chat(&house).await;
    let _at_runtime = house.runtime().await;
    let answer = house.ask(&house.post(CHAT, "{}")).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "queue_timeout"));
    house.counts(1, 0).await;
}

#[tokio::test]
async fn who_waits_is_refused_at_once_when_the_runtime_stops() {
    let mut house = House::with(small()).await;
    let _first = send_chat(&house).await;
    let _at_runtime = house.runtime().await;
    let mut second = send_chat(&house).await;
    house.counts(1, 1).await;
    house.door.tell_facts(None);
    let answer = second.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
    house.counts(1, 0).await;
}

/// The connections of a runtime that dies are closed before anybody can say that it died.
#[tokio::test]
async fn who_gets_no_answer_from_a_runtime_that_died_hears_what_all_others_hear() {
    let mut house = House::ready().await;
    let mut asked = send_chat(&house).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    *house.dial.lock().expect("not poisoned") = Dialling::Fails(DialError::NotThere);
    let mut dials = send_chat(&house).await;
    drop(runtime);
    let until_both_failed = async {
        while !metrics::render(&house.door).contains("frontdoor_admission_seconds_count 2\n")
            || house.door.queue.counts() != Counts::default()
        {
            yield_now().await;
        }
    };
    timeout(LIMIT, until_both_failed).await.expect("in time");
    house.door.tell_facts(None);
    for client in [&mut asked, &mut dials] {
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
    }
    let page = metrics::render(&house.door);
    assert!(page.contains("\nfrontdoor_upstream_errors_total 2\n"), "{page}");
}

#[tokio::test]
async fn who_waits_is_refused_at_once_when_the_front_door_leaves_and_who_runs_is_served() {
    let mut house = House::with(small()).await;
    let mut first = send_chat(&house).await;
    let mut at_runtime = house.runtime().await;
    let mut second = send_chat(&house).await;
    house.counts(1, 1).await;
    house.door.leave();
    house.stop.cancel();
    let answer = second.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
    assert!(second.is_ended().await);
    finish(&mut at_runtime, &mut first, "first").await;
    assert!(house.was_never_dialled());
    house.serving.await.expect("the server ends by itself");
}

#[tokio::test]
async fn a_front_door_that_leaves_waits_for_its_streams_no_longer_than_the_drain_time() {
    let mut house = House::ready().await;
    let mut client = send_chat(&house).await;
    let mut endless = house.runtime().await;
    endless.request().await;
    endless.begin_stream().await;
    client.until("text/event-stream").await;
    house.door.leave();
    house.stop.cancel();
    until_missing(&house, &["listener_unbound", "health_stale", "shutting_down"]).await;
    // The clock jumps, and goes on by itself: sockets cannot wait in a time that stands.
    let jump = async |time| {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    };
    jump(house.door.plan.drain_timeout - LIMIT / 2).await;
    endless.chunk("data: 1\n\n").await;
    client.until("data: 1").await;
    assert!(!house.serving.is_finished(), "it has time left");
    jump(LIMIT / 2).await;
    timeout(LIMIT / 2, house.serving).await.expect("in time").expect("it ends");
}

#[tokio::test]
async fn only_a_ready_runtime_is_asked() {
    let mut house = House::ready().await;
    let mut not_ready = vec![None];
    for state in [Lifecycle::Unspecified, Lifecycle::Stopped, Lifecycle::Starting] {
        not_ready.push(Some(RuntimeFacts { lifecycle: state.into(), ..ready_facts(1) }));
    }
    for facts in not_ready {
        house.door.tell_facts(facts);
        let bad = house.post(CHAT, "lifecycle goes first");
        for request in [house.post(CHAT, "{}"), bad, house.get("/v1/models"), house.get("/health")]
        {
            let answer = house.ask(&request).await;
            assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
        }
    }
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn resources_over_a_limit_refuse_with_their_reason_and_give_the_slot_back() {
    let mut house = House::ready().await;
    let with = |change: fn(&mut RuntimeFacts)| {
        let mut facts = ready_facts(1);
        change(&mut facts);
        facts
    };
    let cases = [
        (with(|f| f.resources.as_mut().expect("some").ram_bytes = 101), "ram_over_limit"),
        (with(|f| f.limits.as_mut().expect("some").max_ram_bytes = 0), "malformed_limits"),
        (with(|f| f.limits = None), "malformed_limits"),
        (with(|f| f.resources.as_mut().expect("some").observed = false), "malformed_observation"),
        (with(|f| f.resources = None), "malformed_observation"),
        (
            with(|f| {
                f.limits.as_mut().expect("some").max_cpu_percent = 50.0;
                f.resources.as_mut().expect("some").cpu_percent = 51.0;
            }),
            "cpu_over_limit",
        ),
    ];
    for (facts, code) in cases {
        house.door.tell_facts(Some(facts));
        let answer = house.ask(&house.post(CHAT, "{}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, code));
        house.counts(0, 0).await;
    }
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn health_is_answered_while_every_slot_is_busy() {
    let mut house = House::with(Section { queue_bound: 1, ..small() }).await;
    let _first = send_chat(&house).await;
    let _at_runtime = house.runtime().await;
    let _second = send_chat(&house).await;
    house.counts(1, 1).await;
    let mut client = house.connect().await;
    client.send(house.get("/health")).await;
    let mut asked = house.runtime().await;
    let (head, _) = asked.request().await;
    assert!(head.starts_with("GET /health HTTP/1.1"));
    asked.answer(r#"{"anything":"the runtime says"}"#).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"ok"}"#));
}

#[tokio::test]
async fn a_greedy_client_waits_for_itself_and_a_modest_one_for_one_turn_of_its() {
    let mut house = House::with(Section { queue_bound: 3, ..small() }).await;
    let mut first = send_chat_as(&house, "greedy").await;
    let mut at_runtime = house.runtime().await;
    let mut greedy = Vec::new();
    for waiting in 1..=3 {
        greedy.push(send_chat_as(&house, "greedy").await);
        house.counts(1, waiting).await;
    }
    let mut modest = send_chat_as(&house, "modest").await;
    let lost = greedy[2].answer().await;
    assert_eq!((lost.status, lost.code().as_str()), (503, "queue_full"));
    house.counts(1, 3).await;
    finish(&mut at_runtime, &mut first, "first").await;
    finish(&mut at_runtime, &mut greedy[0], "its next").await;
    at_runtime.request().await;
    at_runtime.answer("the modest one's").await;
    let answer = modest.answer().await;
    assert_eq!(answer.body, "the modest one's");
    assert_eq!(answer.header("x-companion-queue-position"), Some("2"));
    finish(&mut at_runtime, &mut greedy[1], "and the greedy one's last").await;
    house.counts(0, 0).await;
}

#[tokio::test]
async fn the_queue_says_how_long_it_is_and_how_long_it_takes() {
    let mut house = House::with(Section { queue_bound: 1, ..small() }).await;
    assert_eq!(house.door.queue.next_wait_ms(), None, "nothing is known yet");
    let mut first = send_chat(&house).await;
    let mut at_runtime = house.runtime().await;
    // The clock jumps, and goes on by itself: sockets cannot wait in a time that stands.
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_millis(1100)).await;
    tokio::time::resume();
    at_runtime.request().await;
    at_runtime.answer("slow").await;
    let answer = first.answer().await;
    assert_eq!(answer.header("x-companion-queue-position"), Some("0"));
    house.counts(0, 0).await;
    assert_eq!(house.door.queue.next_wait_ms(), Some(0), "a slot is free");
    let _second = send_chat(&house).await;
    let _third = send_chat(&house).await;
    house.counts(1, 1).await;
    let status = house.ask(&house.get("/companion/v1/status")).await;
    let status: serde_json::Value = serde_json::from_str(&status.body).expect("JSON");
    assert!(status["queue_wait_ms"].as_u64() >= Some(2200), "two turns of it: {status}");
    let refused = house.ask(&house.post(CHAT, "{}")).await;
    let seconds: u64 = refused.header("retry-after").expect("one").parse().expect("seconds");
    assert!(seconds >= 3, "rounded up: {seconds}");
    assert_eq!(refused.header("x-companion-queue-position"), Some("2"));
}
