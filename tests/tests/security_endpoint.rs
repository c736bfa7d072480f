//! The guarded endpoint from outside, with the real runtime behind it (contract 2 Pa, Pb, Pd; 4).

use anyhow::Result;
use promises::{RawResponse, World, raw_request};

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_page_gets_nothing_even_with_the_right_token() -> Result<()> {
    let world = World::ready().await?;
    let (address, token) = world.endpoint_and_token().await?;
    let host = format!("Host: {address}");
    let bearer = format!("Authorization: Bearer {token}");
    let allowed = send(&world, "GET /v1/models HTTP/1.1", &[&host, &bearer]).await?;
    assert_eq!(allowed.status, 200, "{allowed:?}");

    let port = address.rsplit(':').next().expect("a port");
    let cases: &[(&str, &[&str], u16, &str)] = &[
        ("GET /v1/models HTTP/1.1", &["Host: attacker.example", &bearer], 403, "host_not_allowed"),
        (
            "GET /v1/models HTTP/1.1",
            &[&format!("Host: rebound.test:{port}"), &bearer],
            403,
            "host_not_allowed",
        ),
        ("GET /v1/models HTTP/1.1", &["Host: 127.0.0.1", &bearer], 403, "host_not_allowed"),
        ("GET /v1/models HTTP/1.1", &["Host: 127.0.0.1:1", &bearer], 403, "host_not_allowed"),
        (
            "GET /v1/models HTTP/1.1",
            &[&host, "Origin: https://evil.example", &bearer],
            403,
            "cross_site_forbidden",
        ),
        ("GET /v1/models HTTP/1.1", &[&host, "Origin: null", &bearer], 403, "cross_site_forbidden"),
        (
            "GET /v1/models HTTP/1.1",
            &[&host, "Sec-Fetch-Site: cross-site", &bearer],
            403,
            "cross_site_forbidden",
        ),
        (
            "GET /v1/models HTTP/1.1",
            &[&host, "Sec-Fetch-Site: same-site", &bearer],
            403,
            "cross_site_forbidden",
        ),
        ("OPTIONS /v1/models HTTP/1.1", &[&host, &bearer], 403, "method_not_allowed"),
        ("PUT /v1/models HTTP/1.1", &[&host, &bearer], 403, "method_not_allowed"),
        ("TRACE / HTTP/1.1", &[&host, &bearer], 403, "method_not_allowed"),
        ("GET /v1/models HTTP/1.1", &[&host], 401, "missing_token"),
        ("GET /v1/models HTTP/1.1", &[&host, "Authorization: Bearer wrong"], 401, "invalid_token"),
        ("GET /v1/models HTTP/1.1", &[&host, "Authorization: Basic eDp5"], 401, "missing_token"),
        ("GET /props HTTP/1.1", &[&host, &bearer], 404, "route_not_found"),
        ("GET /slots HTTP/1.1", &[&host, &bearer], 404, "route_not_found"),
        ("GET / HTTP/1.1", &[&host, &bearer], 404, "route_not_found"),
        ("GET /v1/models/../props HTTP/1.1", &[&host, &bearer], 404, "route_not_found"),
        ("GET //v1/models HTTP/1.1", &[&host, &bearer], 404, "route_not_found"),
        ("GET /v1%2fmodels HTTP/1.1", &[&host, &bearer], 404, "route_not_found"),
    ];
    for (line, headers, status, reason) in cases {
        let answer = send(&world, line, headers).await?;
        let shown = headers.iter().filter(|header| !header.contains(&token)).collect::<Vec<_>>();
        assert_eq!(answer.status, *status, "{line} {shown:?}: {answer:?}");
        let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
        assert_eq!(body["error"]["code"], *reason, "{line} {shown:?}");
        assert_eq!(body["error"]["type"], "companion_error");
        hardened(&answer, line);
    }
    hardened(&allowed, "the allowed request");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_and_malformed_requests_are_refused() -> Result<()> {
    let world = World::ready().await?;
    let (address, token) = world.endpoint_and_token().await?;
    let good = format!("Host: {address}\r\nAuthorization: Bearer {token}\r\n");
    let cases = [
        (format!("GET /v1/models HTTP/1.1\r\n{good}Host: {address}\r\n\r\n"), vec![403, 400]),
        (
            format!("GET /v1/models HTTP/1.1\r\n{good}Authorization: Bearer {token}\r\n\r\n"),
            vec![403],
        ),
        (
            format!("GET /v1/models HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n"),
            vec![403, 400],
        ),
        (format!("GET http://evil.example/v1/models HTTP/1.1\r\n{good}\r\n"), vec![403]),
        (
            format!(
                "POST /v1/completions HTTP/1.1\r\n{good}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            vec![400, 403],
        ),
        (format!("CONNECT evil.example:443 HTTP/1.1\r\n{good}\r\n"), vec![403, 400]),
        (
            format!(
                "GET /v1/models HTTP/1.1\r\n{good}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
            ),
            vec![403, 400],
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), vec![400]),
        ("not http at all\r\n\r\n".to_owned(), vec![400]),
    ];
    for (index, (request, statuses)) in cases.iter().enumerate() {
        let answer = raw_request(&address, request.as_bytes()).await?;
        assert!(statuses.contains(&answer.status), "case {index}: {}", answer.status);
    }
    let bodies: [(&str, u16); 4] = [
        (r#"{"model":"a","model":"b","prompt":"x"}"#, 400),
        ("{\"prompt\":\"\u{0}", 400),
        ("{} trailing", 400),
        ("[[", 400),
    ];
    for (body, status) in bodies {
        let request = format!(
            "POST /v1/completions HTTP/1.1\r\n{good}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = raw_request(&address, request.as_bytes()).await?;
        assert_eq!(answer.status, status, "{body:?}");
    }
    Ok(())
}

/// Pd, Pg: one loopback TCP listener in all, the front door's; the runtime has none.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_listener_is_loopback_and_the_runtime_has_no_tcp_at_all() -> Result<()> {
    let world = World::ready().await?;
    let (address, _) = world.endpoint_and_token().await?;
    let port: u16 = address.rsplit(':').next().expect("a port").parse()?;
    let mut listening = Vec::new();
    for pid in world.pids().await? {
        listening.extend(promises::tcp_listeners_of(pid)?);
    }
    listening.sort_unstable();
    listening.dedup();
    assert_eq!(listening, [format!("127.0.0.1:{port}")]);
    let runtime = world.pid_of("runtime").await?;
    assert!(promises::inet_sockets_of(runtime)?.is_empty());
    Ok(())
}

async fn send(world: &World, line: &str, headers: &[&str]) -> Result<RawResponse> {
    let (address, _) = world.endpoint_and_token().await?;
    let request = format!("{line}\r\n{}\r\nConnection: close\r\n\r\n", headers.join("\r\n"));
    raw_request(&address, request.as_bytes()).await
}

/// Contract 4: three headers on every response, and none that would let a page read it.
fn hardened(answer: &RawResponse, what: &str) {
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
    assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{what}");
    assert_eq!(answer.header("server"), None, "{what}");
    assert!(
        answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")),
        "{what}: {:?}",
        answer.headers
    );
}
