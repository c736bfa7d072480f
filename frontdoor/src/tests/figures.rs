//! What `/metrics` tells is what happened: every request once, in its place, with its times.

use std::time::{Duration, Instant};

use runtime_api::v1::health_report::Outcome;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::{CHAT, Client, DialError, Dialling, House, LIMIT, Section, TOKEN};
use crate::{metrics, status};

const OK: &str = r#"frontdoor_requests_total{route="/v1/chat/completions",reason="ok"}"#;

/// The value of a sample, by its name and labels.
fn value(house: &House, sample: &str) -> Option<String> {
    let page = metrics::render(&house.door);
    page.lines().find_map(|line| Some(line.strip_prefix(sample)?.strip_prefix(' ')?.to_owned()))
}

/// The same as a count; 0 where there is none.
fn count(house: &House, sample: &str) -> u64 {
    value(house, sample).map_or(0, |value| value.parse().expect("a count"))
}

/// All outcomes, and the ends of requests, which are as many.
fn decided_and_ended(house: &House) -> (u64, u64) {
    let page = metrics::render(&house.door);
    let samples = page.lines().filter(|line| line.starts_with("frontdoor_requests_total{"));
    let decided = samples.map(|line| {
        let (_, count) = line.rsplit_once(' ').expect("a sample");
        count.parse::<u64>().expect("a count")
    });
    (decided.sum(), count(house, "frontdoor_duration_seconds_count"))
}

fn outcome(house: &House, reason: &str) -> u64 {
    count(house, &OK.replace("\"ok\"", &format!("{reason:?}")))
}

async fn asking(house: &House) -> Client {
    let mut client = house.connect().await;
    client.send(house.post(CHAT, "{}")).await;
    client
}

#[tokio::test]
async fn every_request_counts_once_whatever_becomes_of_it() {
    let mut house = House::with(Section { max_in_flight: 1, ..Section::default() }).await;
    let first = asking(&house).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    let second = asking(&house).await;
    house.counts(1, 1).await;
    drop(second);
    house.counts(1, 0).await;
    assert_eq!(outcome(&house, "client_left"), 1, "it left the queue");
    drop(first);
    assert!(runtime.is_abandoned().await);
    house.counts(0, 0).await;
    assert_eq!(outcome(&house, "client_left"), 2, "it left the runtime");

    *house.dial.lock().expect("not poisoned") = Dialling::Panics;
    assert!(asking(&house).await.is_ended().await);
    assert_eq!(outcome(&house, "panicked"), 1);
    assert_eq!(house.ask(&house.get("/v1/models").replace(TOKEN, "x")).await.status, 401);

    let mut cut = asking(&house).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.begin_stream().await;
    runtime.chunk("data: 1\n\n").await;
    cut.until("data: 1").await;
    drop(runtime);
    assert!(!cut.answer().await.is_whole);
    house.counts(0, 0).await;
    let mut left = asking(&house).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.begin_stream().await;
    left.until("event-stream").await;
    drop(left);
    assert!(runtime.is_abandoned().await);
    house.counts(0, 0).await;
    assert_eq!(outcome(&house, "ok"), 2, "their answers had begun");
    assert_eq!(decided_and_ended(&house), (6, 6));
}

#[tokio::test]
async fn a_runtime_that_is_not_reached_or_breaks_off_is_an_error_of_the_upstream() {
    let mut house = House::ready().await;
    let mut wanted = 0;
    for error in [DialError::NotThere, DialError::PathBroken] {
        *house.dial.lock().expect("not poisoned") = Dialling::Fails(error);
        assert_eq!(house.ask(&house.post(CHAT, "{}")).await.status, 502);
        wanted += 1;
        assert_eq!(count(&house, "frontdoor_upstream_errors_total"), wanted, "{error:?}");
    }
    *house.dial.lock().expect("not poisoned") = Dialling::Works;
    for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"] {
        let mut client = asking(&house).await;
        let mut runtime = house.runtime().await;
        runtime.request().await;
        runtime.say(said).await;
        if said.ends_with("half") {
            client.until("half").await;
        }
        drop(runtime);
        let answer = client.answer().await;
        assert!(answer.status == 502 || !answer.is_whole, "{answer:?}");
        wanted += 1;
        assert_eq!(count(&house, "frontdoor_upstream_errors_total"), wanted, "{said:?}");
    }
}

#[tokio::test]
async fn who_runs_who_waits_and_what_is_known_of_the_runtime_are_told_as_they_are() {
    let mut house = House::with(Section { max_in_flight: 1, ..Section::default() }).await;
    assert_eq!(count(&house, "frontdoor_available"), 0);
    let run = house.door.run().expect("a runtime");
    house.door.tell_health(run, Outcome::Healthy);
    let mut facts = super::ready_facts(1);
    let seen = facts.resources.as_mut().expect("some");
    (seen.ram_bytes, seen.vram_bytes, seen.cpu_percent) = (11, 12, 13.5);
    house.door.tell_facts(Some(facts));
    let mut first = asking(&house).await;
    let mut runtime = house.runtime().await;
    let waiting = [asking(&house).await, asking(&house).await];
    house.counts(1, 2).await;
    let page = metrics::render(&house.door);
    for line in [
        "frontdoor_connections 3",
        "frontdoor_in_flight 1",
        "frontdoor_queued 2",
        "frontdoor_available 1",
        "runtime_resident_bytes 11",
        "runtime_gpu_bytes 12",
        "runtime_cpu_percent 13.5",
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "{line} is not in\n{page}");
    }
    assert!(page.contains("\nfrontdoor_health_age_milliseconds "), "{page}");
    let told = status::message(&house.door);
    assert_eq!((told.in_flight, told.queued), (1, 2));

    drop(waiting);
    house.counts(1, 0).await;
    runtime.request().await;
    runtime.begin_stream().await;
    for _ in 0..3 {
        runtime.chunk("data: 1\n\n").await;
    }
    runtime.say("0\r\n\r\n").await;
    assert!(first.answer().await.is_whole);
    house.counts(0, 0).await;
    assert_eq!(count(&house, "frontdoor_response_bytes_total"), 27);
    assert_eq!(status::message(&house.door).streamed_pieces, 3);
    drop(first);
    let closed = async {
        while count(&house, "frontdoor_connections") > 0 {
            yield_now().await;
        }
    };
    timeout(LIMIT, closed).await.expect("who has gone is not counted");
}

/// Two requests, the second of which waits for the first: that wait is in no other time than the
/// one for a slot and the whole one. Whatever a busy machine adds is in the test's own times too.
#[tokio::test]
async fn each_part_of_a_requests_time_is_told_apart() {
    const HELD: Duration = Duration::from_millis(100);
    let mut house = House::with(Section { max_in_flight: 1, ..Section::default() }).await;
    let first_began = Instant::now();
    let mut first = asking(&house).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    let mut second = asking(&house).await;
    house.counts(1, 1).await;
    sleep(HELD).await;
    let second_began = Instant::now();
    runtime.answer("{}").await;
    first.answer().await;
    let at_the_runtime = first_began.elapsed();
    runtime.request().await;
    runtime.answer("{}").await;
    second.answer().await;
    let at_the_runtime = (at_the_runtime + second_began.elapsed()).as_secs_f64();
    house.counts(0, 0).await;
    let sum = |name: &str| -> f64 {
        assert_eq!(count(&house, &format!("frontdoor_{name}_seconds_count")), 2, "{name}");
        let sum = value(&house, &format!("frontdoor_{name}_seconds_sum")).expect("a sum");
        sum.parse().expect("seconds")
    };
    let (admission, first_byte) = (sum("admission"), sum("first_byte"));
    assert!(admission >= HELD.as_secs_f64(), "{admission}");
    assert!(admission < first_began.elapsed().as_secs_f64(), "{admission}");
    assert!(first_byte >= HELD.as_secs_f64(), "{first_byte}");
    assert!(first_byte < at_the_runtime, "{first_byte} of {at_the_runtime}");
    assert!(sum("duration") > admission + first_byte);
}
