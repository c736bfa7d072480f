//! The guard's rules, each failing when it is removed.

use super::super::keys::Secret;
use super::*;
use proptest::prelude::*;
use tokio::time::Instant;

const PORT: u16 = 4711;
const HOST: &str = "127.0.0.1:4711";
const ORIGIN: &str = "http://127.0.0.1:4711";

/// Keys with an open page, and that page's key.
fn opened() -> (Keys, Secret) {
    let (mut keys, now) = (Keys::default(), Instant::now());
    let code = keys.issue(now).expect("randomness");
    let key = keys.exchange(code.expose_for_address(), now).expect("exchanged");
    (keys, key)
}

/// A request that passes unless it is changed.
#[derive(Clone, Debug)]
struct Sent {
    method: &'static str,
    target: String,
    is_http_11: bool,
    has_body: bool,
    headers: Vec<(&'static str, Vec<u8>)>,
}

impl Sent {
    fn get(target: &str) -> Self {
        Self {
            method: "GET",
            target: target.to_owned(),
            is_http_11: true,
            has_body: false,
            headers: vec![("host", HOST.into())],
        }
    }

    fn post(target: &str) -> Self {
        let mut sent = Self::get(target)
            .with("origin", ORIGIN)
            .with("sec-fetch-site", "same-origin")
            .with("content-type", "application/json");
        sent.method = "POST";
        sent.has_body = true;
        sent
    }

    fn api(key: &Secret) -> Self {
        Self::post("/api/status")
            .with("authorization", &format!("Bearer {}", key.expose_for_page()))
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.as_bytes().to_vec()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| *header != name);
        self
    }

    fn replaced(self, name: &'static str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    fn judged(&self, keys: &Keys) -> Result<Permit, Denied> {
        let headers: Vec<_> = self.headers.iter().map(|(n, v)| (*n, v.as_slice())).collect();
        let request = UntrustedRequest {
            method: self.method,
            target: &self.target,
            is_http_11: self.is_http_11,
            has_body: self.has_body,
            headers: &headers,
        };
        judge(&request, PORT, keys)
    }

    fn reason(&self, keys: &Keys) -> &'static str {
        self.judged(keys).map_or_else(|denied| denied.reason, |_| "ok")
    }
}

#[test]
fn the_page_its_exchange_and_its_calls_pass() {
    let (keys, key) = opened();
    for path in ["/", "/page.js", "/page.css", "/icon.svg"] {
        assert!(matches!(Sent::get(path).judged(&keys), Ok(Permit::Page(_))), "{path}");
    }
    let opened_by_the_browser = Sent::get("/").with("sec-fetch-site", "none");
    assert!(opened_by_the_browser.judged(&keys).is_ok());
    assert!(Sent::get("/page.js").with("sec-fetch-site", "same-origin").judged(&keys).is_ok());
    assert_eq!(Sent::post("/exchange").judged(&Keys::default()), Ok(Permit::Exchange));
    for (name, call) in CALLS {
        let sent = Sent::api(&key).target(&format!("/api/{name}"));
        assert_eq!(sent.judged(&keys), Ok(Permit::Api(call)), "{name}");
    }
}

#[test]
fn another_method_or_another_protocol_is_refused() {
    let (keys, key) = opened();
    for method in ["OPTIONS", "HEAD", "PUT", "DELETE", "CONNECT", "TRACE", "get", "Post", ""] {
        assert_eq!(Sent::api(&key).method(method).reason(&keys), "method_not_allowed", "{method}");
    }
    let mut old = Sent::api(&key);
    old.is_http_11 = false;
    let mut get_with_body = Sent::get("/");
    get_with_body.has_body = true;
    for sent in [
        old,
        get_with_body,
        Sent::api(&key).with("upgrade", "websocket"),
        Sent::get("/").with("http2-settings", "x"),
        Sent::api(&key).with("expect", "100-continue"),
        Sent::api(&key).target("http://127.0.0.1:4711/api/status"),
        Sent::get("*"),
        Sent::get(""),
    ] {
        assert_eq!(sent.reason(&keys), "malformed_request", "{sent:?}");
    }
}

#[test]
fn only_the_one_host_leads_here_even_with_the_right_key() {
    let (keys, key) = opened();
    for host in [
        "localhost:4711",
        "127.0.0.1",
        "127.0.0.1:4712",
        "127.0.0.1:04711",
        "127.0.0.1.:4711",
        "127.1:4711",
        "2130706433:4711",
        "[::1]:4711",
        "[::ffff:127.0.0.1]:4711",
        "0.0.0.0:4711",
        "rebound.test:4711",
        "x@127.0.0.1:4711",
        "127.0.0.1:4711 ",
        "",
    ] {
        for sent in [Sent::api(&key), Sent::get("/"), Sent::post("/exchange")] {
            assert_eq!(sent.replaced("host", host).reason(&keys), "host_not_allowed", "{host}");
        }
    }
    assert_eq!(Sent::api(&key).without("host").reason(&keys), "host_not_allowed");
    assert_eq!(Sent::api(&key).with("host", HOST).reason(&keys), "host_not_allowed");
}

#[test]
fn another_origin_is_refused_even_with_the_right_key() {
    let (keys, key) = opened();
    for origin in [
        "null",
        "",
        "https://127.0.0.1:4711",
        "http://127.0.0.1",
        "http://127.0.0.1:4712",
        "http://localhost:4711",
        "http://127.0.0.1:4711.evil.test",
        "http://evil.test/http://127.0.0.1:4711",
        "HTTP://127.0.0.1:4711",
        "http://127.0.0.1:4711/",
    ] {
        for sent in [Sent::api(&key), Sent::get("/page.js"), Sent::post("/exchange")] {
            let reason = sent.replaced("origin", origin).reason(&keys);
            assert_eq!(reason, "cross_site_forbidden", "{origin}");
        }
    }
    assert_eq!(Sent::api(&key).with("origin", ORIGIN).reason(&keys), "cross_site_forbidden");
    assert_eq!(Sent::api(&key).without("origin").reason(&keys), "cross_site_forbidden");
    assert_eq!(Sent::post("/exchange").without("origin").reason(&keys), "cross_site_forbidden");
}

#[test]
fn another_site_is_refused_whatever_it_asks_for() {
    let (keys, key) = opened();
    for site in ["cross-site", "same-site", "", "Same-Origin", "none, same-origin"] {
        for sent in [Sent::api(&key), Sent::get("/"), Sent::get("/page.js")] {
            let reason = sent.replaced("sec-fetch-site", site).reason(&keys);
            assert_eq!(reason, "cross_site_forbidden", "{site}");
        }
    }
    let typed = Sent::api(&key).replaced("sec-fetch-site", "none");
    assert_eq!(typed.reason(&keys), "cross_site_forbidden", "nobody types a POST");
    let twice = Sent::get("/").with("sec-fetch-site", "none").with("sec-fetch-site", "none");
    assert_eq!(twice.reason(&keys), "cross_site_forbidden");
}

#[test]
fn what_is_not_listed_is_not_there() {
    let (keys, key) = opened();
    for target in [
        "/index.html",
        "/page.js?x",
        "//",
        "/api/status",
        "/exchange",
        "/%2e/",
        "/page.js/",
        "/../page.js",
    ] {
        assert_eq!(Sent::get(target).reason(&keys), "route_not_found", "{target}");
    }
    for target in ["/", "/api/", "/api/env", "/api/STATUS", "/api/status?x", "/api/status/", "/x"] {
        assert_eq!(Sent::api(&key).target(target).reason(&keys), "route_not_found", "{target}");
    }
}

#[test]
fn what_a_form_or_a_beacon_can_send_is_no_call() {
    let (keys, key) = opened();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "",
    ] {
        for sent in [Sent::api(&key), Sent::post("/exchange")] {
            let reason = sent.replaced("content-type", kind).reason(&keys);
            assert_eq!(reason, "content_not_json", "{kind}");
        }
    }
    assert_eq!(Sent::api(&key).without("content-type").reason(&keys), "content_not_json");
}

#[test]
fn without_the_pages_own_key_no_call_passes() {
    let (keys, key) = opened();
    let (_, other) = opened();
    let key = key.expose_for_page();
    for presented in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer wrong".to_owned(),
        format!("Bearer {key}x"),
        format!("Bearer {}", &key[1..]),
        format!("Bearer  {key}"),
        format!("bearer {key}"),
        format!("Basic {key}"),
        key.to_owned(),
        format!("Bearer {}", other.expose_for_page()),
    ] {
        let sent = Sent::post("/api/status").with("authorization", &presented);
        assert_eq!(sent.reason(&keys), "page_key_refused");
        assert_eq!(sent.judged(&keys).expect_err("denied").status, 401);
    }
    assert_eq!(Sent::post("/api/status").reason(&keys), "page_key_refused");
    let right = format!("Bearer {key}");
    let twice =
        Sent::post("/api/status").with("authorization", &right).with("authorization", &right);
    assert_eq!(twice.reason(&keys), "page_key_refused");
    let sent = Sent::post("/api/status").with("authorization", &right);
    assert_eq!(sent.reason(&Keys::default()), "page_key_refused", "of another run");
}

#[test]
fn the_order_of_the_steps_tells_other_sites_nothing_about_keys() {
    let (keys, _) = opened();
    let mut sent = Sent::post("/api/none")
        .method("PATCH")
        .replaced("host", "evil.test")
        .replaced("origin", "https://evil.test")
        .replaced("content-type", "text/plain");
    sent.is_http_11 = false;
    assert_eq!(sent.reason(&keys), "malformed_request");
    sent.is_http_11 = true;
    assert_eq!(sent.reason(&keys), "method_not_allowed");
    sent.method = "POST";
    assert_eq!(sent.reason(&keys), "host_not_allowed");
    sent = sent.replaced("host", HOST);
    assert_eq!(sent.reason(&keys), "cross_site_forbidden");
    sent = sent.replaced("origin", ORIGIN);
    assert_eq!(sent.reason(&keys), "route_not_found");
    sent = sent.target("/api/status");
    assert_eq!(sent.reason(&keys), "content_not_json");
    sent = sent.replaced("content-type", "application/json");
    assert_eq!(sent.reason(&keys), "page_key_refused");
}

fn header() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let name = prop::sample::select(vec![
        "host",
        "origin",
        "sec-fetch-site",
        "content-type",
        "authorization",
        "upgrade",
        "cookie",
    ]);
    let value = prop_oneof![
        Just(HOST.as_bytes().to_vec()),
        Just(ORIGIN.as_bytes().to_vec()),
        Just(b"same-origin".to_vec()),
        Just(b"application/json".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    (name, value)
}

proptest! {
    /// Whatever arrives: no panic, and no call passes without every condition.
    #[test]
    fn no_call_passes_without_every_condition(
        method in prop_oneof![Just("GET"), Just("POST"), Just("OPTIONS")],
        from_good: bool, is_http_11: bool, has_body: bool, drop_one in 0_usize..8,
        more in prop::collection::vec(header(), 0..3),
    ) {
        let (keys, key) = opened();
        let mut sent = if from_good { Sent::api(&key) } else { Sent::post("/api/status") };
        if drop_one < sent.headers.len() {
            sent.headers.remove(drop_one);
        }
        sent.headers.extend(more);
        let sent = Sent { method, is_http_11, has_body, ..sent };
        if let Ok(Permit::Api(_)) = sent.judged(&keys) {
            let all = |name: &str| sent.headers.iter().filter(|(n, _)| *n == name)
                .map(|(_, value)| value.as_slice()).collect::<Vec<_>>();
            prop_assert!(method == "POST" && is_http_11);
            prop_assert_eq!(all("host"), [HOST.as_bytes()]);
            prop_assert_eq!(all("origin"), [ORIGIN.as_bytes()]);
            prop_assert_eq!(all("content-type"), [b"application/json"]);
            let right = format!("Bearer {}", key.expose_for_page());
            prop_assert_eq!(all("authorization"), [right.as_bytes()]);
            prop_assert!(all("upgrade").is_empty());
            let site = all("sec-fetch-site");
            prop_assert!(site.is_empty() || site == [b"same-origin"]);
        }
    }
}
