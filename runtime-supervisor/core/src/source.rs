//! Where bytes may come from (contract 8): `https`, and under an allowed source by scheme,
//! host, port and path prefix on a segment boundary, after normalisation.

use std::fmt;

use url::{Host, Url};

use crate::Reason;
use crate::bounds::{MAX_REDIRECTS, MAX_SOURCES, MAX_URL_BYTES};

/// The port of `https` where a URL names none.
const HTTPS_PORT: u16 = 443;

/// The sources of one artifact: URL prefixes of the signed catalog, each on a host that this
/// installation may reach.
#[derive(Clone)]
pub struct AllowedSources {
    prefixes: Vec<Prefix>,
}

#[derive(Clone)]
struct Prefix {
    origin: Origin,
    path: String,
}

#[derive(Clone, PartialEq, Eq)]
struct Origin {
    host: String,
    port: u16,
}

impl AllowedSources {
    /// Reads the URL prefixes of an artifact and keeps them within `hosts`, the `host:port`
    /// pairs of the configuration.
    ///
    /// # Errors
    /// [`Reason::SchemeNotAllowed`] for a prefix that is not `https`;
    /// [`Reason::SourceNotAllowed`] when there is none, there are too many, one cannot be read,
    /// carries a query, or lies on another host.
    pub fn parse(prefixes: &[String], hosts: &[String]) -> Result<Self, Reason> {
        if prefixes.is_empty() || prefixes.len() > MAX_SOURCES {
            return Err(Reason::SourceNotAllowed);
        }
        let hosts: Vec<Origin> = hosts.iter().filter_map(|pair| Origin::of_pair(pair)).collect();
        let prefixes = prefixes
            .iter()
            .map(|raw| {
                let url = canonical(raw)?;
                let origin = Origin::of(&url)?;
                if url.query().is_some() || !hosts.contains(&origin) {
                    return Err(Reason::SourceNotAllowed);
                }
                Ok(Prefix { origin, path: url.path().to_owned() })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { prefixes })
    }

    fn permit(&self, url: Url) -> Result<PermittedUrl, Reason> {
        let origin = Origin::of(&url)?;
        let allowed = self
            .prefixes
            .iter()
            .any(|prefix| prefix.origin == origin && lies_under(url.path(), &prefix.path));
        if allowed { Ok(PermittedUrl { url, origin }) } else { Err(Reason::SourceNotAllowed) }
    }
}

impl fmt::Debug for AllowedSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AllowedSources([redacted])")
    }
}

/// A URL that may be fetched. Its `Debug` shows nothing of it: download URLs are never printed.
#[derive(Clone)]
pub struct PermittedUrl {
    url: Url,
    origin: Origin,
}

impl PermittedUrl {
    /// The host to be connected to: lower case, without a trailing dot; an IPv6 literal in
    /// brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.origin.host
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.origin.port
    }

    /// The value of the `Host` header (RFC 9112 section 3.2): the port only where it is not 443.
    #[must_use]
    pub fn host_header(&self) -> String {
        if self.origin.port == HTTPS_PORT {
            self.origin.host.clone()
        } else {
            format!("{}:{}", self.origin.host, self.origin.port)
        }
    }

    /// The request target in origin form (RFC 9112 section 3.2.1): path and query.
    #[must_use]
    pub fn request_target(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }
}

impl fmt::Debug for PermittedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PermittedUrl([redacted])")
    }
}

/// Decides whether a URL of the catalog may be fetched.
///
/// # Errors
/// [`Reason::SchemeNotAllowed`] for anything but `https`; [`Reason::SourceNotAllowed`] when it
/// lies under no source, or is written ambiguously: dot segments, encoded slashes, user
/// information, a fragment, characters outside printable ASCII.
pub fn validate_source(raw: &str, sources: &AllowedSources) -> Result<PermittedUrl, Reason> {
    sources.permit(canonical(raw)?)
}

/// Decides whether a redirect may be followed, `followed` redirects having been followed before
/// it. A relative `location` is resolved against the URL it came from.
///
/// # Errors
/// [`Reason::TooManyRedirects`] past the bound, else as [`validate_source`].
pub fn follow_redirect(
    from: &PermittedUrl,
    location: &str,
    followed: u32,
    sources: &AllowedSources,
) -> Result<PermittedUrl, Reason> {
    if followed >= MAX_REDIRECTS {
        return Err(Reason::TooManyRedirects);
    }
    if !is_plainly_written(location) {
        return Err(Reason::SourceNotAllowed);
    }
    let resolved = from.url.join(location).map_err(|_| Reason::SourceNotAllowed)?;
    validate_source(resolved.as_str(), sources)
}

fn canonical(raw: &str) -> Result<Url, Reason> {
    if !is_plainly_written(raw) {
        return Err(Reason::SourceNotAllowed);
    }
    let url = Url::parse(raw).map_err(|_| Reason::SourceNotAllowed)?;
    if url.scheme() != "https" {
        return Err(Reason::SchemeNotAllowed);
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user || url.fragment().is_some() {
        return Err(Reason::SourceNotAllowed);
    }
    Ok(url)
}

/// Whether every reader resolves this text to the same place: no character that parsers drop or
/// turn, no dot segment, no encoded separator.
fn is_plainly_written(raw: &str) -> bool {
    let printable = raw.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if !printable || raw.len() > MAX_URL_BYTES {
        return false;
    }
    let before_query = raw.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let encoded_separator = ["%2f", "%5c", "%00"].iter().any(|code| before_query.contains(code));
    let dot_segment = before_query
        .split('/')
        .map(|segment| segment.replace("%2e", "."))
        .any(|segment| segment == "." || segment == "..");
    !encoded_separator && !dot_segment
}

/// Whether `path` is `prefix` or lies beneath it, on a segment boundary.
fn lies_under(path: &str, prefix: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

impl Origin {
    fn of(url: &Url) -> Result<Self, Reason> {
        let host = match url.host().ok_or(Reason::SourceNotAllowed)? {
            Host::Domain(name) => name.trim_end_matches('.').to_ascii_lowercase(),
            literal @ (Host::Ipv4(_) | Host::Ipv6(_)) => literal.to_string(),
        };
        if host.is_empty() {
            return Err(Reason::SourceNotAllowed);
        }
        Ok(Self { host, port: url.port().unwrap_or(HTTPS_PORT) })
    }

    /// `host:port` of the configuration.
    fn of_pair(pair: &str) -> Option<Self> {
        let url = Url::parse(&format!("https://{pair}/")).ok()?;
        (url.path() == "/").then_some(())?;
        Self::of(&url).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sources(prefixes: &[&str]) -> AllowedSources {
        let prefixes: Vec<_> = prefixes.iter().map(|&p| p.to_owned()).collect();
        let hosts = ["models.example.com:443", "mirror.example.net:8443", "[::1]:443"];
        AllowedSources::parse(&prefixes, &hosts.map(str::to_owned)).unwrap()
    }

    fn verdict(url: &str, prefixes: &[&str]) -> Result<(), Reason> {
        validate_source(url, &sources(prefixes)).map(|_| ())
    }

    #[test]
    fn a_url_under_an_allowed_source_is_permitted() {
        for (url, prefix) in [
            ("https://models.example.com/models/a.gguf", "https://models.example.com/models"),
            ("https://models.example.com/models", "https://models.example.com/models"),
            ("https://models.example.com/models/a.gguf", "https://models.example.com/models/"),
            ("https://MODELS.Example.com./models/a", "https://models.example.com/models"),
            ("https://models.example.com:443/a", "https://models.example.com/"),
            ("https://models.example.com/a", "https://models.example.com:443/"),
            ("https://mirror.example.net:8443/a?sig=x", "https://mirror.example.net:8443/"),
            ("https://[::1]/a", "https://[0:0::1]/"),
        ] {
            assert_eq!(verdict(url, &[prefix]), Ok(()), "{url}");
        }
    }

    /// Contract 8: look-alike hosts, look-alike paths and `..` are refused.
    #[test]
    fn a_url_outside_every_allowed_source_is_refused() {
        let prefix = "https://models.example.com/models";
        for url in [
            "https://models.example.com.evil.test/models/a",
            "https://models.example.com/models-evil/a",
            "https://models.example.com/models/../evil",
            "https://models.example.com/models/%2e%2E/evil",
            "https://models.example.com/models/./a",
            "https://models.example.com/models/..%2fevil",
            "https://models.example.com/models%5c..%5cevil",
            "https://models.example.com/Models/a",
            "https://models.example.com/",
            "https://models.example.com:8443/models/a",
            "https://models.example.com@evil.test/models/a",
            "https://user:word@models.example.com/models/a",
            "https://evil.test/models/a",
            "https://evil.test\\@models.example.com/models/a",
            "https:\\\\models.example.com\\models\\a",
            "https://models.example.com/models/a#part",
            "https://models.exam\tple.com/models/a",
            " https://models.example.com/models/a",
            "https://models.example.com/models/a\u{200b}",
            "https://mödels.example.com/models/a",
            "https:///models/a",
            "models.example.com/models/a",
            "",
        ] {
            assert_eq!(verdict(url, &[prefix]), Err(Reason::SourceNotAllowed), "{url}");
        }
    }

    #[test]
    fn any_scheme_but_https_is_refused_as_such() {
        for url in [
            "http://models.example.com/models/a",
            "ftp://models.example.com/models/a",
            "file:///models/a",
            "data:text/plain,x",
            "wss://models.example.com/models/a",
        ] {
            let refused = verdict(url, &["https://models.example.com/models"]);
            assert_eq!(refused, Err(Reason::SchemeNotAllowed), "{url}");
        }
    }

    #[test]
    fn a_source_outside_the_configured_hosts_is_refused() {
        let hosts = ["models.example.com:443".to_owned()];
        for prefix in [
            "https://evil.test/",
            "https://models.example.com:444/",
            "https://models.example.com/?q",
            "https://models.example.com/../",
        ] {
            let refused = AllowedSources::parse(&[prefix.to_owned()], &hosts).map(|_| ());
            assert_eq!(refused, Err(Reason::SourceNotAllowed), "{prefix}");
        }
        let http = AllowedSources::parse(&["http://models.example.com/".to_owned()], &hosts);
        assert_eq!(http.map(|_| ()), Err(Reason::SchemeNotAllowed));
        assert_eq!(AllowedSources::parse(&[], &hosts).map(|_| ()), Err(Reason::SourceNotAllowed));
        let many = vec!["https://models.example.com/".to_owned(); MAX_SOURCES + 1];
        assert_eq!(AllowedSources::parse(&many, &hosts).map(|_| ()), Err(Reason::SourceNotAllowed));
        assert_eq!(
            AllowedSources::parse(&["https://models.example.com/".to_owned()], &[]).map(|_| ()),
            Err(Reason::SourceNotAllowed)
        );
    }

    #[test]
    fn redirects_stay_within_the_allowed_sources() {
        let sources =
            sources(&["https://models.example.com/models", "https://mirror.example.net:8443/"]);
        let from = validate_source("https://models.example.com/models/a", &sources).unwrap();
        let go = |location: &str| {
            follow_redirect(&from, location, 0, &sources).map(|to| to.request_target())
        };
        assert_eq!(go("/models/b?c=d"), Ok("/models/b?c=d".to_owned()));
        assert_eq!(go("b"), Ok("/models/b".to_owned()));
        assert_eq!(go("https://mirror.example.net:8443/x"), Ok("/x".to_owned()));
        assert_eq!(go("/elsewhere"), Err(Reason::SourceNotAllowed));
        assert_eq!(go("../models/b"), Err(Reason::SourceNotAllowed));
        assert_eq!(go("//evil.test/models/a"), Err(Reason::SourceNotAllowed));
        assert_eq!(go("https://evil.test/"), Err(Reason::SourceNotAllowed));
        assert_eq!(go("http://models.example.com/models/a"), Err(Reason::SchemeNotAllowed));
    }

    #[test]
    fn the_sixth_redirect_is_refused() {
        let sources = sources(&["https://models.example.com/"]);
        let from = validate_source("https://models.example.com/a", &sources).unwrap();
        assert!(follow_redirect(&from, "/b", MAX_REDIRECTS - 1, &sources).is_ok());
        assert_eq!(
            follow_redirect(&from, "/b", MAX_REDIRECTS, &sources).map(|_| ()),
            Err(Reason::TooManyRedirects)
        );
    }

    #[test]
    fn what_a_permitted_url_asks_for_is_what_was_judged_and_is_not_printed() {
        let sources = sources(&["https://mirror.example.net:8443/", "https://models.example.com/"]);
        let url = validate_source("https://Mirror.Example.net.:8443/p/q?r", &sources).unwrap();
        assert_eq!((url.host(), url.port()), ("mirror.example.net", 8443));
        assert_eq!(url.host_header(), "mirror.example.net:8443");
        assert_eq!(url.request_target(), "/p/q?r");
        let plain = validate_source("https://models.example.com/secret-name", &sources).unwrap();
        assert_eq!(plain.host_header(), "models.example.com");
        let shown = format!("{plain:?} {sources:?}");
        assert!(!shown.contains("secret") && !shown.contains("example"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_leave_the_sources(raw in "\\PC{0,80}") {
            let sources = sources(&["https://models.example.com/models/"]);
            if let Ok(url) = validate_source(&raw, &sources) {
                prop_assert_eq!(url.host(), "models.example.com");
                prop_assert!(url.request_target().starts_with("/models/"));
            }
        }

        #[test]
        fn no_tail_escapes_its_prefix(tail in "[-a-z0-9./%@:?#\\\\]{0,40}") {
            let sources = sources(&["https://models.example.com/models"]);
            let raw = format!("https://models.example.com/models{tail}");
            if let Ok(url) = validate_source(&raw, &sources) {
                prop_assert_eq!(url.host(), "models.example.com");
                prop_assert_eq!(url.port(), 443);
                let target = url.request_target();
                let path = target.split('?').next().unwrap();
                prop_assert!(path == "/models" || path.starts_with("/models/"));
                prop_assert!(!path.split('/').any(|segment| segment == ".."));
            }
        }

        #[test]
        fn no_location_leaves_the_sources(location in "\\PC{0,60}") {
            let sources = sources(&["https://models.example.com/models"]);
            let from = validate_source("https://models.example.com/models/a", &sources).unwrap();
            if let Ok(url) = follow_redirect(&from, &location, 0, &sources) {
                prop_assert_eq!(url.host(), "models.example.com");
            }
        }
    }
}
