//! Where the browser brings the answer of a sign-in (RFC 8252 section 7.3; contract 6).

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Reason;

/// A redirect URI: `http`, a loopback literal, an explicit port, a plain path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri {
    text: String,
    authority_end: usize,
}

impl RedirectUri {
    /// Reads a redirect URI.
    ///
    /// The text is judged as it stands, without the normalisation of a URL parser, since it is
    /// sent and compared as it stands.
    ///
    /// # Errors
    /// `invalid_redirect_uri` unless the scheme is `http`, the host is literally `127.0.0.1` or
    /// `[::1]`, the port is 1 to 65535 in plain decimal, and what follows is a path of unreserved
    /// characters: no user information, query, fragment or percent sign.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let refused = Reason::InvalidRedirectUri;
        let after_scheme = text.strip_prefix("http://").ok_or(refused)?;
        let after_host = ["127.0.0.1:", "[::1]:"]
            .into_iter()
            .find_map(|host| after_scheme.strip_prefix(host))
            .ok_or(refused)?;
        let port_length = after_host.find('/').unwrap_or(after_host.len());
        let (port, path) = after_host.split_at(port_length);
        if !is_port(port) || !path.bytes().all(is_path_byte) {
            return Err(refused);
        }
        Ok(Self { text: text.to_owned(), authority_end: text.len() - path.len() })
    }

    /// The redirect URI of a bound listener and a path.
    ///
    /// # Errors
    /// `invalid_redirect_uri` when the address is not a loopback literal of [`Self::parse`].
    pub fn of_listener(address: IpAddr, port: u16, path: &str) -> Result<Self, Reason> {
        match address {
            IpAddr::V4(v4) => Self::parse(&format!("http://{v4}:{port}{path}")),
            IpAddr::V6(v6) => Self::parse(&format!("http://[{v6}]:{port}{path}")),
        }
    }

    /// The whole URI, as it is registered and sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `host:port`, as the `Host` header of the browser must say it.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.text["http://".len()..self.authority_end]
    }

    /// The path on which the answer is taken, with its slash.
    #[must_use]
    pub fn path(&self) -> &str {
        if self.authority_end == self.text.len() { "/" } else { &self.text[self.authority_end..] }
    }
}

/// The callback path for one attempt: with 128 random bits where the client registers its
/// redirect URI for each attempt, so that a page that scans ports cannot end it; fixed where a
/// configured client has it registered already.
#[must_use]
pub fn callback_path(random: Option<[u8; 16]>) -> String {
    match random {
        Some(bits) => format!("/callback/{}", URL_SAFE_NO_PAD.encode(bits)),
        None => "/callback".to_owned(),
    }
}

fn is_port(text: &str) -> bool {
    !text.starts_with('0')
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// `/` and the unreserved characters of RFC 3986 section 2.3.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::{RedirectUri, callback_path};
    use crate::Reason;

    #[test]
    fn loopback_literals_with_a_port_are_accepted() {
        for (text, authority, path) in [
            ("http://127.0.0.1:1/callback", "127.0.0.1:1", "/callback"),
            ("http://127.0.0.1:65535", "127.0.0.1:65535", "/"),
            ("http://[::1]:8080/a/b-c._~", "[::1]:8080", "/a/b-c._~"),
        ] {
            let uri = RedirectUri::parse(text).unwrap();
            assert_eq!((uri.as_str(), uri.authority(), uri.path()), (text, authority, path));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "https://127.0.0.1:8080/",
            "HTTP://127.0.0.1:8080/",
            "http://localhost:8080/",
            "http://127.0.0.2:8080/",
            "http://127.1:8080/",
            "http://0.0.0.0:8080/",
            "http://[::]:8080/",
            "http://[0:0:0:0:0:0:0:1]:8080/",
            "http://127.0.0.1/",
            "http://127.0.0.1:/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:080/",
            "http://127.0.0.1:65536/",
            "http://127.0.0.1:+80/",
            "http://user@127.0.0.1:8080/",
            "http://127.0.0.1:8080@evil.test/",
            "http://127.0.0.1:8080/?x=1",
            "http://127.0.0.1:8080/#x",
            "http://127.0.0.1:8080/%2e",
            "http://127.0.0.1:8080/a b",
            "http://127.0.0.1:8080\\a",
            "http://127.0.0.1:8080/\r\n",
            "http://127.0.0.1.evil.test:8080/",
        ] {
            assert_eq!(RedirectUri::parse(text), Err(Reason::InvalidRedirectUri), "{text}");
        }
    }

    #[test]
    fn a_listener_anywhere_else_has_no_redirect_uri() {
        let uri = |address: &str| {
            RedirectUri::of_listener(address.parse::<IpAddr>().unwrap(), 4711, "/callback")
        };
        assert_eq!(uri("127.0.0.1").unwrap().as_str(), "http://127.0.0.1:4711/callback");
        assert_eq!(uri("::1").unwrap().as_str(), "http://[::1]:4711/callback");
        for elsewhere in ["0.0.0.0", "::", "192.168.0.1", "127.0.0.2", "::ffff:127.0.0.1"] {
            assert_eq!(uri(elsewhere), Err(Reason::InvalidRedirectUri), "{elsewhere}");
        }
    }

    proptest! {
        #[test]
        fn the_random_path_carries_all_128_bits(a in any::<[u8; 16]>(), b in any::<[u8; 16]>()) {
            prop_assert_eq!(callback_path(Some(a)) == callback_path(Some(b)), a == b);
            let address = IpAddr::from([127, 0, 0, 1]);
            let path = callback_path(Some(a));
            let uri = RedirectUri::of_listener(address, 1, &path).unwrap();
            prop_assert_eq!(uri.path(), path.as_str());
        }

        #[test]
        fn parsing_never_panics_and_what_passes_is_loopback(text in "\\PC{0,60}") {
            if let Ok(uri) = RedirectUri::parse(&text) {
                prop_assert!(uri.authority().starts_with("127.0.0.1:")
                    || uri.authority().starts_with("[::1]:"));
            }
        }
    }
}
