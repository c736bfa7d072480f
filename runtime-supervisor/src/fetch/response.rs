//! What the head of a response says, judged (RFC 9110).

use http::{Response, StatusCode, Version, header};
use hyper::body::Incoming;
use runtime_core::Reason;

use super::connection::{Part, Wish};
use crate::limits::MAX_ETAG;

pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

/// Which part of a file of `size` bytes the body is (section 14.4): what was wished for, or all
/// of it.
///
/// # Errors
/// [`Reason::ServerRefused`]; [`Reason::SizeMismatch`] when the server's file has another size.
pub(super) fn part_of(
    response: &Response<Incoming>,
    wish: Wish,
    size: u64,
) -> Result<Part, Reason> {
    let coding = text(response, &header::CONTENT_ENCODING).unwrap_or("identity");
    if !coding.eq_ignore_ascii_case("identity") {
        return Err(Reason::ServerRefused);
    }
    let part = match (response.status(), wish) {
        (StatusCode::OK, _) => Part { first: 0, end: size },
        (StatusCode::PARTIAL_CONTENT, Wish::Rest(first @ 1..)) => {
            check_range(response, Part { first, end: size }, size)?
        }
        (StatusCode::PARTIAL_CONTENT, Wish::Part(part)) => check_range(response, part, size)?,
        // The server's file ends before what was asked for.
        (StatusCode::RANGE_NOT_SATISFIABLE, Wish::Rest(1..) | Wish::Part(_)) => {
            return Err(Reason::SizeMismatch);
        }
        _ => return Err(Reason::ServerRefused),
    };
    match text(response, &header::CONTENT_LENGTH).map(str::parse::<u64>) {
        None => Ok(part),
        Some(Ok(length)) if length == part.end - part.first => Ok(part),
        Some(_) => Err(Reason::SizeMismatch),
    }
}

/// `bytes FIRST-LAST/TOTAL`, which must be this part.
fn check_range(response: &Response<Incoming>, part: Part, size: u64) -> Result<Part, Reason> {
    let range = text(response, &header::CONTENT_RANGE).and_then(|range| {
        let (span, total) = range.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, total))
    });
    let (first, last, total) = range.ok_or(Reason::ServerRefused)?;
    if first != part.first {
        return Err(Reason::ServerRefused);
    }
    let total_fits = total.parse() == Ok(size) || (total == "*" && part.end == size);
    let end_fits = last.checked_add(1) == Some(part.end);
    if total_fits && end_fits { Ok(part) } else { Err(Reason::SizeMismatch) }
}

/// Whether the connection stays open after this response (RFC 9112 section 9.3).
pub(super) fn is_kept(response: &Response<Incoming>) -> bool {
    let says_close = text(response, &header::CONNECTION)
        .is_some_and(|said| said.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")));
    response.version() == Version::HTTP_11 && !says_close
}

/// The entity tag, if it may be compared in `If-Range` (section 13.1.5): not a weak one.
pub(super) fn strong_etag(response: &Response<Incoming>) -> Option<String> {
    let etag = text(response, &header::ETAG)?;
    let is_strong = etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"');
    (is_strong && etag.len() <= MAX_ETAG).then(|| etag.to_owned())
}

pub(super) fn text<'a>(
    response: &'a Response<Incoming>,
    name: &header::HeaderName,
) -> Option<&'a str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}
