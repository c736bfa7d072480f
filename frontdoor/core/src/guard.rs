//! The guard: may this request pass at all (contract 4). The order of its steps is a security
//! decision: a page that is refused for where it comes from neither learns about tokens nor uses
//! up the owner's rate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::Reason;
use crate::client::ClientId;
use crate::credential::TokenDigest;
use crate::limits::{HEALTH_RATE_REQUESTS, HEALTH_RATE_WINDOW_MS};
use crate::rate::{Rate, RateWindow};
use crate::routes::HEALTH_PATH;

/// A request as it arrived; nothing in it is trusted.
#[derive(Debug, Clone, Copy)]
pub struct UntrustedRequest<'a> {
    /// As sent, case and all.
    pub method: &'a str,
    /// The request target.
    pub target: Target<'a>,
    /// Whether the version is HTTP/1.1, the only one that is served.
    pub is_http_11: bool,
    /// Whether a body is announced, by length or coding.
    pub has_body: bool,
    /// Every header line, in order, repeated ones repeated.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// The forms of a request target (RFC 9112 section 3.2).
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// `/path`.
    Origin {
        /// Without the query.
        path: &'a str,
    },
    /// `http://authority/path`.
    Absolute {
        /// Before `://`.
        scheme: &'a str,
        /// Between `://` and the path.
        authority: &'a str,
        /// Without the query.
        path: &'a str,
    },
    /// `*`, or an authority alone.
    Other,
}

/// The names by which the endpoint may be called: made from the bound address alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// `127.0.0.1:PORT` and `localhost:PORT`, or `[::1]:PORT`; `None` for every other address and
    /// for port 0.
    #[must_use]
    pub fn of(bound: SocketAddr) -> Option<Self> {
        let port = bound.port();
        if port == 0 {
            return None;
        }
        match bound.ip() {
            IpAddr::V4(Ipv4Addr::LOCALHOST) => {
                Some(Self(vec![format!("127.0.0.1:{port}"), format!("localhost:{port}")]))
            }
            IpAddr::V6(Ipv6Addr::LOCALHOST) => Some(Self(vec![format!("[::1]:{port}")])),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }

    fn allow(&self, host: &[u8]) -> bool {
        self.0.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(host))
    }
}

/// What requests are judged by.
#[derive(Debug, Clone, Copy)]
pub struct GuardPolicy<'a> {
    /// Names of this endpoint.
    pub allowed_hosts: &'a AllowedHosts,
    /// The loopback token's digest; `None`: none is configured, every token is wrong.
    pub owner: Option<&'a TokenDigest>,
    /// Digest of the front door's own health credential, good for GET `/health` alone.
    pub health: Option<&'a TokenDigest>,
}

/// The rate windows: one for everybody's tokens, one for the health credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateState {
    /// Requests that reach the token step.
    pub owner: RateWindow,
    /// Requests with the right health credential on its own route.
    pub health: RateWindow,
}

impl RateState {
    /// Empty windows; the owner's as configured.
    #[must_use]
    pub fn new(requests: u32, window_ms: u64) -> Self {
        Self {
            owner: RateWindow::new(requests, window_ms),
            health: RateWindow::new(HEALTH_RATE_REQUESTS, HEALTH_RATE_WINDOW_MS),
        }
    }
}

/// Who passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A program with the loopback token.
    Owner,
    /// The front door's own health probe.
    Health,
}

/// Proof that a request passed every step.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Permit {
    caller: Caller,
    client: ClientId,
}

impl Permit {
    /// Who passed.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// Which of the owner's programs asks.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.client
    }
}

/// Why a request did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, which gives the status.
    pub reason: Reason,
    /// For `Retry-After`.
    pub retry_after_s: Option<u32>,
    /// Turns to wait, where the queue refuses.
    pub queue_position: Option<u32>,
    /// The member of the body that is not offered, with `field_not_allowed`: a word of the list
    /// of such members, never of the client's.
    pub field: Option<&'static str>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, retry_after_s: None, queue_position: None, field: None }
    }
}

/// Judges a request: structure, method, Host, cross-site, rate, token, in this order. The rate
/// state goes in and comes out; `None` in means that it was lost, and nothing passes.
///
/// # Errors
/// In the first value, with the reason of the first step that fails.
pub fn judge(
    request: &UntrustedRequest<'_>,
    policy: &GuardPolicy<'_>,
    rate: Option<RateState>,
    now_ms: u64,
) -> (Result<Permit, Refusal>, Option<RateState>) {
    let before_rate = structure(request)
        .and_then(|()| method(request))
        .and_then(|()| host(request, policy.allowed_hosts))
        .and_then(|()| cross_site(request, policy.allowed_hosts));
    if let Err(reason) = before_rate {
        return (Err(reason.into()), rate);
    }
    let Some(mut rate) = rate else {
        return (Err(Reason::RateStateUnavailable.into()), None);
    };
    let presented = presented_token(request);
    let is_health = is_health_probe(request, &presented, policy.health);
    let window = if is_health { &mut rate.health } else { &mut rate.owner };
    let verdict = match window.take(now_ms) {
        Rate::Malformed => Err(Reason::RateStateUnavailable.into()),
        Rate::Full { retry_after_s } => {
            Err(Refusal { retry_after_s: Some(retry_after_s), ..Reason::RateLimited.into() })
        }
        Rate::Within if is_health => {
            Ok(Permit { caller: Caller::Health, client: ClientId::UNNAMED })
        }
        Rate::Within => token(&presented, policy.owner).map_err(Refusal::from),
    };
    (verdict, Some(rate))
}

/// Step 1: one HTTP/1.1 request, without another protocol hidden in it.
fn structure(request: &UntrustedRequest<'_>) -> Result<(), Reason> {
    let is_relayed_method = matches!(request.method, "GET" | "POST");
    let bad_target = is_relayed_method && matches!(request.target, Target::Other);
    let bad_body = request.method == "GET" && request.has_body;
    let upgrades = values(request, "upgrade").next().is_some()
        || values(request, "http2-settings").next().is_some()
        || values(request, "connection").any(names_upgrade);
    let bad_expectation =
        values(request, "expect").any(|value| !value.eq_ignore_ascii_case(b"100-continue"));
    if !request.is_http_11 || bad_target || bad_body || upgrades || bad_expectation {
        return Err(Reason::MalformedRequest);
    }
    Ok(())
}

fn names_upgrade(connection: &[u8]) -> bool {
    connection
        .split(|byte| *byte == b',')
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Step 2: GET and POST only, spelled so.
fn method(request: &UntrustedRequest<'_>) -> Result<(), Reason> {
    match request.method {
        "GET" | "POST" => Ok(()),
        _ => Err(Reason::MethodNotAllowed),
    }
}

/// Step 3: exactly one Host, one of ours; an absolute target says the same.
fn host(request: &UntrustedRequest<'_>, allowed: &AllowedHosts) -> Result<(), Reason> {
    let mut hosts = values(request, "host");
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Reason::HostNotAllowed);
    };
    let target_agrees = match request.target {
        Target::Absolute { scheme, authority, .. } => {
            scheme.eq_ignore_ascii_case("http") && authority.as_bytes().eq_ignore_ascii_case(host)
        }
        Target::Origin { .. } | Target::Other => true,
    };
    if allowed.allow(host) && target_agrees { Ok(()) } else { Err(Reason::HostNotAllowed) }
}

/// Step 4: no other site, and nothing ambiguous about whence and with which credential.
fn cross_site(request: &UntrustedRequest<'_>, allowed: &AllowedHosts) -> Result<(), Reason> {
    let mut sites = values(request, "sec-fetch-site");
    let site_ok = match (sites.next(), sites.next()) {
        (None, _) | (Some(b"same-origin" | b"none"), None) => true,
        (Some(_), _) => false,
    };
    let mut origins = values(request, "origin");
    let origin_ok = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => is_own_origin(origin, allowed),
        (Some(_), Some(_)) => false,
    };
    if !site_ok || !origin_ok {
        return Err(Reason::CrossSiteForbidden);
    }
    if ["authorization", TOKEN_HEADER].iter().any(|name| values(request, name).count() > 1) {
        return Err(Reason::MalformedRequest);
    }
    Ok(())
}

fn is_own_origin(origin: &[u8], allowed: &AllowedHosts) -> bool {
    let lower = origin.to_ascii_lowercase();
    [&b"http://"[..], b"https://"]
        .iter()
        .any(|scheme| lower.strip_prefix(*scheme).is_some_and(|host| allowed.allow(host)))
}

const TOKEN_HEADER: &str = "x-companion-token";

enum Presented<'a> {
    Nothing,
    One(&'a [u8]),
    /// Two ways at once that do not say the same.
    Conflict,
}

fn presented_token<'a>(request: &UntrustedRequest<'a>) -> Presented<'a> {
    let authorization = values(request, "authorization").next();
    let bearer = authorization.and_then(bearer_token).filter(|token| !token.is_empty());
    let own = values(request, TOKEN_HEADER).next().filter(|token| !token.is_empty());
    match (authorization, bearer, own) {
        (_, None, None) => Presented::Nothing,
        (_, Some(token), None) | (None, None, Some(token)) => Presented::One(token),
        (_, Some(bearer), Some(own)) if TokenDigest::of(bearer).matches(&TokenDigest::of(own)) => {
            Presented::One(bearer)
        }
        (_, Some(_), Some(_)) | (Some(_), None, Some(_)) => Presented::Conflict,
    }
}

/// RFC 6750 section 2.1; the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer_token(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(6)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer");
    if token.is_empty() && is_bearer {
        return Some(token);
    }
    (is_bearer && token.starts_with(b" ")).then(|| token.trim_ascii())
}

/// The health credential counts on its own route only; elsewhere it is a wrong token.
fn is_health_probe(
    request: &UntrustedRequest<'_>,
    presented: &Presented<'_>,
    health: Option<&TokenDigest>,
) -> bool {
    let path = match request.target {
        Target::Origin { path } | Target::Absolute { path, .. } => path,
        Target::Other => return false,
    };
    let (Presented::One(token), Some(health)) = (presented, health) else { return false };
    request.method == "GET" && path == HEALTH_PATH && TokenDigest::of(token).matches(health)
}

/// Step 6: the owner's token, and behind it, if the client likes, its name.
fn token(presented: &Presented<'_>, owner: Option<&TokenDigest>) -> Result<Permit, Reason> {
    let presented = match presented {
        Presented::Nothing => return Err(Reason::MissingToken),
        Presented::One(presented) => ClientId::part(presented),
        Presented::Conflict => None,
    };
    match (presented, owner) {
        (Some((token, client)), Some(owner)) if TokenDigest::of(token).matches(owner) => {
            Ok(Permit { caller: Caller::Owner, client })
        }
        (Some(_) | None, _) => Err(Reason::InvalidToken),
    }
}

fn values<'a>(
    request: &UntrustedRequest<'a>,
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    request
        .headers
        .iter()
        .filter(move |(header, _)| header.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
}

#[cfg(test)]
#[path = "guard_tests/mod.rs"]
mod tests;
