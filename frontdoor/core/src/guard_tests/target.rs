//! Method, version, target and Host.

use super::*;

#[test]
fn only_the_two_loopback_literals_make_allowed_hosts() {
    let of = |ip: IpAddr, port| AllowedHosts::of(SocketAddr::new(ip, port)).map(|hosts| hosts.0);
    let v4 = vec![format!("127.0.0.1:{PORT}"), format!("localhost:{PORT}")];
    assert_eq!(of(Ipv4Addr::LOCALHOST.into(), PORT), Some(v4));
    assert_eq!(of(Ipv6Addr::LOCALHOST.into(), PORT), Some(vec![format!("[::1]:{PORT}")]));
    for ip in ["0.0.0.0", "127.0.0.2", "192.168.1.2", "::", "::ffff:127.0.0.1", "fe80::1"] {
        assert_eq!(of(ip.parse().expect("an address"), PORT), None, "{ip}");
    }
    assert_eq!(of(Ipv4Addr::LOCALHOST.into(), 0), None);
}

#[test]
fn a_rebound_host_is_refused_even_with_the_right_token() {
    for host in [
        "attacker.example",
        "attacker.example:4711",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:4712",
        "127.0.0.1:04711",
        "127.0.0.1:4711.",
        "localhost.:4711",
        "127.0.0.2:4711",
        "0.0.0.0:4711",
        "[::1]:4711",
        "127.1:4711",
        "0x7f.0.0.1:4711",
        "2130706433:4711",
        "127.0.0.1%00:4711",
        "127.0.0.1:4711\t",
        "127.0.0.1:+4711",
        "http://127.0.0.1:4711",
        "127.0.0.1:4711/",
        "\u{ff11}27.0.0.1:4711",
        "loc\u{17f}alhost:4711",
        "user@127.0.0.1:4711",
        "",
        " ",
        "127.0.0.1:4711,evil",
        "127.0.0.1:4711 ",
        "localhost:4711.evil.example",
    ] {
        assert_eq!(Sent::good().replaced("host", host).reason(), Reason::HostNotAllowed, "{host}");
    }
    assert_eq!(Sent::good().without("host").reason(), Reason::HostNotAllowed);
}

#[test]
fn both_names_of_the_endpoint_pass_in_any_case() {
    for host in ["127.0.0.1:4711", "localhost:4711", "LocalHost:4711"] {
        assert_eq!(Sent::good().replaced("host", host).reason(), Reason::Ok, "{host}");
    }
}

#[test]
fn an_endpoint_of_ipv6_has_its_one_name() {
    let bound = SocketAddr::from((Ipv6Addr::LOCALHOST, PORT));
    let hosts = AllowedHosts::of(bound).expect("loopback");
    let is_ok = |sent: Sent| sent.judged_at(&hosts, Some(fresh()), 0, Some(TOKEN)).0.is_ok();
    let named = |host: &str| Sent::good().replaced("host", host);
    assert!(is_ok(named("[::1]:4711").with("origin", "http://[::1]:4711")));
    assert!(is_ok(named("[::1]:4711").absolute("http", "[::1]:4711")));
    for host in [
        "localhost:4711",
        "127.0.0.1:4711",
        "::1:4711",
        "[::1]",
        "[::1]:4712",
        "[::1]:4711.",
        "[::1%lo]:4711",
        "[0:0:0:0:0:0:0:1]:4711",
        "[::0001]:4711",
        "[::]:4711",
        "[::ffff:127.0.0.1]:4711",
        "u@[::1]:4711",
    ] {
        assert!(!is_ok(named(host)), "{host}");
        assert!(!is_ok(named("[::1]:4711").with("origin", &format!("http://{host}"))), "{host}");
        assert!(!is_ok(named("[::1]:4711").absolute("http", host)), "{host}");
    }
}

#[test]
fn a_repeated_host_is_refused_even_if_both_are_right() {
    let twice = Sent::good().with("host", "127.0.0.1:4711");
    assert_eq!(twice.reason(), Reason::HostNotAllowed);
    let mixed_case = Sent::good().with("HOST", "evil.example");
    assert_eq!(mixed_case.reason(), Reason::HostNotAllowed);
}

#[test]
fn an_absolute_target_must_agree_with_host() {
    assert_eq!(Sent::good().absolute("http", "127.0.0.1:4711").reason(), Reason::Ok);
    for (scheme, authority) in [
        ("http", "evil.example"),
        ("http", "localhost:4711"),
        ("http", "user@127.0.0.1:4711"),
        ("https", "127.0.0.1:4711"),
        ("ftp", "127.0.0.1:4711"),
    ] {
        let sent = Sent::good().absolute(scheme, authority);
        assert_eq!(sent.reason(), Reason::HostNotAllowed, "{scheme}://{authority}");
    }
    let evil_twice = Sent::good().replaced("host", "evil.example").absolute("http", "evil.example");
    assert_eq!(evil_twice.reason(), Reason::HostNotAllowed);
}

#[test]
fn every_method_but_get_and_post_is_refused() {
    for method in
        ["OPTIONS", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "Post", "PRI", ""]
    {
        assert_eq!(Sent::good().method(method).reason(), Reason::MethodNotAllowed, "{method}");
    }
}

#[test]
fn another_protocol_or_version_is_malformed() {
    let mut old = Sent::good();
    old.is_http_11 = false;
    let mut body_on_get = Sent::good();
    body_on_get.has_body = true;
    for sent in [
        old,
        body_on_get,
        Sent::good().with("upgrade", "websocket"),
        Sent::good().with("upgrade", "h2c").with("http2-settings", "x"),
        Sent::good().with("http2-settings", "x"),
        Sent::good().with("connection", "keep-alive, Upgrade"),
        Sent::good().with("expect", "200-ok"),
    ] {
        assert_eq!(sent.reason(), Reason::MalformedRequest);
    }
    assert_eq!(Sent::good().with("expect", "100-Continue").reason(), Reason::Ok);
    assert_eq!(Sent::good().with("connection", "keep-alive, x").reason(), Reason::Ok);
}

#[test]
fn a_target_without_a_path_is_malformed_for_get_and_post_alone() {
    let judged = |method| {
        let request = UntrustedRequest {
            method,
            target: Target::Other,
            is_http_11: true,
            has_body: false,
            headers: &[],
        };
        let policy = GuardPolicy { allowed_hosts: &hosts(), owner: None, health: None };
        judge(&request, &policy, Some(fresh()), 0).0.expect_err("refused").reason
    };
    assert_eq!(judged("GET"), Reason::MalformedRequest);
    assert_eq!(judged("CONNECT"), Reason::MethodNotAllowed);
    assert_eq!(judged("OPTIONS"), Reason::MethodNotAllowed);
}
