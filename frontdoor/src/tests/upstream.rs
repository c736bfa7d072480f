//! Which connections to the runtime serve a second request, and which never do.

use super::{CHAT, Client, House, Runtime, ready_facts};

/// One request on a connection of its own, answered whole by the stand-in.
async fn ask(house: &House, runtime: &mut Runtime) {
    let mut client = asking(house).await;
    runtime.request().await;
    runtime.answer("{}").await;
    assert_eq!(client.answer().await.status, 200);
    house.counts(0, 0).await;
}

async fn asking(house: &House) -> Client {
    let mut client = house.connect().await;
    client.send(house.post(CHAT, "{}")).await;
    client
}

/// With a connection at rest.
async fn rested() -> (House, Runtime) {
    let mut house = House::ready().await;
    let mut client = asking(&house).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.answer("{}").await;
    assert_eq!(client.answer().await.status, 200);
    house.counts(0, 0).await;
    (house, runtime)
}

#[tokio::test]
async fn a_whole_answer_leaves_its_connection_to_the_next_request() {
    let (mut house, mut runtime) = rested().await;
    for _ in 0..3 {
        ask(&house, &mut runtime).await;
    }
    let mut client = asking(&house).await;
    runtime.request().await;
    runtime.begin_stream().await;
    runtime.chunk("data: 1\n\n").await;
    runtime.say("0\r\n\r\n").await;
    assert!(client.answer().await.is_whole);
    ask(&house, &mut runtime).await;
    assert!(house.was_never_dialled(), "one connection served all");
}

#[tokio::test]
async fn requests_at_one_time_never_share_a_connection() {
    let (mut house, mut first) = rested().await;
    let mut one = asking(&house).await;
    first.request().await;
    let mut two = asking(&house).await;
    let mut second = house.runtime().await;
    second.request().await;
    second.answer(r#"{"for":"two"}"#).await;
    assert!(two.answer().await.body.contains("two"));
    first.answer(r#"{"for":"one"}"#).await;
    assert!(one.answer().await.body.contains("one"));
}

#[tokio::test]
async fn a_cancelled_request_ends_its_connection() {
    let (mut house, mut runtime) = rested().await;
    let client = asking(&house).await;
    runtime.request().await;
    drop(client);
    assert!(runtime.is_abandoned().await);
    house.counts(0, 0).await;
    let _client = asking(&house).await;
    house.runtime().await.request().await;
}

#[tokio::test]
async fn a_cut_answer_is_never_asked_for_again() {
    for said in ["HTTP/1.1 200 OK\r\nContent-Le", "H", "nonsense\r\n\r\n"] {
        let (mut house, mut runtime) = rested().await;
        let mut client = asking(&house).await;
        runtime.request().await;
        runtime.say(said).await;
        drop(runtime);
        assert_eq!(client.answer().await.code(), "runtime_failed", "{said:?}");
        assert!(house.was_never_dialled(), "{said:?}");
    }
}

#[tokio::test]
async fn a_connection_that_closed_at_rest_costs_nobody_an_answer() {
    let (mut house, mut runtime) = rested().await;
    let mut client = asking(&house).await;
    // The request was taken, and not one byte of an answer came.
    runtime.request().await;
    drop(runtime);
    let mut fresh = house.runtime().await;
    fresh.request().await;
    fresh.answer("{}").await;
    assert_eq!(client.answer().await.status, 200);
    drop(fresh);
    let mut client = asking(&house).await;
    let mut fresh = house.runtime().await;
    fresh.request().await;
    drop(fresh);
    assert_eq!(client.answer().await.code(), "runtime_failed", "a fresh one is asked once");
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn what_the_runtime_says_unasked_ends_the_connection() {
    let (mut house, mut runtime) = rested().await;
    runtime.answer(r#"{"for":"nobody"}"#).await;
    let mut client = asking(&house).await;
    let mut fresh = house.runtime().await;
    fresh.request().await;
    fresh.answer(r#"{"for":"it"}"#).await;
    assert!(client.answer().await.body.contains("it"));
    assert!(runtime.is_abandoned().await);
}

#[tokio::test]
async fn another_run_of_the_runtime_gets_another_connection() {
    let (mut house, mut old) = rested().await;
    house.door.tell_facts(Some(ready_facts(2)));
    let _client = asking(&house).await;
    house.runtime().await.request().await;
    assert!(old.is_abandoned().await);
}

#[tokio::test]
async fn a_connection_at_rest_is_closed_after_a_while() {
    let (_house, mut runtime) = rested().await;
    assert!(runtime.is_abandoned().await);
}

#[tokio::test]
async fn the_health_question_has_a_connection_of_its_own() {
    let (mut house, _at_rest) = rested().await;
    let mut client = house.connect().await;
    client.send(house.get("/health")).await;
    let mut asked = house.runtime().await;
    assert!(asked.request().await.0.contains("connection: close"));
    asked.answer("{}").await;
    assert_eq!(client.answer().await.status, 200);
    assert!(asked.is_abandoned().await);
}
