//! More connections than there are places (contract 2): who asks is served, who only holds one open
//! goes.

use super::{CHAT, House, Section, TOKEN};
use crate::limits::BODIES_IN_MEMORY;

#[tokio::test]
async fn connections_over_the_limit_are_turned_away_while_all_are_served() {
    let mut house = House::with(Section { max_connections: 2, ..Section::default() }).await;
    let mut clients = [house.connect().await, house.connect().await];
    for client in &mut clients {
        client.send(house.post(CHAT, "{}")).await;
    }
    let mut runtimes = [house.runtime().await, house.runtime().await];
    let mut third = house.connect().await;
    let answer = third.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "at_capacity"));
    answer.assert_hardened();
    let page = crate::metrics::render(&house.door);
    let counted = r#"frontdoor_requests_total{route="other",reason="at_capacity"} 1"#;
    assert!(page.contains(&format!("\n{counted}\n")), "{page}");
    for runtime in &mut runtimes {
        runtime.request().await;
        runtime.answer("whole").await;
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.body, "whole");
    }
    assert_eq!(house.ask(&house.get("/companion/v1/status")).await.status, 200);
}

#[tokio::test]
async fn silent_connections_keep_no_good_client_out() {
    let house = House::with(Section { max_connections: 4, ..Section::default() }).await;
    let mut first = house.connect().await;
    let mut silent = vec![];
    for bytes in ["", "G", "GET / HTTP/1.1\r\nHost: x\r\n", "\r\n", "", ""] {
        let mut client = house.connect().await;
        client.send(bytes).await;
        silent.push(client);
    }
    for _ in 0..20 {
        assert_eq!(house.ask(&house.get("/companion/v1/status")).await.status, 200);
    }
    assert!(first.is_ended().await, "who waited longest went");
}

#[tokio::test]
async fn connections_at_rest_keep_no_good_client_out_either() {
    let house = House::with(Section { max_connections: 4, ..Section::default() }).await;
    let mut resting = vec![];
    for _ in 0..8 {
        let mut client = house.connect().await;
        client.send(house.get("/companion/v1/status").replace(TOKEN, "a wrong one")).await;
        assert_eq!(client.answer().await.status, 401);
        resting.push(client);
    }
    assert_eq!(house.ask(&house.get("/companion/v1/status")).await.status, 200);
    assert!(resting[0].is_ended().await, "the one that rested longest went");
}

/// Two who come at one moment must not take each other's place while strangers have one.
#[tokio::test]
async fn refused_connections_at_rest_are_closed_before_any_newcomer() {
    let house = House::with(Section { max_connections: 4, ..Section::default() }).await;
    let mut strangers = vec![];
    for _ in 0..4 {
        let mut stranger = house.connect().await;
        stranger.send(house.get("/metrics").replace(TOKEN, "a wrong one")).await;
        assert_eq!(stranger.answer().await.status, 401);
        strangers.push(stranger);
    }
    let mut good = [house.connect().await, house.connect().await, house.connect().await];
    for client in &mut good {
        client.send(house.get("/companion/v1/status")).await;
    }
    for client in &mut good {
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test]
async fn who_passed_the_guard_keeps_its_place_before_all_who_never_did() {
    let house = House::with(Section { max_connections: 3, ..Section::default() }).await;
    let mut known = house.connect().await;
    known.send(house.get("/companion/v1/status")).await;
    assert_eq!(known.answer().await.status, 200);
    let mut strangers = vec![];
    for _ in 0..10 {
        let mut stranger = house.connect().await;
        stranger.send(house.get("/metrics").replace(TOKEN, "a wrong one")).await;
        assert_eq!(stranger.answer().await.status, 401);
        strangers.push(stranger);
    }
    known.send(house.get("/companion/v1/status")).await;
    assert_eq!(known.answer().await.status, 200, "the oldest of all is still there");
}

/// Their answer is out, and what they still owe of their request is awaited for a moment only.
#[tokio::test]
async fn refused_connections_that_owe_their_body_keep_no_good_client_out_either() {
    let house = House::with(Section { max_connections: 4, ..Section::default() }).await;
    let mut owing = vec![];
    for _ in 0..12 {
        let mut client = house.connect().await;
        let request = house.good(&format!("POST {CHAT}")).replace(TOKEN, "a wrong one");
        client.send(request + "Content-Length: 9\r\n\r\n{").await;
        assert_eq!(client.answer().await.status, 401);
        owing.push(client);
        assert_eq!(house.ask(&house.get("/companion/v1/status")).await.status, 200);
    }
}

#[tokio::test]
async fn bodies_that_nobody_ends_take_bounded_memory_and_give_it_back() {
    const LONGEST: u64 = 1 << 20;
    let mut house = House::with(Section { max_body_bytes: LONGEST, ..Section::default() }).await;
    let post = house.good(&format!("POST {CHAT}")) + "Expect: 100-continue\r\n";
    for framing in [format!("Content-Length: {LONGEST}"), "Transfer-Encoding: chunked".to_owned()] {
        let mut endless = vec![];
        for _ in 0..BODIES_IN_MEMORY {
            let mut client = house.connect().await;
            client.send(format!("{post}{framing}\r\n\r\n")).await;
            client.until("100 Continue").await;
            endless.push(client);
        }
        let refused = house.ask(&house.post(CHAT, "{}")).await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "at_capacity"), "{framing}");
        assert_eq!(refused.header("retry-after"), Some("1"));
        drop(endless);
        while house.door.body_memory.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        let mut client = house.connect().await;
        client.send(house.post(CHAT, "{}")).await;
        house.runtime().await.request().await;
    }
}
