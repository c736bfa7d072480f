//! The guard's rules, each failing when it is removed (contract 4).

use super::*;
use proptest::prelude::*;

const PORT: u16 = 4711;
const TOKEN: &str = "owner-token-owner-token-owner-token-owner-t";
const HEALTH: &str = "health-credential";

fn hosts() -> AllowedHosts {
    AllowedHosts::of(SocketAddr::from(([127, 0, 0, 1], PORT))).expect("loopback")
}

/// A request that passes unless it is changed.
#[derive(Clone)]
struct Sent {
    method: &'static str,
    absolute: Option<(String, String)>,
    path: String,
    is_http_11: bool,
    has_body: bool,
    headers: Vec<(String, Vec<u8>)>,
}

impl Sent {
    fn good() -> Self {
        Self {
            method: "GET",
            absolute: None,
            path: "/v1/models".to_owned(),
            is_http_11: true,
            has_body: false,
            headers: Vec::new(),
        }
        .with("host", &format!("127.0.0.1:{PORT}"))
        .with("authorization", &format!("Bearer {TOKEN}"))
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| header != name);
        self
    }

    fn replaced(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    fn absolute(mut self, scheme: &str, authority: &str) -> Self {
        self.absolute = Some((scheme.to_owned(), authority.to_owned()));
        self
    }

    fn judged(
        &self,
        rate: Option<RateState>,
        now: u64,
    ) -> (Result<Permit, Refusal>, Option<RateState>) {
        self.judged_by(rate, now, Some(TOKEN))
    }

    fn judged_by(
        &self,
        rate: Option<RateState>,
        now: u64,
        owner: Option<&str>,
    ) -> (Result<Permit, Refusal>, Option<RateState>) {
        let headers: Vec<_> =
            self.headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        let target = match &self.absolute {
            Some((scheme, authority)) => Target::Absolute { scheme, authority, path: &self.path },
            None => Target::Origin { path: &self.path },
        };
        let request = UntrustedRequest {
            method: self.method,
            target,
            is_http_11: self.is_http_11,
            has_body: self.has_body,
            headers: &headers,
        };
        let owner = owner.map(|token| TokenDigest::of(token.as_bytes()));
        let policy = GuardPolicy {
            allowed_hosts: &hosts(),
            owner: owner.as_ref(),
            health: Some(&TokenDigest::of(HEALTH.as_bytes())),
        };
        judge(&request, &policy, rate, now)
    }

    fn reason(&self) -> Reason {
        match self.judged(Some(fresh()), 0).0 {
            Ok(_) => Reason::Ok,
            Err(refusal) => refusal.reason,
        }
    }
}

fn fresh() -> RateState {
    RateState::new(600, 60_000)
}

#[test]
fn a_plain_request_of_the_owner_passes() {
    let (verdict, rate) = Sent::good().judged(Some(fresh()), 0);
    assert_eq!(verdict.expect("passes").caller(), Caller::Owner);
    assert_eq!(rate.expect("kept").owner.held(), 1);
    assert_eq!(Sent::good().method("POST").reason(), Reason::Ok);
}

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
        "2130706433:4711",
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

#[test]
fn another_site_is_refused_even_with_the_right_token() {
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "Same-Origin"),
        ("sec-fetch-site", "none, none"),
        ("sec-fetch-site", ""),
        ("origin", "null"),
        ("origin", ""),
        ("origin", "https://evil.example"),
        ("origin", "http://127.0.0.1"),
        ("origin", "http://127.0.0.1:4712"),
        ("origin", "http://127.0.0.1:4711/"),
        ("origin", "http://127.0.0.1:4711.evil.example"),
        ("origin", "http://localhost:4711@evil.example"),
        ("origin", "file://127.0.0.1:4711"),
        ("origin", "127.0.0.1:4711"),
        ("origin", "chrome-extension://abc"),
    ] {
        let sent = Sent::good().with(name, value);
        assert_eq!(sent.reason(), Reason::CrossSiteForbidden, "{name}: {value}");
    }
}

#[test]
fn the_endpoints_own_origin_and_no_origin_pass() {
    for (name, value) in [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
        ("origin", "http://127.0.0.1:4711"),
        ("origin", "https://localhost:4711"),
        ("origin", "HTTP://LOCALHOST:4711"),
    ] {
        assert_eq!(Sent::good().with(name, value).reason(), Reason::Ok, "{name}: {value}");
    }
}

#[test]
fn repeated_site_and_credential_headers_are_ambiguous() {
    let cases = [
        ("sec-fetch-site", "none", Reason::CrossSiteForbidden),
        ("origin", "http://127.0.0.1:4711", Reason::CrossSiteForbidden),
        ("authorization", &format!("Bearer {TOKEN}"), Reason::MalformedRequest),
        ("x-companion-token", TOKEN, Reason::MalformedRequest),
    ];
    for (name, value, reason) in cases {
        let sent = Sent::good().without(name).with(name, value).with(name, value);
        assert_eq!(sent.reason(), reason, "{name}");
    }
}

#[test]
fn every_form_of_the_token() {
    let none = Sent::good().without("authorization");
    let cases = [
        (none.clone(), Reason::MissingToken),
        (none.clone().with("authorization", ""), Reason::MissingToken),
        (none.clone().with("authorization", "Bearer"), Reason::MissingToken),
        (none.clone().with("authorization", "Bearer  "), Reason::MissingToken),
        (none.clone().with("authorization", "Basic eDp5"), Reason::MissingToken),
        (none.clone().with("authorization", TOKEN), Reason::MissingToken),
        (none.clone().with("authorization", &format!("Bearer{TOKEN}")), Reason::MissingToken),
        (none.clone().with("x-companion-token", ""), Reason::MissingToken),
        (none.clone().with("authorization", "Bearer wrong"), Reason::InvalidToken),
        (none.clone().with("authorization", &format!("Bearer {TOKEN}x")), Reason::InvalidToken),
        (
            none.clone().with("authorization", &format!("Bearer {}", &TOKEN[1..])),
            Reason::InvalidToken,
        ),
        (none.clone().with("x-companion-token", "wrong"), Reason::InvalidToken),
        (none.clone().with("authorization", &format!("bEARER  {TOKEN}")), Reason::Ok),
        (none.clone().with("x-companion-token", TOKEN), Reason::Ok),
        (Sent::good().with("x-companion-token", TOKEN), Reason::Ok),
        (none.clone().with("authorization", &format!("Bearer {TOKEN}.chat-1")), Reason::Ok),
        (none.clone().with("x-companion-token", &format!("{TOKEN}.a")), Reason::Ok),
        (none.clone().with("x-companion-token", &format!("{TOKEN}.")), Reason::InvalidToken),
        (none.clone().with("x-companion-token", &format!("{TOKEN}.a.b")), Reason::InvalidToken),
        (none.clone().with("x-companion-token", &format!("{TOKEN}.ä")), Reason::InvalidToken),
        (none.clone().with("x-companion-token", "wrong.a"), Reason::InvalidToken),
        (none.clone().with("x-companion-token", &format!("a.{TOKEN}")), Reason::InvalidToken),
        (Sent::good().with("x-companion-token", &format!("{TOKEN}.a")), Reason::InvalidToken),
        (Sent::good().with("x-companion-token", "wrong"), Reason::InvalidToken),
        (
            none.clone().with("authorization", "Bearer wrong").with("x-companion-token", TOKEN),
            Reason::InvalidToken,
        ),
        (
            none.with("authorization", "Basic eDp5").with("x-companion-token", TOKEN),
            Reason::InvalidToken,
        ),
    ];
    for (index, (sent, reason)) in cases.iter().enumerate() {
        assert_eq!(sent.reason(), *reason, "case {index}");
    }
}

#[test]
fn the_name_behind_the_token_is_the_client_and_no_right() {
    let named =
        |name: &str| Sent::good().replaced("authorization", &format!("Bearer {TOKEN}{name}"));
    let client =
        |name: &str| named(name).judged(Some(fresh()), 0).0.expect("the right token").client();
    assert_eq!(client(""), ClientId::UNNAMED);
    assert_eq!(Some(client(".chat")), ClientId::named(b"chat"));
    let (verdict, _) = named(".chat").judged_by(Some(fresh()), 0, None);
    assert_eq!(verdict.expect_err("refused").reason, Reason::InvalidToken);
}

#[test]
fn with_no_digest_configured_every_token_is_wrong() {
    let (verdict, _) = Sent::good().judged_by(Some(fresh()), 0, None);
    assert_eq!(verdict.expect_err("refused").reason, Reason::InvalidToken);
    let (verdict, _) = Sent::good().without("authorization").judged_by(Some(fresh()), 0, None);
    assert_eq!(verdict.expect_err("refused").reason, Reason::MissingToken);
}

#[test]
fn the_order_of_the_steps_is_that_of_contract_4() {
    let mut sent = Sent::good()
        .method("DELETE")
        .replaced("host", "evil.example")
        .with("origin", "https://evil.example")
        .replaced("authorization", "Bearer wrong");
    sent.is_http_11 = false;
    let full = RateState { owner: RateWindow::new(0, 0), ..fresh() };
    let reason = |sent: &Sent, rate: &RateState| {
        sent.judged(Some(rate.clone()), 0).0.err().map(|r| r.reason)
    };
    assert_eq!(reason(&sent, &full), Some(Reason::MalformedRequest));
    sent.is_http_11 = true;
    assert_eq!(reason(&sent, &full), Some(Reason::MethodNotAllowed));
    sent.method = "POST";
    assert_eq!(reason(&sent, &full), Some(Reason::HostNotAllowed));
    sent = sent.replaced("host", "localhost:4711");
    assert_eq!(reason(&sent, &full), Some(Reason::CrossSiteForbidden));
    sent = sent.without("origin");
    assert_eq!(reason(&sent, &full), Some(Reason::RateStateUnavailable));
    assert_eq!(reason(&sent, &fresh()), Some(Reason::InvalidToken));
    sent = sent.without("authorization");
    assert_eq!(reason(&sent, &fresh()), Some(Reason::MissingToken));
}

#[test]
fn a_lost_or_malformed_rate_state_lets_nothing_pass() {
    let (verdict, rate) = Sent::good().judged(None, 0);
    assert_eq!(verdict.expect_err("refused").reason, Reason::RateStateUnavailable);
    assert_eq!(rate, None);
    let future = RateState { owner: RateWindow::with_past(5, 10, [99]), ..fresh() };
    let (verdict, _) = Sent::good().judged(Some(future), 0);
    assert_eq!(verdict.expect_err("refused").reason, Reason::RateStateUnavailable);
}

#[test]
fn missing_wrong_and_right_tokens_use_the_same_places() {
    let mut rate = Some(RateState::new(3, 60_000));
    let senders = [
        Sent::good(),
        Sent::good().without("authorization"),
        Sent::good().replaced("authorization", "Bearer wrong"),
    ];
    for sent in &senders {
        rate = sent.judged(rate, 10).1;
    }
    for sent in &senders {
        let (verdict, after) = sent.judged(rate, 20);
        let wanted = Refusal { retry_after_s: Some(60), ..Reason::RateLimited.into() };
        assert_eq!(verdict.expect_err("full"), wanted);
        rate = after;
    }
    assert!(Sent::good().judged(rate, 60_010).0.is_ok(), "the window slides");
}

#[test]
fn a_cross_site_flood_leaves_the_owners_budget() {
    let mut rate = Some(RateState::new(2, 60_000));
    let flood = [
        Sent::good().with("origin", "https://evil.example"),
        Sent::good().with("sec-fetch-site", "cross-site"),
        Sent::good().replaced("host", "evil.example"),
        Sent::good().method("OPTIONS"),
    ];
    for now in 0..1000 {
        for sent in &flood {
            rate = sent.judged(rate, now).1;
        }
    }
    assert_eq!(rate.as_ref().expect("kept").owner.held(), 0);
    assert!(Sent::good().judged(rate, 1000).0.is_ok());
}

fn probe() -> Sent {
    let mut sent = Sent::good().replaced("authorization", &format!("Bearer {HEALTH}"));
    sent.path = "/health".to_owned();
    sent
}

#[test]
fn the_health_credential_passes_on_its_own_route_only() {
    let (verdict, _) = probe().judged(Some(fresh()), 0);
    assert_eq!(verdict.expect("passes").caller(), Caller::Health);
    let (verdict, _) = probe().judged_by(Some(fresh()), 0, None);
    assert_eq!(verdict.expect("without a token configured too").caller(), Caller::Health);
    assert_eq!(probe().method("POST").reason(), Reason::InvalidToken);
    for path in ["/v1/models", "/health/", "/metrics", "/companion/v1/status", "/HEALTH"] {
        let mut sent = probe();
        sent.path = path.to_owned();
        assert_eq!(sent.reason(), Reason::InvalidToken, "{path}");
    }
    for (name, value, reason) in [
        ("host", "evil.example", Reason::HostNotAllowed),
        ("origin", "https://evil.example", Reason::CrossSiteForbidden),
    ] {
        assert_eq!(probe().replaced(name, value).reason(), reason);
    }
}

#[test]
fn health_probes_and_the_owner_do_not_use_each_others_places() {
    let full = |limit, window| RateWindow::with_past(limit, window, vec![0; limit as usize]);
    let owner_full = RateState { owner: full(600, 60_000), ..fresh() };
    assert!(probe().judged(Some(owner_full.clone()), 1).0.is_ok());
    assert!(Sent::good().judged(Some(owner_full), 1).0.is_err());
    let health = full(HEALTH_RATE_REQUESTS, HEALTH_RATE_WINDOW_MS);
    let health_full = RateState { health, ..fresh() };
    let (verdict, _) = probe().judged(Some(health_full.clone()), 1);
    assert_eq!(verdict.expect_err("full").reason, Reason::RateLimited);
    assert!(Sent::good().judged(Some(health_full), 1).0.is_ok());
}

#[test]
fn guessing_the_health_credential_uses_the_owners_places() {
    let guess = probe().replaced("authorization", "Bearer guess");
    let (_, rate) = guess.judged(Some(fresh()), 0);
    let rate = rate.expect("kept");
    assert_eq!((rate.owner.held(), rate.health.held()), (1, 0));
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop_oneof![
        Just("host"),
        Just("Host"),
        Just("origin"),
        Just("sec-fetch-site"),
        Just("authorization"),
        Just("x-companion-token"),
        Just("upgrade"),
        Just("x-other"),
    ];
    let value = prop_oneof![
        Just(b"127.0.0.1:4711".to_vec()),
        Just(b"http://localhost:4711".to_vec()),
        Just(b"same-origin".to_vec()),
        Just(b"cross-site".to_vec()),
        Just(format!("Bearer {TOKEN}").into_bytes()),
        Just(TOKEN.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    (name.prop_map(str::to_owned), value)
}

proptest! {
    /// Whatever arrives: no panic, bounded timestamps, and nothing passes without every condition.
    #[test]
    fn nothing_passes_without_every_condition(
        method in prop_oneof![Just("GET"), Just("POST"), Just("OPTIONS"), Just("get")],
        is_http_11: bool, has_body: bool,
        from_good: bool,
        headers in prop::collection::vec(header(), 0..4),
        path in prop_oneof![Just("/health".to_owned()), "/[a-z]{0,5}"],
        past in prop::collection::vec(0u64..100, 0..5), now in 0u64..200,
    ) {
        let mut sent = if from_good { Sent::good() } else { Sent::good().without("host") };
        sent.headers.extend(headers);
        let sent = Sent { method, path, is_http_11, has_body, ..sent };
        let rate = RateState { owner: RateWindow::with_past(3, 50, past.clone()), ..fresh() };
        let (verdict, after) = sent.judged(Some(rate), now);
        prop_assert!(after.expect("kept").owner.held() <= past.len().max(3));
        if verdict.is_ok() {
            let all = |name: &str| sent.headers.iter()
                .filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone()).collect::<Vec<_>>();
            prop_assert!(is_http_11 && matches!(method, "GET" | "POST"));
            prop_assert_eq!(all("host"), vec![b"127.0.0.1:4711".to_vec()]);
            prop_assert!(all("upgrade").is_empty());
            prop_assert!(matches!(all("origin").as_slice(), [] | [_]));
            prop_assert!(all("origin").iter().all(|o| o == b"http://localhost:4711"));
            prop_assert!(all("sec-fetch-site").iter().all(|s| s == b"same-origin" || s == b"none"));
            let bearer = all("authorization") == [format!("Bearer {TOKEN}").into_bytes()];
            let own = all("x-companion-token") == [TOKEN.as_bytes().to_vec()];
            prop_assert!(bearer || own);
        }
    }
}
