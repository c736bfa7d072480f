//! A second reader of what a client sent, slow and plain: written from RFC 9112, RFC 8259 and
//! contract 4, with none of the front door's own code, to be compared with it.

use std::collections::HashSet;

use serde_json::Value;

use super::{TOKEN, find};

/// Names of the endpoint that is asked.
pub(super) const HOSTS: [&str; 2] = ["127.0.0.1:4711", "localhost:4711"];
/// Contract 4.
const ROUTES: [&str; 13] = [
    "GET /v1/models",
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/embeddings",
    "POST /v1/responses",
    "POST /v1/messages",
    "POST /v1/rerank",
    "POST /tokenize",
    "POST /detokenize",
    "POST /apply-template",
    "GET /health",
    "GET /companion/v1/status",
    "GET /metrics",
];
/// docs/endpoint.md.
const SERVERS_OWN: [&str; 6] =
    ["id_slot", "slot_id", "sse_ping_interval", "lora", "chat_parser", "verbose"];

/// One request, of which every reader reads the same.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) target: String,
    version: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Asked {
    /// The first request of what was sent, and what follows it; nothing unless it is whole.
    pub(super) fn first(sent: &[u8]) -> Option<(Self, &[u8])> {
        let sent = sent.strip_prefix(b"\r\n").unwrap_or(sent);
        let end = find(sent, b"\r\n\r\n").filter(|end| end + 4 <= 16 * 1024)?;
        let (head, rest) = (latin(&sent[..end]), &sent[end + 4..]);
        let mut lines = head.split("\r\n");
        let words: Vec<_> = lines.next()?.split(' ').collect();
        let &[method, target, version] = words.as_slice() else { return None };
        let is_visible = |word: &&str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic() && !"#\\".contains(c))
        };
        if !is_name(method) || !is_visible(&target) || !is_visible(&version) {
            return None;
        }
        let headers: Vec<_> = lines.map(header).collect::<Option<_>>()?;
        let mut asked = Self {
            method: method.to_owned(),
            target: target.to_owned(),
            version: version.to_owned(),
            headers,
            body: Vec::new(),
        };
        let framing = (asked.all("content-length"), asked.all("transfer-encoding"));
        let (body, rest) = match (framing.0.as_slice(), framing.1.as_slice()) {
            ([], []) => (Vec::new(), rest),
            ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                let (body, rest) = rest.split_at_checked(length.parse().ok()?)?;
                (body.to_vec(), rest)
            }
            // What follows a chunked body is no request.
            ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => (chunks(rest)?, &[][..]),
            _ => return None,
        };
        asked.body = body;
        Some((asked, rest))
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Contract 4, step by step.
    pub(super) fn assert_may_pass(&self) {
        assert!(self.version == "HTTP/1.1" && self.headers.len() <= 100);
        for name in ["upgrade", "http2-settings"] {
            assert!(self.all(name).is_empty());
        }
        let options = self.all("connection").join(",").to_ascii_lowercase();
        assert!(options.split(',').all(|option| option.trim() != "upgrade"));
        assert!(self.all("expect").iter().all(|it| it.eq_ignore_ascii_case("100-continue")));

        let hosts = self.all("host");
        assert_eq!(hosts.len(), 1);
        let host = hosts[0].to_ascii_lowercase();
        assert!(HOSTS.contains(&host.as_str()));
        let target = self.target.to_ascii_lowercase();
        assert!(target.starts_with('/') || target.starts_with(&format!("http://{host}/")));

        let (sites, origins) = (self.all("sec-fetch-site"), self.all("origin"));
        assert!(sites.len() <= 1 && sites.iter().all(|it| ["same-origin", "none"].contains(it)));
        let own = |origin: &&str| {
            let origin = origin.to_ascii_lowercase();
            HOSTS.iter().any(|h| [format!("http://{h}"), format!("https://{h}")].contains(&origin))
        };
        assert!(origins.len() <= 1 && origins.iter().all(own));
        self.assert_shows_the_token();

        let (path, query) = self.path_and_query();
        assert!(ROUTES.contains(&format!("{} {path}", self.method).as_str()));
        assert!(query.is_none_or(|query| path == "/v1/messages" && query == "beta=true"));
        match self.method.as_str() {
            "GET" => assert!(self.body.is_empty()),
            _ => assert!(may_be_relayed(&self.body)),
        }
    }

    /// Once or twice the right one, and no other beside it.
    fn assert_shows_the_token(&self) {
        let (bearers, own) = (self.all("authorization"), self.all("x-companion-token"));
        assert!(bearers.len() <= 1 && own.len() <= 1);
        let bearer = bearers.iter().map(|it| {
            let (scheme, token) = it.split_at(6);
            assert!(scheme.eq_ignore_ascii_case("bearer") && token.starts_with(' '));
            token.trim()
        });
        let shown: HashSet<_> = bearer.chain(own).filter(|it| !it.is_empty()).collect();
        assert_eq!(shown.len(), 1);
        for token in shown {
            let name = token.strip_prefix(TOKEN).unwrap();
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            let is_named = name
                .strip_prefix('.')
                .is_some_and(|name| (1..=32).contains(&name.len()) && name.chars().all(is_plain));
            assert!(name.is_empty() || is_named);
        }
    }

    pub(super) fn path_and_query(&self) -> (&str, Option<&str>) {
        let from = if self.target.starts_with('/') { 0 } else { "http://".len() };
        let path = self.target[from..].find('/').map_or("", |at| &self.target[from + at..]);
        path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)))
    }
}

/// RFC 9110 section 5.6.2.
fn is_name(word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !word.is_empty() && word.chars().all(is_part)
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let is_clean = value.chars().all(|c| c == '\t' || !c.is_ascii_control());
    (is_name(name) && is_clean)
        .then(|| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

/// RFC 9112 section 7.1; extensions and trailers are let go by.
fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = latin(&rest[..find(rest, b"\r\n")?]);
        rest = &rest[line.len() + 2..];
        let size = line.split(';').next()?.trim_end_matches([' ', '\t']);
        let size = usize::from_str_radix(size, 16).ok().filter(|_| !size.starts_with('+'))?;
        if size == 0 {
            return (rest.starts_with(b"\r\n") || find(rest, b"\r\n\r\n").is_some())
                .then_some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
}

/// Each byte a character: of HTTP nothing else is known.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// One object in UTF-8, no member twice, at most 64 deep, and nothing that addresses the server.
pub(super) fn may_be_relayed(body: &[u8]) -> bool {
    let Some(value) = strict_object(body) else { return false };
    let fetches = ["messages", "input"].iter().any(|part| fetches(&value[part], false));
    !fetches && SERVERS_OWN.iter().all(|name| value.get(name).is_none())
}

/// A body that any two readers of JSON read alike.
pub(super) fn strict_object(body: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let is_clear = value.is_object() && has_no_name_twice(std::str::from_utf8(body).ok()?);
    is_clear.then_some(value)
}

/// Whether media beneath it comes by a URL; what tools are given is theirs.
fn fetches(value: &Value, is_media: bool) -> bool {
    const MEDIA: [&str; 6] =
        ["image_url", "video_url", "audio_url", "input_audio", "input_video", "source"];
    match value {
        Value::String(text) => {
            let text = text.trim().to_ascii_lowercase();
            let scheme = text.split_once("://").map_or("data:", |(scheme, _)| scheme);
            let is_elsewhere =
                scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
            is_media && (is_elsewhere || text.starts_with("http") || text.starts_with("file:"))
        }
        Value::Array(items) => items.iter().any(|item| fetches(item, is_media)),
        Value::Object(members) => members.iter().any(|(name, member)| match name.as_str() {
            "url" | "data" if is_media => fetches(member, true),
            "input" | "arguments" | "parameters" if !is_media => false,
            _ => !is_media && fetches(member, MEDIA.contains(&name.as_str())),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Of a text that is JSON: looks at its words alone. Deeper than 64 counts as twice.
fn has_no_name_twice(text: &str) -> bool {
    let mut open: Vec<HashSet<String>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        let mut end = at + 1;
        match byte {
            b'{' | b'[' => open.push(HashSet::new()),
            b'}' | b']' => drop(open.pop()),
            b'"' => {
                while text.as_bytes()[end] != b'"' {
                    end += if text.as_bytes()[end] == b'\\' { 2 } else { 1 };
                }
                end += 1;
                let word = serde_json::from_str(&text[at..end]).unwrap();
                let is_name = text[end..].trim_start().starts_with(':');
                if is_name && !open.last_mut().unwrap().insert(word) {
                    return false;
                }
            }
            _ => {}
        }
        if open.len() > 64 {
            return false;
        }
        at = end;
    }
    true
}
