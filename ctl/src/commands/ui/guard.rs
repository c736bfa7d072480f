//! The guard of the page's listener: what may pass at all. It denies by default; the order is that
//! of the endpoint's own guard (contract 4), so that a page refused for where it comes from learns
//! nothing about codes or keys.

use super::keys::Keys;
use super::page::{self, Asset};

/// A request as it arrived; nothing in it is trusted.
#[derive(Debug, Clone, Copy)]
pub(super) struct UntrustedRequest<'a> {
    /// As sent, case and all.
    pub(super) method: &'a str,
    /// The whole request target as sent.
    pub(super) target: &'a str,
    /// Whether the version is HTTP/1.1, the only one that is served.
    pub(super) is_http_11: bool,
    /// Whether a body is announced, by length or coding.
    pub(super) has_body: bool,
    /// Every header line; names in lower case, repeated ones repeated.
    pub(super) headers: &'a [(&'a str, &'a [u8])],
}

/// What passed, and nothing more: made by [`judge`] alone.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Permit {
    /// A part of the page, which is the same for everybody and holds no secret.
    Page(Asset),
    /// The page's own attempt to turn its code into a key; the code is not judged yet.
    Exchange,
    /// A request with the page's key.
    Api(Call),
}

/// What the page may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Status,
    Models,
    Pull,
    Verify,
    Remove,
    Start,
    Stop,
    SignIn,
    SignOut,
    Chat,
}

/// The names of the calls: `POST /api/NAME`.
const CALLS: [(&str, Call); 10] = [
    ("status", Call::Status),
    ("models", Call::Models),
    ("pull", Call::Pull),
    ("verify", Call::Verify),
    ("remove", Call::Remove),
    ("start", Call::Start),
    ("stop", Call::Stop),
    ("sign-in", Call::SignIn),
    ("sign-out", Call::SignOut),
    ("chat", Call::Chat),
];

/// Why a request does not pass: status and reason code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) status: u16,
    pub(super) reason: &'static str,
}

const fn denied(status: u16, reason: &'static str) -> Denied {
    Denied { status, reason }
}

/// Judges a request to the listener at `127.0.0.1:port`: structure, method, Host, whence, route,
/// content type, key, in this order.
///
/// # Errors
/// The first step that fails.
pub(super) fn judge(
    request: &UntrustedRequest<'_>,
    port: u16,
    keys: &Keys,
) -> Result<Permit, Denied> {
    structure(request)?;
    let is_post = method(request)?;
    host(request, port)?;
    whence(request, port, is_post)?;
    if !is_post {
        let asset = page::asset(request.target).ok_or(denied(404, "route_not_found"))?;
        return Ok(Permit::Page(asset));
    }
    let call = match request.target.strip_prefix("/api/") {
        Some(name) => Some(call(name).ok_or(denied(404, "route_not_found"))?),
        None if request.target == "/exchange" => None,
        None => return Err(denied(404, "route_not_found")),
    };
    is_json(request)?;
    match call {
        None => Ok(Permit::Exchange),
        Some(call) => key(request, keys).map(|()| Permit::Api(call)),
    }
}

fn call(name: &str) -> Option<Call> {
    CALLS.iter().find(|(known, _)| *known == name).map(|(_, call)| *call)
}

/// One HTTP/1.1 request, without another protocol hidden in it.
fn structure(request: &UntrustedRequest<'_>) -> Result<(), Denied> {
    let upgrades = ["upgrade", "http2-settings", "expect"]
        .into_iter()
        .any(|name| values(request, name).next().is_some());
    let bad_body = request.method == "GET" && request.has_body;
    if !request.is_http_11 || upgrades || bad_body || !request.target.starts_with('/') {
        return Err(denied(403, "malformed_request"));
    }
    Ok(())
}

/// GET and POST only, spelled so. Says whether it is POST.
fn method(request: &UntrustedRequest<'_>) -> Result<bool, Denied> {
    match request.method {
        "GET" => Ok(false),
        "POST" => Ok(true),
        _ => Err(denied(403, "method_not_allowed")),
    }
}

/// Exactly one Host, and the one name that was given out: no other name may lead here.
fn host(request: &UntrustedRequest<'_>, port: u16) -> Result<(), Denied> {
    match only(request, "host") {
        Once::Value(host) if host == format!("127.0.0.1:{port}").as_bytes() => Ok(()),
        Once::Value(_) | Once::Absent | Once::Repeated => Err(denied(403, "host_not_allowed")),
    }
}

/// The page itself sends its Origin with every POST. A GET may lack both headers: it is how the
/// page is opened, and what it gives is the same for everybody.
fn whence(request: &UntrustedRequest<'_>, port: u16, is_post: bool) -> Result<(), Denied> {
    let site_ok = match only(request, "sec-fetch-site") {
        Once::Absent | Once::Value(b"same-origin") => true,
        Once::Value(b"none") => !is_post,
        Once::Value(_) | Once::Repeated => false,
    };
    let origin_ok = match only(request, "origin") {
        Once::Value(origin) => origin == format!("http://127.0.0.1:{port}").as_bytes(),
        Once::Absent => !is_post,
        Once::Repeated => false,
    };
    if site_ok && origin_ok { Ok(()) } else { Err(denied(403, "cross_site_forbidden")) }
}

/// A form or a beacon of another page cannot send this type without asking first.
fn is_json(request: &UntrustedRequest<'_>) -> Result<(), Denied> {
    match only(request, "content-type") {
        Once::Value(b"application/json") => Ok(()),
        Once::Value(_) | Once::Absent | Once::Repeated => Err(denied(403, "content_not_json")),
    }
}

/// The page's key, in the one form in which the page sends it.
fn key(request: &UntrustedRequest<'_>, keys: &Keys) -> Result<(), Denied> {
    let presented = match only(request, "authorization") {
        Once::Value(value) => value.strip_prefix(b"Bearer "),
        Once::Absent | Once::Repeated => None,
    };
    match presented {
        Some(key) if keys.admit(key) => Ok(()),
        Some(_) | None => Err(denied(401, "page_key_refused")),
    }
}

enum Once<'a> {
    Absent,
    Value(&'a [u8]),
    Repeated,
}

fn only<'a>(request: &UntrustedRequest<'a>, name: &'static str) -> Once<'a> {
    let mut values = values(request, name);
    match (values.next(), values.next()) {
        (None, _) => Once::Absent,
        (Some(value), None) => Once::Value(value),
        (Some(_), Some(_)) => Once::Repeated,
    }
}

fn values<'a>(
    request: &UntrustedRequest<'a>,
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    request.headers.iter().filter(move |(header, _)| *header == name).map(|(_, value)| *value)
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
