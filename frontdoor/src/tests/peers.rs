//! Peers that are slow, half gone, or in a hurry, on real sockets (contract 4). The clock jumps
//! where one would wait.

use std::time::Duration;

use tokio::io::{AsyncWriteExt, duplex};
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{CHAT, Client, House, Section};
use crate::limits::{BODY_IDLE_TIMEOUT, HEAD_READ_TIMEOUT};
use crate::places::Places;
use crate::{http_server, metrics};

/// The clock jumps, and goes on by itself: sockets cannot wait in a time that stands.
async fn jump(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Until so many connections are open.
async fn connections(house: &House, wanted: usize) {
    let line = format!("\nfrontdoor_connections {wanted}\n");
    while !metrics::render(&house.door).contains(&line) {
        yield_now().await;
    }
}

/// Until a body is being read, which holds memory from its first moment on.
async fn body_awaited(house: &House, free: usize) {
    while house.door.body_memory.available_permits() == free {
        yield_now().await;
    }
}

async fn half_close(client: &mut Client) {
    client.stream.shutdown().await.expect("half closed");
}

#[tokio::test]
async fn a_slow_head_ends_its_connection_after_10_seconds_and_keeps_nobody_waiting() {
    let mut house = House::ready().await;
    let mut slow = house.connect().await;
    slow.send(&house.get("/v1/models")[..20]).await;
    connections(&house, 1).await;
    jump(HEAD_READ_TIMEOUT - Duration::from_secs(1)).await;
    slow.send("X").await;
    assert_eq!(house.ask(&house.get("/companion/v1/status")).await.status, 200);
    jump(Duration::from_secs(1)).await;
    assert!(slow.is_ended().await, "a byte now and then buys no time");
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn a_slow_body_is_408_after_30_seconds_without_a_byte_and_gives_its_memory_back() {
    let mut house = House::ready().await;
    let free = house.door.body_memory.available_permits();
    for framing in ["Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"]
    {
        let mut slow = house.connect().await;
        slow.send(house.good(&format!("POST {CHAT}")) + framing).await;
        body_awaited(&house, free).await;
        assert_eq!(house.ask(&house.get("/companion/v1/status")).await.status, 200);
        jump(BODY_IDLE_TIMEOUT).await;
        let answer = slow.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (408, "body_timeout"));
        assert_eq!(answer.header("connection"), Some("close"));
        answer.assert_hardened();
        assert!(slow.is_ended().await);
        connections(&house, 0).await;
        assert_eq!(house.door.body_memory.available_permits(), free);
    }
    assert!(house.was_never_dialled());
}

/// The first part of the gate: who cannot be served is not listened to.
#[tokio::test]
async fn where_no_runtime_is_ready_no_body_is_waited_for() {
    let house = House::ready().await;
    house.door.tell_facts(None);
    let mut slow = house.connect().await;
    slow.send(house.good(&format!("POST {CHAT}")) + "Content-Length: 100\r\n\r\n{").await;
    let answer = slow.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
}

#[tokio::test(start_paused = true)]
async fn of_an_answer_that_its_client_does_not_take_little_is_taken_from_the_runtime() {
    let mut house = House::ready().await;
    let (mut client, socket) = duplex(1024);
    let place = Places::new(1).take().await.expect("free");
    let stop = CancellationToken::new();
    tokio::spawn(http_server::converse(socket, house.door.clone(), stop, place));
    client.write_all(house.post(CHAT, "{}").as_bytes()).await.expect("sent");
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.begin_stream().await;
    runtime.say("4000000\r\n").await;
    let (mut taken, mut in_vain) = (0, 0);
    while in_vain < 3 {
        match timeout(Duration::from_secs(1), runtime.stream.write(&[b'x'; 4096])).await {
            Ok(written) => (taken, in_vain) = (taken + written.expect("written"), 0),
            Err(_) => in_vain += 1,
        }
        assert!(taken < 2 << 20, "sockets and buffers hold less");
    }
}

#[tokio::test]
async fn a_peer_that_closes_its_half_too_early_is_let_go_and_never_served() {
    let mut house = House::ready().await;
    let free = house.door.body_memory.available_permits();
    let chat = house.post(CHAT, r#"{"a":1}"#);
    for length in [0, 1, 40, chat.len() - 8, chat.len() - 1] {
        let mut half = house.connect().await;
        half.send(&chat[..length]).await;
        half_close(&mut half).await;
        while half.more().await > 0 {}
        let said = String::from_utf8_lossy(&half.seen);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400 "), "{length}: {said}");
    }
    connections(&house, 0).await;
    assert_eq!(house.door.body_memory.available_permits(), free);
    assert!(house.was_never_dialled());
}

/// Who closes its half after its request is gone as far as anybody can tell: the work stops.
#[tokio::test]
async fn a_peer_that_closes_its_half_cancels_what_runs_and_leaves_the_queue() {
    let mut house = House::with(Section { max_in_flight: 1, ..Section::default() }).await;
    let mut runs = house.connect().await;
    runs.send(house.post(CHAT, "{}")).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    let mut waits = house.connect().await;
    waits.send(house.post(CHAT, "{}")).await;
    house.counts(1, 1).await;
    half_close(&mut waits).await;
    house.counts(1, 0).await;
    half_close(&mut runs).await;
    assert!(runtime.is_abandoned().await);
    house.counts(0, 0).await;
    assert!(runs.is_ended().await && waits.is_ended().await);
    assert!(house.was_never_dialled(), "who waited never ran");
}

#[tokio::test]
async fn hundreds_of_requests_sent_at_once_are_answered_one_after_another() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    let one = |n: usize| match n % 3 {
        0 => house.post("/tokenize", &format!("{{\"n\":{n}}}")),
        1 => house.get(&format!("/nowhere/{n}")),
        _ => house.get("/companion/v1/status"),
    };
    client.send((0..300).map(one).collect::<String>()).await;
    let mut runtime = house.runtime().await;
    for n in 0..300 {
        if n % 3 == 0 {
            assert_eq!(runtime.request().await.1, format!("{{\"n\":{n}}}"));
            runtime.answer(&format!("{n}")).await;
        }
        let answer = client.answer().await;
        assert_eq!(answer.status, if n % 3 == 1 { 404 } else { 200 });
        assert!(n % 3 != 0 || answer.body == n.to_string(), "{n}: {answer:?}");
    }
    assert!(house.was_never_dialled(), "on one connection, one at a time");
}
