//! Which bytes are one request head, and how long its body is (RFC 9112), judged before any HTTP
//! library sees them.
//!
//! The rules are those on which no two parsers disagree; whatever a parser could read in two ways
//! is refused: bare CR or LF, folded lines, spaces around names, two lengths, a length beside a
//! coding, a coding other than `chunked`, fragments, controls.

use crate::limits::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_LENGTH_DIGITS};

const END_OF_LINE: &[u8] = b"\r\n";
/// With which a head ends: the end of its last line, and an empty one.
const END: &[u8] = b"\r\n\r\n";

/// How long the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0 without a body.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Why the bytes are not a request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHead {
    /// Not HTTP/1, or not one unambiguous request.
    Malformed,
    /// Longer than [`MAX_HEAD_BYTES`], or more than [`MAX_HEADERS`] lines.
    TooLarge,
}

/// What has arrived so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// The head's end is not there yet.
    Partial,
    /// The head is the first so many bytes, its empty line included.
    Complete(usize),
}

/// Looks for the end of the head in what has arrived; `seen` bytes were looked at before. A whole
/// head is for [`inspect`] to judge; garbage is known before, by its first line or by its first
/// impossible byte, without waiting for more.
///
/// # Errors
/// When no continuation can make it a head.
pub fn scan(arrived: &[u8], seen: usize) -> Result<Scan, NoHead> {
    let within = &arrived[..arrived.len().min(MAX_HEAD_BYTES)];
    let from = seen.saturating_sub(END.len() - 1).min(within.len());
    if let Some(end) = within[from..].windows(END.len()).position(|bytes| bytes == END) {
        return Ok(Scan::Complete(from + end + END.len()));
    }
    for (index, byte) in within.iter().enumerate().skip(seen.saturating_sub(1)) {
        let next = within.get(index + 1);
        match byte {
            b'\r' if next.is_some_and(|next| *next != b'\n') => return Err(NoHead::Malformed),
            b'\n' if index == 0 || within[index - 1] != b'\r' => return Err(NoHead::Malformed),
            b'\n' if !within[..index].contains(&b'\n') => {
                check_request_line(&within[..index - 1])?;
            }
            b'\r' | b'\n' | b'\t' => {}
            0..=31 | 127 => return Err(NoHead::Malformed),
            _ => {}
        }
    }
    if arrived.len() >= MAX_HEAD_BYTES { Err(NoHead::TooLarge) } else { Ok(Scan::Partial) }
}

/// Reads a complete head, its empty line included, and says how its body is framed.
///
/// # Errors
/// When it is not one unambiguous HTTP/1 request head.
pub fn inspect(head: &[u8]) -> Result<Framing, NoHead> {
    if head.len() > MAX_HEAD_BYTES {
        return Err(NoHead::TooLarge);
    }
    if !head.ends_with(END) {
        return Err(NoHead::Malformed);
    }
    // A bare LF ends no line; a bare CR stays in its line, and is refused there as a control.
    let mut lines = head[..head.len() - END_OF_LINE.len()]
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(END_OF_LINE).ok_or(NoHead::Malformed));
    let request_line = lines.next().ok_or(NoHead::Malformed)??;
    check_request_line(request_line)?;
    let (mut length, mut chunked, mut count) = (None, false, 0);
    for line in lines {
        count += 1;
        if count > MAX_HEADERS {
            return Err(NoHead::TooLarge);
        }
        let (name, value) = split_header(line?)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.replace(parse_length(value)?).is_some() {
                return Err(NoHead::Malformed);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding")
            && (std::mem::replace(&mut chunked, true) || !value.eq_ignore_ascii_case(b"chunked"))
        {
            return Err(NoHead::Malformed);
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(NoHead::Malformed),
        // HTTP/1.0 knows no coding (RFC 9112 section 6.1).
        (None, true) if request_line.ends_with(b"0") => Err(NoHead::Malformed),
        (None, true) => Ok(Framing::Chunked),
        (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// `METHOD SP target SP HTTP/1.x`, one space each; the target visible ASCII without a fragment.
fn check_request_line(line: &[u8]) -> Result<(), NoHead> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(NoHead::Malformed);
    };
    let target_ok = !target.is_empty()
        && target.iter().all(|byte| (0x21..=0x7e).contains(byte) && !matches!(byte, b'#' | b'\\'));
    let version_ok = matches!(version, b"HTTP/1.1" | b"HTTP/1.0");
    if is_token(method) && target_ok && version_ok { Ok(()) } else { Err(NoHead::Malformed) }
}

/// A name that is a token, a colon at once, a value without controls; space around the value off.
fn split_header(line: &[u8]) -> Result<(&[u8], &[u8]), NoHead> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(NoHead::Malformed)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_control = |byte: &u8| (*byte < 32 && *byte != b'\t') || *byte == 127;
    // To its end, found or not: so many bytes are looked at in one step.
    let clean = !value.iter().fold(false, |found, byte| found | is_control(byte));
    if is_token(name) && clean { Ok((name, value.trim_ascii())) } else { Err(NoHead::Malformed) }
}

fn parse_length(value: &[u8]) -> Result<u64, NoHead> {
    if value.is_empty() || value.len() > MAX_LENGTH_DIGITS || !value.iter().all(u8::is_ascii_digit)
    {
        return Err(NoHead::Malformed);
    }
    Ok(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// RFC 9110 section 5.6.2.
fn is_token(word: &[u8]) -> bool {
    !word.is_empty()
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(lines: &[&str]) -> Vec<u8> {
        format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
    }

    #[test]
    fn ordinary_requests_are_framed() {
        let get = head(&["GET /v1/models HTTP/1.1", "Host: a"]);
        assert_eq!(inspect(&get), Ok(Framing::Length(0)));
        let post = head(&["POST /x HTTP/1.1", "Host: a", "Content-Length: 12"]);
        assert_eq!(inspect(&post), Ok(Framing::Length(12)));
        let chunked = head(&["POST /x HTTP/1.1", "transfer-encoding: Chunked"]);
        assert_eq!(inspect(&chunked), Ok(Framing::Chunked));
        assert_eq!(inspect(&head(&["GET / HTTP/1.1"])), Ok(Framing::Length(0)));
        assert_eq!(inspect(&head(&["GET / HTTP/1.0", "X:"])), Ok(Framing::Length(0)));
    }

    #[test]
    fn whatever_two_parsers_could_read_in_two_ways_is_refused() {
        let bad: &[&[&str]] = &[
            &["POST /x HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked"],
            &["POST /x HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 5"],
            &["POST /x HTTP/1.1", "Content-Length: 5", "Content-Length: 5"],
            &["POST /x HTTP/1.1", "Content-Length: 5", "Content-Length: 6"],
            &["POST /x HTTP/1.1", "Content-Length: 5, 5"],
            &["POST /x HTTP/1.1", "Content-Length: +5"],
            &["POST /x HTTP/1.1", "Content-Length: -1"],
            &["POST /x HTTP/1.1", "Content-Length: 0x5"],
            &["POST /x HTTP/1.1", "Content-Length: "],
            &["POST /x HTTP/1.1", "Content-Length: 9999999999999999999"],
            &["POST /x HTTP/1.1", "Content-Length : 5"],
            &["POST /x HTTP/1.1", " Content-Length: 5"],
            &["POST /x HTTP/1.1", "X: a", "\tfolded"],
            &["POST /x HTTP/1.1", "Transfer-Encoding: gzip, chunked"],
            &["POST /x HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            &["POST /x HTTP/1.1", "Transfer-Encoding: xchunked"],
            &["POST /x HTTP/1.1", "Transfer-Encoding: identity"],
            &["POST /x HTTP/1.0", "Transfer-Encoding: chunked"],
            &["POST /x HTTP/1.1", "no colon"],
            &["POST /x HTTP/1.1", ": no name"],
            &["POST /x HTTP/1.1", "X: a\0b"],
            &["POST /x HTTP/1.1", "X: a\nb"],
            &["POST /x HTTP/1.1", "X: a\rb"],
            &["POST /x HTTP/1.1", "X: a\u{7f}"],
            &["POST /x HTTP/1.1", "Content-Length: 5\r"],
            &["POST /x HTTP/1.1", "Content-Length: 5\u{c}"],
            &["POST /x HTTP/1.1", "X\u{e4}: a"],
            &["POST  /x HTTP/1.1"],
            &["POST /x  HTTP/1.1"],
            &["POST /x HTTP/1.1 "],
            &[" POST /x HTTP/1.1"],
            &["POST /x y HTTP/1.1"],
            &["POST\t/x HTTP/1.1"],
            &["POST /x"],
            &["POST /x http/1.1"],
            &["POST /x HTTP/1.2"],
            &["POST /x HTTP/2.0"],
            &["POST /x HTTP/1.10"],
            &["PRI * HTTP/2.0"],
            &["P(ST /x HTTP/1.1"],
            &["GET /v1/models#x HTTP/1.1"],
            &["GET /v1\\models HTTP/1.1"],
            &["GET /\u{e4} HTTP/1.1"],
            &["not http at all"],
            &[""],
        ];
        for lines in bad {
            assert_eq!(inspect(&head(lines)), Err(NoHead::Malformed), "{lines:?}");
        }
        assert_eq!(inspect(b"GET / HTTP/1.1\r\n"), Err(NoHead::Malformed));
        assert_eq!(inspect(b""), Err(NoHead::Malformed));
    }

    #[test]
    fn one_header_line_too_many_is_too_large() {
        let mut lines = vec!["GET / HTTP/1.1"];
        lines.extend(std::iter::repeat_n("X: y", MAX_HEADERS));
        assert!(inspect(&head(&lines)).is_ok());
        lines.push("X: y");
        assert_eq!(inspect(&head(&lines)), Err(NoHead::TooLarge));
    }

    #[test]
    fn the_head_block_ends_at_16_kib() {
        let pad = |extra: usize| {
            let fixed = "GET / HTTP/1.1\r\nX: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(MAX_HEAD_BYTES - fixed + extra))
                .into_bytes()
        };
        assert_eq!(scan(&pad(0), 0), Ok(Scan::Complete(MAX_HEAD_BYTES)));
        assert!(inspect(&pad(0)).is_ok());
        assert_eq!(scan(&pad(1), 0), Err(NoHead::TooLarge));
        assert_eq!(inspect(&pad(1)), Err(NoHead::TooLarge));
    }

    #[test]
    fn garbage_is_known_without_waiting_for_its_end() {
        for bytes in [
            &b"\x16\x03\x01\x02\x00"[..],
            b"hello\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"\n",
            b"GET / HTTP/1.1\r\nX: a\rb",
            b"GET / HTTP/1.1\r\nX: \0",
        ] {
            for seen in [0, bytes.len() - 1] {
                assert_eq!(scan(bytes, seen), Err(NoHead::Malformed), "{bytes:?} from {seen}");
            }
        }
        assert_eq!(scan(b"GET / HTT", 0), Ok(Scan::Partial));
        assert_eq!(scan(b"", 0), Ok(Scan::Partial));
        assert_eq!(scan(b"GET / HTTP/1.1\r\n\r", 0), Ok(Scan::Partial));
    }

    #[test]
    fn the_head_ends_at_the_first_empty_line() {
        let two = b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(scan(two, 0), Ok(Scan::Complete(18)));
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), seen in 0usize..400) {
            let _ = scan(&bytes, seen.min(bytes.len()));
            let _ = inspect(&bytes);
        }

        #[test]
        fn arriving_in_pieces_changes_nothing(
            text in "(GET|POST) /[a-z]{0,8} HTTP/1\\.1\r\n([A-Z][a-z]{0,5}: [a-z0-9]{0,6}\r\n){0,4}\r\n[a-z\r\n]{0,9}",
            wrong in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(&b"\0\t\n\r :#\x7f\x80"[..]))),
            cuts in prop::collection::vec(1usize..9, 0..40),
        ) {
            let mut bytes = text.into_bytes();
            if let Some((place, wrong)) = wrong {
                *place.get_mut(&mut bytes) = wrong;
            }
            let whole = judged(&bytes, scan(&bytes, 0));
            let (mut end, mut seen, mut cuts) = (0, 0, cuts.into_iter());
            let in_pieces = loop {
                end = (end + cuts.next().unwrap_or(bytes.len())).min(bytes.len());
                match scan(&bytes[..end], seen) {
                    Ok(Scan::Partial) if end < bytes.len() => seen = end,
                    other => break judged(&bytes, other),
                }
            };
            prop_assert_eq!(whole, in_pieces);
        }
    }

    /// The head's length and framing, if it is a head.
    fn judged(bytes: &[u8], scanned: Result<Scan, NoHead>) -> Option<(usize, Framing)> {
        match scanned {
            Ok(Scan::Complete(length)) => Some((length, inspect(&bytes[..length]).ok()?)),
            Ok(Scan::Partial) | Err(_) => None,
        }
    }
}
