//! Raw bytes against the endpoint (contracts 2 and 4).

use super::{CHAT, House, Section, TOKEN};
use crate::limits::BODY_CHECKED_ASIDE_BYTES;

/// Every refusal of the guard over the wire, and the runtime is never dialled for any.
#[tokio::test]
async fn every_refusal_has_its_status_reason_and_headers_and_never_reaches_the_runtime() {
    let mut house = House::ready().await;
    let (host, port) = (format!("Host: {}", house.address), house.address.port());
    let auth = format!("Authorization: Bearer {TOKEN}");
    let (host, auth) = (host.as_str(), auth.as_str());
    let rebound = format!("Host: rebound.example:{port}");
    let cases: &[(&str, &[&str], u16, &str)] = &[
        ("GET /v1/models HTTP/1.1", &[&rebound, auth], 403, "host_not_allowed"),
        ("GET /v1/models HTTP/1.1", &["Host: 127.0.0.1", auth], 403, "host_not_allowed"),
        ("GET /v1/models HTTP/1.1", &[auth], 403, "host_not_allowed"),
        ("GET /v1/models HTTP/1.1", &[host, host, auth], 403, "host_not_allowed"),
        ("GET http://evil.example/v1/models HTTP/1.1", &[host, auth], 403, "host_not_allowed"),
        ("GET /v1/models HTTP/1.1", &[host, auth, "Origin: null"], 403, "cross_site_forbidden"),
        (
            "GET /v1/models HTTP/1.1",
            &[host, auth, "Sec-Fetch-Site: cross-site"],
            403,
            "cross_site_forbidden",
        ),
        ("GET /v1/models HTTP/1.1", &[host, auth, auth], 403, "malformed_request"),
        ("GET /v1/models HTTP/1.0", &[host, auth], 403, "malformed_request"),
        (
            "GET /v1/models HTTP/1.1",
            &[host, auth, "Upgrade: websocket", "Connection: Upgrade"],
            403,
            "malformed_request",
        ),
        (
            "GET /v1/models HTTP/1.1",
            &[
                host,
                auth,
                "Connection: Upgrade, HTTP2-Settings",
                "Upgrade: h2c",
                "HTTP2-Settings: AA",
            ],
            403,
            "malformed_request",
        ),
        ("OPTIONS /v1/models HTTP/1.1", &[host, auth], 403, "method_not_allowed"),
        ("OPTIONS * HTTP/1.1", &[host, auth], 403, "method_not_allowed"),
        ("PUT /v1/models HTTP/1.1", &[host, auth], 403, "method_not_allowed"),
        ("TRACE / HTTP/1.1", &[host, auth], 403, "method_not_allowed"),
        ("FOO /v1/models HTTP/1.1", &[host, auth], 403, "method_not_allowed"),
        ("CONNECT evil.example:443 HTTP/1.1", &[host, auth], 403, "method_not_allowed"),
        ("GET /v1/models HTTP/1.1", &[host], 401, "missing_token"),
        ("GET /v1/models HTTP/1.1", &[host, "Authorization: Basic eDp5"], 401, "missing_token"),
        ("GET /v1/models HTTP/1.1", &[host, "Authorization: Bearer x"], 401, "invalid_token"),
        ("GET /props HTTP/1.1", &[host, auth], 404, "route_not_found"),
        ("GET /v1/models?x=1 HTTP/1.1", &[host, auth], 404, "route_not_found"),
        ("GET /v1/models? HTTP/1.1", &[host, auth], 404, "route_not_found"),
        ("GET /v1/../v1/models HTTP/1.1", &[host, auth], 404, "route_not_found"),
        ("GET //v1/models HTTP/1.1", &[host, auth], 404, "route_not_found"),
        ("GET /v1%2fmodels HTTP/1.1", &[host, auth], 404, "route_not_found"),
        ("POST /v1/models HTTP/1.1", &[host, auth], 404, "route_not_found"),
        ("POST /slots/0?action=save HTTP/1.1", &[host, auth], 404, "route_not_found"),
    ];
    for (line, headers, status, code) in cases {
        let answer = house.ask(&format!("{line}\r\n{}\r\n\r\n", headers.join("\r\n"))).await;
        assert_eq!((answer.status, answer.code().as_str()), (*status, *code), "{line}");
        answer.assert_hardened();
        let names_scheme = answer.header("www-authenticate") == Some("Bearer");
        assert_eq!(names_scheme, *status == 401, "{line}");
    }
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn what_is_not_one_unambiguous_request_gets_400_and_a_closed_connection() {
    let mut house = House::ready().await;
    let post = house.good(&format!("POST {CHAT}"));
    let cases = [
        "not http at all\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET /v1/models\r\n\r\n".to_owned(),
        house.get("/v1/<models>"),
        house.get("http://"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").replace("1.1", "1.0"),
        format!(
            "{post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
        ),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{{}}"),
        format!("{post}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}"),
        format!("{post}Content-Length: 2, 2\r\n\r\n{{}}"),
        format!("{post}Content-Length: +2\r\n\r\n{{}}"),
        format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{{}}"),
        format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer_Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n"),
        format!("{post}Content-Length : 2\r\n\r\n{{}}"),
        format!("{post}X: a\r\n b\r\n\r\n"),
        format!("{}\r\n", house.good("GET /v1/models#x")),
        house.get("/v1/models").replace("\r\n", "\n"),
        house.get("/v1/models").replace("Host:", "H\u{0}st:"),
        house.get("/v1/models").replace("Host: ", "Host: \u{0}"),
        house.get("/v1/models").replace("\r\nHost:", "\rHost:"),
        house.get("/v1/models").replace("Host: ", "X: a\rb\r\nHost: "),
        house.get("/v1/models").replace("/v1/models", "/v1/models\u{0}"),
        house.get("/v1/models").replace("/v1/models", "/v1/models\tx"),
    ];
    for case in &cases {
        let mut client = house.connect().await;
        client.send(case).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "malformed_request"), "{case:?}");
        answer.assert_hardened();
        assert!(client.is_ended().await, "{case:?}");
    }
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn a_request_hidden_behind_a_refused_one_is_never_served() {
    let mut house = House::ready().await;
    let hidden = house.get("/v1/models");
    let mut client = house.connect().await;
    let post = house.good(&format!("POST {CHAT}"));
    client
        .send(format!(
            "{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ))
        .await;
    assert_eq!(client.answer().await.status, 400);
    assert!(client.is_ended().await);
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn what_follows_a_chunked_body_is_never_a_request() {
    let mut house = House::ready().await;
    let hidden = house.get("/companion/v1/status");
    let mut client = house.connect().await;
    let post = house.good("POST /tokenize");
    client
        .send(format!(
            "{post}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n1\r\n}}\r\n0\r\n\r\n{hidden}"
        ))
        .await;
    let mut runtime = house.runtime().await;
    let (head, body) = runtime.request().await;
    assert_eq!(body, "{}");
    assert!(head.contains("content-length: 2") && !head.contains("transfer-encoding"));
    runtime.answer("{}").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(client.is_ended().await);
}

#[tokio::test]
async fn a_body_in_bad_chunks_is_refused_ends_its_connection_and_never_reaches_the_runtime() {
    let mut house = House::ready().await;
    let post = house.good(&format!("POST {CHAT}"));
    let hidden = house.get("/v1/models");
    for chunks in [
        "x\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{} \r\n0\r\n\r\n",
        "1\r\n{}\r\n0\r\n\r\n",
        "2\n{}\n0\n\n",
        "2\r{}\r0\r\r",
        "2;a=\"\nb\"\r\n{}\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "100000000000000002\r\n{}\r\n0\r\n\r\n",
        "\u{0}2\r\n{}\r\n0\r\n\r\n",
    ] {
        let mut client = house.connect().await;
        client.send(format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunks}{hidden}")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "malformed_body"), "{chunks:?}");
        answer.assert_hardened();
        assert!(client.is_ended().await, "{chunks:?}");
    }
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn oversized_heads_are_431_and_oversized_bodies_413() {
    let mut house = House::with(Section { max_body_bytes: 1000, ..Section::default() }).await;
    let good = house.good("GET /v1/models");
    for big in [
        format!("{good}X: {}\r\n\r\n", "y".repeat(20_000)),
        format!("{good}{}: y\r\n\r\n", "x".repeat(20_000)),
        format!("{good}{}\r\n", "X: y\r\n".repeat(101)),
        format!("{good}{}", "X: y\r\n".repeat(10_000)),
        format!("GET /{} HTTP/1.1\r\n", "y".repeat(20_000)),
        "G".repeat(20_000),
    ] {
        let answer = house.ask(&big).await;
        assert_eq!((answer.status, answer.code().as_str()), (431, "headers_too_large"));
        answer.assert_hardened();
    }

    let body = format!("{{\"a\":\"{}\"}}", "y".repeat(1000));
    let announced = house.ask(&house.post(CHAT, &body)).await;
    assert_eq!((announced.status, announced.code().as_str()), (413, "body_too_large"));
    announced.assert_hardened();
    let post = house.good(&format!("POST {CHAT}"));
    let not_awaited = house.ask(&format!("{post}Content-Length: 1001\r\n\r\n")).await;
    assert_eq!((not_awaited.status, not_awaited.code().as_str()), (413, "body_too_large"));
    let chunked =
        format!("{post}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let counted = house.ask(&chunked).await;
    assert_eq!((counted.status, counted.code().as_str()), (413, "body_too_large"));
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_passes() {
    let mut house = House::with(Section { max_body_bytes: 1000, ..Section::default() }).await;
    let body = format!("{{\"a\":\"{}\"}}", "y".repeat(1000 - 8));
    assert_eq!(body.len(), 1000);
    let mut client = house.connect().await;
    client.send(house.post(CHAT, &body)).await;
    assert_eq!(house.runtime().await.request().await.1, body);
}

#[tokio::test]
async fn a_large_body_is_relayed_byte_for_byte() {
    let mut house = House::ready().await;
    let body = format!("{{\"a\":\"{}\"}}", "0123456789".repeat(100_000));
    let mut client = house.connect().await;
    let request = house.post(CHAT, &body);
    let sent = tokio::spawn(async move {
        client.send(request).await;
        client
    });
    assert!(house.runtime().await.request().await.1 == body);
    drop(sent.await.expect("sent"));
}

#[tokio::test]
async fn bodies_that_are_not_strict_json_are_400() {
    let mut house = House::ready().await;
    let cases = [
        ("", "malformed_body"),
        ("[[", "malformed_body"),
        ("{} trailing", "malformed_body"),
        (r#"{"a":1,"a":2}"#, "malformed_body"),
        ("{\"prompt\":\"\u{0}", "malformed_body"),
        (r#"{"id_slot":0}"#, "field_not_allowed"),
        (r#"{"sse_ping_interval":-1}"#, "field_not_allowed"),
    ];
    for (body, code) in cases {
        let answer = house.ask(&house.post("/v1/completions", body)).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{body}");
        answer.assert_hardened();
    }
    let named = house.ask(&house.post("/v1/completions", r#"{"id_slot":0}"#)).await;
    assert!(named.body.contains(r#""param":"id_slot""#), "{named:?}");
    let long = "y".repeat(BODY_CHECKED_ASIDE_BYTES);
    for (end, code) in [("\"id_slot\":0}", "field_not_allowed"), ("\"a\":0}", "malformed_body")] {
        let answer = house.ask(&house.post(CHAT, &format!(r#"{{"a":"{long}",{end}"#))).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "however long");
    }
    assert!(house.was_never_dialled());
}

#[tokio::test]
async fn a_body_on_get_is_refused() {
    let house = House::ready().await;
    let request = format!("{}Content-Length: 2\r\n\r\n{{}}", house.good("GET /v1/models"));
    assert_eq!(house.ask(&request).await.code(), "malformed_request");
}

#[tokio::test]
async fn the_rate_window_counts_over_connections_and_says_when_to_come_back() {
    let section =
        Section { rate_limit_requests: 3, rate_limit_window_s: 3600, ..Section::default() };
    let house = House::with(section).await;
    for _ in 0..50 {
        let flood = house.get("/metrics").replace("Host:", "Origin: https://evil.example\r\nHost:");
        assert_eq!(house.ask(&flood).await.code(), "cross_site_forbidden");
    }
    for _ in 0..3 {
        assert_eq!(house.ask(&house.get("/companion/v1/status")).await.status, 200);
    }
    let answer = house.ask(&house.get("/companion/v1/status")).await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "rate_limited"));
    let seconds: u32 = answer.header("retry-after").expect("there").parse().expect("a number");
    assert!((3500..=3600).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_rate_that_cannot_be_judged_lets_nothing_pass() {
    let house = House::with(Section { rate_limit_requests: 0, ..Section::default() }).await;
    let answer = house.ask(&house.get("/companion/v1/status")).await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "rate_state_unavailable"));
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn the_largest_rate_that_the_settings_allow_is_one_that_can_be_judged() {
    let house = House::with(Section { rate_limit_requests: 1_000_000, ..Section::default() }).await;
    assert_eq!(house.ask(&house.get("/companion/v1/status")).await.status, 200);
}

#[tokio::test]
async fn without_a_digest_nothing_passes() {
    let mut house = House::ready().await;
    drop(house.token.take());
    let answer = house.ask(&house.get("/v1/models")).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_token"));
}

#[tokio::test]
async fn metrics_and_status_are_the_owners_own() {
    let house = House::ready().await;
    for path in ["/metrics", "/companion/v1/status"] {
        let stranger = house.get(path).replace(TOKEN, "x");
        assert_eq!(house.ask(&stranger).await.code(), "invalid_token");
    }
    let metrics = house.ask(&house.get("/metrics")).await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(
        metrics
            .body
            .contains("frontdoor_requests_total{route=\"/metrics\",reason=\"invalid_token\"} 1\n")
    );
    assert!(metrics.body.contains("frontdoor_available 0\n"));
    assert!(metrics.body.contains("runtime_resident_bytes 10\n"));
    let status = house.ask(&house.get("/companion/v1/status")).await;
    let status: serde_json::Value = serde_json::from_str(&status.body).expect("JSON");
    assert_eq!(status["available"], false);
    assert_eq!(status["missing"], serde_json::json!(["health_stale"]));
    assert_eq!(status["model"], "a-model");
    assert_eq!(status["endpoint"], format!("http://{}", house.address));
}

#[tokio::test]
async fn the_figures_tell_routes_bytes_times_and_failures_and_no_word_of_a_client() {
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    client.send(house.post(CHAT, r#"{"a":1}"#)).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.answer("0123456789").await;
    let first = client.answer().await;
    client.send(house.post(CHAT, "{}")).await;
    runtime.request().await;
    runtime.say("nonsense\r\n\r\n").await;
    let second = client.answer().await;
    assert_eq!(second.code(), "runtime_failed");
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    house.ask(&house.get("/canary-of-a-client")).await;
    let page = house.ask(&house.get("/metrics")).await.body;
    for line in [
        r#"frontdoor_requests_total{route="/v1/chat/completions",reason="ok"} 1"#,
        r#"frontdoor_requests_total{route="/v1/chat/completions",reason="runtime_failed"} 1"#,
        r#"frontdoor_requests_total{route="other",reason="route_not_found"} 1"#,
        "frontdoor_upstream_errors_total 1",
        "frontdoor_request_bytes_total 9",
        "frontdoor_first_byte_seconds_count 1",
        "frontdoor_admission_seconds_count 2",
        "frontdoor_in_flight 0",
        "frontdoor_queued 0",
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "{line} is not in\n{page}");
    }
    assert!(page.contains("frontdoor_duration_seconds_count"), "{page}");
    assert!(!page.contains("canary"), "{page}");
}
