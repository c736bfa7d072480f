//! The guard's rules, each failing when it is removed (contract 4).

mod properties;
mod rate;
mod target;

use super::*;

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
        self.judged_at(&hosts(), rate, now, owner)
    }

    fn judged_at(
        &self,
        allowed_hosts: &AllowedHosts,
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
            allowed_hosts,
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
