//! What HTTP allows and few clients do, as a hostile one would (contract 4).

use super::{CHAT, House, TOKEN};

/// Whatever byte stands wherever: an answer of the front door's own, never one of its library's,
/// and another one follows or the connection ends.
#[tokio::test]
async fn one_byte_anywhere_in_a_head_never_gets_an_answer_without_its_headers() {
    let house = House::ready().await;
    let good = house.get("/companion/v1/status");
    let places = ["GET", "/companion", "status", " HTTP", "Host", ": 127", "Bearer", "horization"];
    for place in places {
        let at = good.find(place).expect("it is there") + 1;
        for byte in 0..=u8::MAX {
            let mut bytes = good.clone().into_bytes();
            bytes.insert(at, byte);
            let mut client = house.connect().await;
            client.send(&bytes).await;
            let answer = client.answer().await;
            answer.assert_hardened();
            assert!(
                [200, 400, 401, 403, 404].contains(&answer.status),
                "{place} {byte}: {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn who_expects_to_be_asked_for_a_body_is_asked_only_behind_the_guard() {
    let mut house = House::ready().await;
    let expecting = |request: String| {
        request.replace("Content-Length", "Expect: 100-Continue\r\nContent-Length")
    };
    let (head, _) = house
        .post(CHAT, "{}")
        .rsplit_once("{}")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("a body");
    for (refused, status) in [
        (head.replace(TOKEN, "a wrong one"), 401),
        (head.replace("Host: ", "Origin: http://evil.example\r\nHost: "), 403),
        (head.replace(CHAT, "/props"), 404),
    ] {
        let mut client = house.connect().await;
        client.send(expecting(refused)).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "not asked for it");
        answer.assert_hardened();
    }
    let mut client = house.connect().await;
    client.send(expecting(head)).await;
    client.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.seen.clear();
    client.send("{}").await;
    let mut runtime = house.runtime().await;
    let (head, body) = runtime.request().await;
    assert!(!head.contains("expect") && body == "{}", "{head}");
    runtime.answer("{}").await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_request_in_the_body_of_a_refused_one_is_never_served() {
    let mut house = House::ready().await;
    let hidden = house.get("/v1/models");
    for refused in [
        house.post(CHAT, &hidden).replacen(TOKEN, "a wrong one", 1),
        house.post("/props", &hidden),
        house.post(CHAT, &hidden),
        house.post(CHAT, &hidden).replacen("POST", "PUT", 1),
        house.post(CHAT, &hidden).replacen("POST", "GET", 1),
    ] {
        let length = refused.len();
        let mut client = house.connect().await;
        client.send(&refused[..length - 1]).await;
        client.send(&refused[length - 1..]).await;
        assert!(client.answer().await.status >= 400, "{refused}");
        client.send(house.get("/companion/v1/status")).await;
        while client.more().await > 0 && client.seen.is_empty() {}
        let said = String::from_utf8_lossy(&client.seen);
        assert!(said.is_empty() || said.contains("\"endpoint\""), "{refused}: {said}");
    }
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn of_a_chunked_body_only_the_data_counts() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    let post = house.good(&format!("POST {CHAT}"));
    client
        .send(format!(
            "{post}Trailer: Host\r\nTransfer-Encoding: chunked\r\n\r\n\
             1;a=b;c=\"d\"\r\n{{\r\n00001 ;x\r\n}}\r\n0;z\r\nHost: evil.example\r\n\
             Origin: http://evil.example\r\nContent-Length: 7\r\nX-Trailer: t\r\n\r\n"
        ))
        .await;
    let mut runtime = house.runtime().await;
    let (head, body) = runtime.request().await;
    assert_eq!(body, "{}");
    assert!(!head.contains("evil") && !head.contains("trailer"), "{head}");
    assert!(head.contains("content-length: 2"), "{head}");
    runtime.answer("{}").await;
    assert_eq!(client.answer().await.status, 200);
    assert!(client.is_ended().await);
}

/// A head may not be avoided by what looks like one later.
#[tokio::test]
async fn trailers_and_extensions_without_end_are_refused() {
    let mut house = House::ready().await;
    let post = house.good(&format!("POST {CHAT}")) + "Transfer-Encoding: chunked\r\n\r\n";
    for endless in [
        format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(1 << 17)),
        format!("2\r\n{{}}\r\n0\r\n{}\r\n", "X: y\r\n".repeat(1 << 15)),
        format!("2\r\n{{}}\r\n0\r\nX: {}\r\n\r\n", "y".repeat(1 << 17)),
    ] {
        let mut client = house.connect().await;
        client.send(post.clone() + &endless).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "malformed_body"),
            "{}",
            &endless[..20]
        );
        answer.assert_hardened();
        assert!(client.is_ended().await);
    }
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn a_refusal_of_head_has_no_body_and_the_next_request_is_answered() {
    let house = House::ready().await;
    let mut client = house.connect().await;
    client.send(house.good("HEAD /v1/models") + "\r\n" + &house.get("/companion/v1/status")).await;
    client.until("\r\n\r\n").await;
    client.until("\"endpoint\"").await;
    let said = String::from_utf8_lossy(&client.seen);
    let (refusal, behind) = said.split_once("\r\n\r\n").expect("a head");
    assert!(refusal.starts_with("HTTP/1.1 403 ") && behind.starts_with("HTTP/1.1 200 "), "{said}");
}

#[tokio::test]
async fn an_absolute_target_is_served_where_it_names_the_endpoint_and_nowhere_else() {
    let house = House::ready().await;
    let port = house.address.port();
    for (authority, status) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 403),
        (format!("u@127.0.0.1:{port}"), 403),
        (format!("127.0.0.1.:{port}"), 403),
        ("127.0.0.1".to_owned(), 403),
    ] {
        let answer =
            house.ask(&house.get(&format!("http://{authority}/companion/v1/status"))).await;
        assert_eq!(answer.status, status, "{authority}");
    }
}
