//! The gate between socket and hyper, over an in-memory pipe and a clock that is moved by hand.

use super::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{advance, timeout};

fn gate() -> (DuplexStream, HeadGate<DuplexStream>, Arc<Exchange>) {
    let (client, socket) = duplex(64 * 1024);
    let exchange = Arc::new(Exchange::taking_turns(Arc::default()));
    (client, HeadGate::new(socket, Arc::clone(&exchange)), exchange)
}

/// What one read of hyper's gets.
async fn piece(gate: &mut HeadGate<DuplexStream>) -> String {
    let mut bytes = vec![0; 32 * 1024];
    let read = gate.read(&mut bytes).await.expect("no error");
    String::from_utf8(bytes[..read].to_vec()).expect("text")
}

/// Whether a read waits.
async fn waits(gate: &mut HeadGate<DuplexStream>) -> bool {
    let mut byte = [0];
    timeout(Duration::from_millis(1), gate.read(&mut byte)).await.is_err()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_head_is_handed_over_whole_or_not_at_all() {
    let (mut client, mut gate, _) = gate();
    client.write_all(&GET.as_bytes()[..20]).await.expect("written");
    assert!(waits(&mut gate).await);
    client.write_all(&GET.as_bytes()[20..]).await.expect("written");
    assert_eq!(piece(&mut gate).await, GET);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_exactly_as_long_as_its_head_says_and_the_next_head_waits_for_the_answer() {
    let (mut client, mut gate, exchange) = gate();
    client.write_all(format!("{POST}abc{GET}").as_bytes()).await.expect("written");
    assert_eq!(piece(&mut gate).await, POST);
    assert_eq!(piece(&mut gate).await, "abc");
    let answering = exchange.answer();
    assert!(waits(&mut gate).await, "the answer is still on its way");
    drop(answering);
    assert_eq!(piece(&mut gate).await, GET);
    assert!(!exchange.is_last());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_answer_wakes_the_reader() {
    let (mut client, mut gate, exchange) = gate();
    client.write_all(format!("{GET}{GET}").as_bytes()).await.expect("written");
    assert_eq!(piece(&mut gate).await, GET);
    let answering = exchange.answer();
    let reader = tokio::spawn(async move { piece(&mut gate).await });
    tokio::task::yield_now().await;
    drop(answering);
    assert_eq!(reader.await.expect("read"), GET);
}

#[tokio::test(start_paused = true)]
async fn the_clients_end_is_seen_while_an_answer_is_on_its_way() {
    let (mut client, mut gate, exchange) = gate();
    client.write_all(format!("{GET}{GET}").as_bytes()).await.expect("written");
    assert_eq!(piece(&mut gate).await, GET);
    let _answering = exchange.answer();
    assert!(waits(&mut gate).await);
    drop(client);
    assert_eq!(piece(&mut gate).await, "", "the end, although another request was held");
}

#[tokio::test(start_paused = true)]
async fn of_what_is_sent_ahead_of_an_answer_no_more_is_held_than_one_head_may_take() {
    let (mut client, mut gate, exchange) = gate();
    client.write_all(GET.as_bytes()).await.expect("written");
    assert_eq!(piece(&mut gate).await, GET);
    let _answering = exchange.answer();
    client.write_all(&GET.as_bytes().repeat(1000)).await.expect("the pipe is larger");
    assert!(waits(&mut gate).await);
    assert_eq!(gate.held.len(), MAX_HEAD_BYTES);
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_is_the_last_thing_on_its_connection() {
    let (mut client, mut gate, exchange) = gate();
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(format!("{head}0\r\n\r\n{GET}").as_bytes()).await.expect("written");
    assert_eq!(piece(&mut gate).await, head);
    assert!(exchange.is_last());
    assert_eq!(piece(&mut gate).await, format!("0\r\n\r\n{GET}"), "hyper finds the end");
}

#[tokio::test(start_paused = true)]
async fn no_byte_of_a_bad_head_gets_through() {
    for bad in [
        "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "\x16\x03\x01",
        "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        let (mut client, mut gate, exchange) = gate();
        client.write_all(bad.as_bytes()).await.expect("written");
        assert_eq!(piece(&mut gate).await.as_bytes(), STAND_IN, "{bad:?}");
        assert_eq!(exchange.fault(), Some(NoHead::Malformed));
        assert!(exchange.is_last());
        drop(exchange.answer());
        client.write_all(GET.as_bytes()).await.expect("written");
        assert!(waits(&mut gate).await, "and nothing after it, nor after its answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_over_16_kib_is_too_large() {
    let (mut client, mut gate, exchange) = gate();
    let head = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(MAX_HEAD_BYTES));
    client.write_all(head.as_bytes()).await.expect("written");
    assert_eq!(piece(&mut gate).await.as_bytes(), STAND_IN);
    assert_eq!(exchange.fault(), Some(NoHead::TooLarge));
}

#[tokio::test(start_paused = true)]
async fn one_empty_line_before_a_request_is_let_go_by() {
    let (mut client, mut gate, _) = gate();
    client.write_all(format!("\r\n{GET}").as_bytes()).await.expect("written");
    assert_eq!(piece(&mut gate).await, GET);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_ends_the_connection_after_10_seconds() {
    let (mut client, mut gate, _) = gate();
    let start = Instant::now();
    let reader = tokio::spawn(async move { piece(&mut gate).await });
    for byte in GET.bytes().take(8) {
        client.write_all(&[byte]).await.expect("written");
        tokio::task::yield_now().await;
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(reader.await.expect("read"), "");
    assert_eq!(start.elapsed().as_secs(), 10, "whatever bytes came between");
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_rest_between_requests_and_then_has_10_seconds_again() {
    let (mut client, mut gate, exchange) = gate();
    client.write_all(GET.as_bytes()).await.expect("written");
    assert_eq!(piece(&mut gate).await, GET);
    drop(exchange.answer());
    let start = Instant::now();
    let reader = tokio::spawn(async move { piece(&mut gate).await });
    for _ in 0..50 {
        tokio::task::yield_now().await;
        advance(Duration::from_secs(1)).await;
    }
    client.write_all(b"G").await.expect("written");
    assert_eq!(reader.await.expect("read"), "");
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_rests_for_a_minute_is_closed() {
    let (mut client, mut gate, exchange) = gate();
    client.write_all(GET.as_bytes()).await.expect("written");
    assert_eq!(piece(&mut gate).await, GET);
    drop(exchange.answer());
    let start = Instant::now();
    assert_eq!(piece(&mut gate).await, "");
    assert_eq!(start.elapsed(), IDLE_CONNECTION_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_for_a_minute_is_gone() {
    let (client, mut gate, _) = gate();
    gate.write_all(&vec![0; 64 * 1024]).await.expect("the pipe is as large");
    let start = Instant::now();
    let refused = gate.write_all(b"x").await;
    assert_eq!(refused.expect_err("stalled").kind(), io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed(), WRITE_STALL_TIMEOUT);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_answer_waits_a_moment_for_what_is_still_coming() {
    let (mut client, mut gate, _) = gate();
    client.write_all(&[b'x'; 1000]).await.expect("written");
    let start = Instant::now();
    gate.shutdown().await.expect("ended");
    assert_eq!(start.elapsed(), LINGER_TIMEOUT, "the client did not end its side");
    let (client, mut gate, _) = self::gate();
    drop(client);
    let start = Instant::now();
    gate.shutdown().await.expect("ended");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_sending_after_the_end_of_its_answer_is_not_read_for_ever() {
    let (mut client, mut gate, _) = gate();
    let sender = tokio::spawn(async move { client.write_all(&vec![0; 2 * LINGER_BYTES]).await });
    let start = Instant::now();
    gate.shutdown().await.expect("ended");
    assert!(start.elapsed() < LINGER_TIMEOUT, "so much is enough");
    drop(gate);
    assert!(sender.await.expect("no panic").is_err());
}
