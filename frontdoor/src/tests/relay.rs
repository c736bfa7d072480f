//! To the runtime and back (contract 4).

use super::{CHAT, DialError, Dialling, House, TOKEN};
use crate::limits::SMALL_REQUEST_BYTES;
use runtime_api::v1::Lifecycle;

#[tokio::test]
async fn the_runtime_gets_the_checked_bytes_and_no_header_of_the_client() {
    let mut house = House::ready().await;
    let body = r#"{ "messages": [ {"role":"user","content":"Grüße"} ] }"#;
    let mut client = house.connect().await;
    client
        .send(format!(
            "{}Cookie: a=b\r\nOrigin: http://{}\r\nX-Companion-Token: {TOKEN}\r\nX-Api-Key: k\r\n\
             X-Conversation-Id: c\r\nX-Forwarded-For: 1.2.3.4\r\nAccept-Encoding: gzip\r\n\
             Connection: keep-alive, x-hop\r\nX-Hop: 1\r\nTE: trailers\r\nProxy-Authorization: p\r\n\
             Content-Length: {}\r\n\r\n{body}",
            house.good(&format!("POST {CHAT}")),
            house.address,
            body.len(),
        ))
        .await;
    let mut runtime = house.runtime().await;
    let (head, read) = runtime.request().await;
    let mut lines: Vec<_> = head.split("\r\n").collect();
    lines[1..].sort_unstable();
    let length = format!("content-length: {}", body.len());
    let wanted = [
        "POST /v1/chat/completions HTTP/1.1",
        &length,
        "content-type: application/json",
        "host: localhost",
    ];
    assert_eq!(lines, wanted);
    assert_eq!(read, body);
    runtime.answer("{}").await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_body_reaches_the_runtime_byte_for_byte_however_long_it_is() {
    let mut house = House::ready().await;
    let (mut client, mut runtime) = (house.connect().await, None);
    // With its head, from less to more than what leaves in one piece.
    let around = SMALL_REQUEST_BYTES - 200..=SMALL_REQUEST_BYTES + 1;
    for length in around.chain([16 * 1024, 1024 * 1024]) {
        let numbers: String = (0..length / 2).map(|number| format!("{number} ")).collect();
        let body = format!(r#"{{"t":"{}"}}"#, &numbers[..length - r#"{"t":""}"#.len()]);
        assert_eq!(body.len(), length);
        client.send(house.post(CHAT, &body)).await;
        if runtime.is_none() {
            runtime = Some(house.runtime().await);
        }
        let runtime = runtime.as_mut().expect("dialled");
        assert!(runtime.request().await.1 == body, "{length}");
        runtime.answer("{}").await;
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_get_is_relayed_without_a_body() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    client.send(house.get("/v1/models")).await;
    let mut runtime = house.runtime().await;
    let (head, body) = runtime.request().await;
    assert!(head.starts_with("GET /v1/models HTTP/1.1\r\n"), "{head}");
    assert!(!head.contains("content-") && body.is_empty(), "{head}");
    runtime.answer(r#"{"data":[]}"#).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"data":[]}"#));
}

#[tokio::test]
async fn the_harmless_query_is_not_relayed() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    client.send(house.post("/v1/messages?beta=true", "{}")).await;
    let (head, _) = house.runtime().await.request().await;
    assert!(head.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn of_the_runtimes_headers_only_the_bodys_own_reach_the_client() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    client.send(house.post(CHAT, "{}")).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime
        .say(
            "HTTP/1.1 400 Bad Request\r\nServer: llama.cpp\r\nAccess-Control-Allow-Origin: *\r\n\
             Access-Control-Allow-Credentials: true\r\nSet-Cookie: a=b\r\nConnection: x-hop\r\n\
             X-Hop: 1\r\nKeep-Alive: timeout=5\r\nCache-Control: public\r\n\
             X-Content-Type-Options: sniff\r\nCross-Origin-Resource-Policy: cross-origin\r\n\
             Content-Encoding: br\r\nContent-Language: de\r\n\
             Content-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}",
        )
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "{}"));
    answer.assert_hardened();
    let mut names: Vec<_> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let wanted = [
        "cache-control",
        "content-encoding",
        "content-language",
        "content-length",
        "content-security-policy",
        "content-type",
        "cross-origin-resource-policy",
        "date",
        "x-companion-queue-position",
        "x-content-type-options",
        "x-request-id",
    ];
    assert_eq!(names, wanted);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("content-encoding"), Some("br"));
    assert_eq!(answer.header("content-language"), Some("de"));
}

#[tokio::test]
async fn each_piece_of_a_stream_is_forwarded_as_it_arrives() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    client.send(house.post(CHAT, r#"{"stream":true}"#)).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.begin_stream().await;
    client.until("text/event-stream").await;
    for n in 0..5 {
        // The next piece is not even written before this one has arrived.
        let piece = format!("data: {n}\n\n");
        runtime.chunk(&piece).await;
        client.until(&piece).await;
    }
    runtime.say("0\r\n\r\n").await;
    let answer = client.answer().await;
    assert!(answer.is_whole);
    assert_eq!(answer.body.matches("data: ").count(), 5);
    house.counts(0, 0).await;
}

#[tokio::test]
async fn trailers_of_the_runtime_end_an_answer_and_reach_nobody() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    let trailing = house.post(CHAT, "{}").replace("Host:", "TE: trailers\r\nHost:");
    client.send(trailing).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime
        .say(
            "HTTP/1.1 200 OK\r\nTrailer: Access-Control-Allow-Origin\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\
             Access-Control-Allow-Origin: *\r\nServer: x\r\n\r\n",
        )
        .await;
    client.until("\r\n0\r\n\r\n").await;
    let answer = client.answer().await;
    assert!(answer.is_whole && answer.body == "{}" && client.seen.is_empty(), "{answer:?}");
    assert_eq!(answer.header("trailer"), None);
    house.counts(0, 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_it_at_the_runtime() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    client.send(house.post(CHAT, r#"{"stream":true}"#)).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.begin_stream().await;
    runtime.chunk("data: 1\n\n").await;
    client.until("data: 1").await;
    house.counts(1, 0).await;
    drop(client);
    house.counts(0, 0).await;
    assert_eq!(house.door.upstreams.resting(), 0, "closed, and not only put aside");
    assert!(runtime.is_abandoned().await);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_it_at_the_runtime() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    client.send(house.post(CHAT, "{}")).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    house.counts(1, 0).await;
    drop(client);
    assert!(runtime.is_abandoned().await);
    house.counts(0, 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_with_another_request_already_sent_cancels_too() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    client.send(house.post(CHAT, "{}") + &house.get("/v1/models")).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    drop(client);
    assert!(runtime.is_abandoned().await);
    house.counts(0, 0).await;
    assert!(house.was_never_dialled(), "the second request never ran");
}

#[tokio::test]
async fn a_runtime_that_dies_mid_stream_cuts_the_answer_and_frees_the_slot() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    client.send(house.post(CHAT, r#"{"stream":true}"#)).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.begin_stream().await;
    runtime.chunk("data: 1\n\n").await;
    client.until("data: 1").await;
    drop(runtime);
    let answer = client.answer().await;
    assert!(!answer.is_whole, "a cut stream must not look complete: {answer:?}");
    house.counts(0, 0).await;
}

#[tokio::test]
async fn a_runtime_that_breaks_off_or_talks_nonsense_is_a_502() {
    for said in [
        "",
        "nonsense\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ] {
        let mut house = House::ready().await;
        let mut client = house.connect().await;
        client.send(house.post(CHAT, "{}")).await;
        let mut runtime = house.runtime().await;
        runtime.request().await;
        runtime.say(said).await;
        drop(runtime);
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "runtime_failed"), "{said:?}");
        answer.assert_hardened();
        house.counts(0, 0).await;
    }
}

#[tokio::test]
async fn no_connection_to_the_runtime_is_a_502_that_says_whose_fault_it_is() {
    let cases =
        [(DialError::NotThere, "runtime_unreachable"), (DialError::PathBroken, "path_failed")];
    for (error, code) in cases {
        let house = House::ready().await;
        *house.dial.lock().expect("not poisoned") = Dialling::Fails(error);
        let answer = house.ask(&house.post(CHAT, "{}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, code));
        house.counts(0, 0).await;
    }
}

#[tokio::test]
async fn several_requests_share_a_connection_one_after_another_even_if_sent_at_once() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    let three =
        [house.get("/v1/models"), house.post("/tokenize", "{}"), house.get("/companion/v1/status")];
    client.send(three.concat()).await;
    for path in ["GET /v1/models", "POST /tokenize"] {
        let mut runtime = house.runtime().await;
        let (head, _) = runtime.request().await;
        assert!(head.starts_with(path), "{head}");
        assert!(house.was_never_dialled(), "the next one waits for its turn");
        runtime.answer(&format!("{{\"path\":\"{path}\"}}")).await;
        assert!(client.answer().await.body.contains(path));
    }
    assert!(client.answer().await.body.contains("\"endpoint\""));
}

#[tokio::test]
async fn a_stream_ends_in_its_own_time_when_the_front_door_leaves() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    let mut idle = house.connect().await;
    idle.send(house.get("/companion/v1/status")).await;
    assert_eq!(idle.answer().await.status, 200);
    client.send(house.post(CHAT, r#"{"stream":true}"#)).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.begin_stream().await;
    client.until("text/event-stream").await;
    house.door.leave();
    house.stop.cancel();
    assert!(idle.is_ended().await, "a connection at rest is closed");
    runtime.chunk("data: late\n\n").await;
    runtime.say("0\r\n\r\n").await;
    let answer = client.answer().await;
    assert!(answer.is_whole && answer.body.contains("late"));
    assert!(client.is_ended().await);
    house.serving.await.expect("the server ends by itself");
}

#[tokio::test]
async fn whoever_asks_one_that_leaves_is_told_that_its_connection_ends() {
    let house = House::ready().await;
    assert_eq!(house.ask(&house.get("/companion/v1/status")).await.header("connection"), None);
    house.door.leave();
    let mut client = house.connect().await;
    client.send(house.post(CHAT, "{}")).await;
    let answer = client.answer().await;
    assert_eq!((answer.code().as_str(), answer.header("connection")), ("not_ready", Some("close")));
    assert!(client.is_ended().await);
}

#[tokio::test]
async fn new_work_is_refused_while_the_runtime_drains_and_old_work_goes_on() {
    let mut house = House::ready().await;
    let mut old = house.connect().await;
    old.send(house.post(CHAT, "{}")).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    let mut facts = super::ready_facts(1);
    facts.lifecycle = Lifecycle::Draining.into();
    house.door.tell_facts(Some(facts));
    let answer = house.ask(&house.post(CHAT, "{}")).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
    runtime.answer("{}").await;
    assert_eq!(old.answer().await.status, 200);
}
