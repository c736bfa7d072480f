//! The issuer and the metadata that speaks for it (RFC 8414; contract 6).

use serde::Deserialize;
use url::{Host, Url};

use crate::limits::MAX_URL_CHARS;
use crate::{Reason, pkce};

/// A configured issuer identifier: an `https` URL without user information, query or fragment.
#[derive(Debug, Clone)]
pub struct Issuer {
    text: String,
    url: Url,
}

impl Issuer {
    /// Reads the configured issuer.
    ///
    /// # Errors
    /// `account_not_configured` when it is empty; `discovery_failed` when it is not such a URL.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        if text.is_empty() {
            return Err(Reason::AccountNotConfigured);
        }
        let url = https_url(text)?;
        if url.query().is_some() {
            return Err(Reason::DiscoveryFailed);
        }
        Ok(Self { text: text.to_owned(), url })
    }

    /// The identifier as configured, for exact comparison.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where its metadata may lie, in the order to try: the location of RFC 8414 section 3.1,
    /// with the well-known part before the issuer's path, then after it.
    #[must_use]
    pub fn metadata_locations(&self) -> [Url; 2] {
        const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";
        let path = self.url.path().trim_end_matches('/');
        [format!("{WELL_KNOWN}{path}"), format!("{path}{WELL_KNOWN}")].map(|path| {
            let mut location = self.url.clone();
            location.set_path(&path);
            location
        })
    }

    fn host(&self) -> Option<Host<&str>> {
        self.url.host()
    }
}

/// Metadata that was judged to speak for its issuer; made by [`judge`] only.
#[derive(Debug, Clone)]
pub struct ServerMetadata {
    /// Where the browser is sent.
    pub authorization_endpoint: Url,
    /// Where codes and refresh tokens are exchanged.
    pub token_endpoint: Url,
    /// Where a client registers (RFC 7591).
    pub registration_endpoint: Option<Url>,
    /// Where tokens are revoked (RFC 7009).
    pub revocation_endpoint: Option<Url>,
    /// Whether the server announces `iss` in its answers (RFC 9207): then its absence is fatal.
    pub announces_iss: bool,
}

#[derive(Deserialize)]
struct UntrustedMetadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    registration_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    response_types_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Judges a metadata document.
///
/// # Errors
/// - `issuer_mismatch` when its `issuer` is not exactly the configured one;
/// - `unsupported_pkce_method` when it does not announce S256;
/// - `discovery_failed` when it is not JSON of the right types, names a member twice, does not
///   offer the `code` response type, or has an endpoint that is not `https` on the issuer's host.
pub fn judge(document: &[u8], issuer: &Issuer) -> Result<ServerMetadata, Reason> {
    // All of it: the parser passes over the bytes of members that it skips.
    let text = std::str::from_utf8(document).map_err(|_| Reason::DiscoveryFailed)?;
    let untrusted: UntrustedMetadata =
        serde_json::from_str(text).map_err(|_| Reason::DiscoveryFailed)?;
    if untrusted.issuer != issuer.text {
        return Err(Reason::IssuerMismatch);
    }
    pkce::require_s256(untrusted.code_challenge_methods_supported.as_deref())?;
    let offers_code = |types: &Vec<String>| types.iter().any(|kind| kind == "code");
    if untrusted.response_types_supported.as_ref().is_some_and(|types| !offers_code(types)) {
        return Err(Reason::DiscoveryFailed);
    }
    let endpoint = |text: &str| endpoint_of(text, issuer);
    let optional = |text: Option<String>| text.map(|text| endpoint(&text)).transpose();
    Ok(ServerMetadata {
        authorization_endpoint: endpoint(&untrusted.authorization_endpoint)?,
        token_endpoint: endpoint(&untrusted.token_endpoint)?,
        registration_endpoint: optional(untrusted.registration_endpoint)?,
        revocation_endpoint: optional(untrusted.revocation_endpoint)?,
        announces_iss: untrusted.authorization_response_iss_parameter_supported,
    })
}

/// Reads an endpoint: `https`, on the issuer's host.
///
/// # Errors
/// `discovery_failed` for every other URL.
pub fn endpoint_of(text: &str, issuer: &Issuer) -> Result<Url, Reason> {
    let url = https_url(text)?;
    if url.host() == issuer.host() { Ok(url) } else { Err(Reason::DiscoveryFailed) }
}

fn https_url(text: &str) -> Result<Url, Reason> {
    if text.len() > MAX_URL_CHARS || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Reason::DiscoveryFailed);
    }
    let url = Url::parse(text).map_err(|_| Reason::DiscoveryFailed)?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if url.scheme() == "https" && url.has_host() && plain {
        Ok(url)
    } else {
        Err(Reason::DiscoveryFailed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Issuer, endpoint_of, judge};
    use crate::Reason;

    const ISSUER: &str = "https://gateway.example.com/api/v1/auth/native";

    fn document() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://gateway.example.com/authorize?tenant=1",
            "token_endpoint": "https://gateway.example.com:8443/token",
            "registration_endpoint": "https://gateway.example.com/register",
            "revocation_endpoint": "https://gateway.example.com/revoke",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "unknown": {"a": 1},
        })
    }

    fn judged(document: &Value) -> Result<super::ServerMetadata, Reason> {
        judge(document.to_string().as_bytes(), &Issuer::parse(ISSUER).unwrap())
    }

    #[test]
    fn a_right_document_is_taken() {
        let metadata = judged(&document()).unwrap();
        assert_eq!(metadata.token_endpoint.as_str(), "https://gateway.example.com:8443/token");
        assert!(metadata.registration_endpoint.is_some() && metadata.revocation_endpoint.is_some());
        assert!(!metadata.announces_iss);
    }

    #[test]
    fn both_locations_are_tried_in_the_rfc_s_order() {
        let locations = Issuer::parse(ISSUER).unwrap().metadata_locations();
        assert_eq!(
            locations.map(String::from),
            [
                "https://gateway.example.com/.well-known/oauth-authorization-server/api/v1/auth/native",
                "https://gateway.example.com/api/v1/auth/native/.well-known/oauth-authorization-server",
            ]
        );
        let bare = Issuer::parse("https://gateway.example.com").unwrap().metadata_locations();
        assert_eq!(bare[0], bare[1]);
        assert_eq!(bare[0].path(), "/.well-known/oauth-authorization-server");
    }

    #[test]
    fn the_issuer_must_be_equal_to_the_last_character() {
        for other in [
            "https://gateway.example.com/api/v1/auth/native/",
            "https://GATEWAY.example.com/api/v1/auth/native",
            "https://evil.test",
            "",
        ] {
            let mut document = document();
            document["issuer"] = json!(other);
            assert_eq!(judged(&document).err(), Some(Reason::IssuerMismatch), "{other}");
        }
    }

    #[test]
    fn an_endpoint_elsewhere_or_without_tls_is_refused() {
        for member in [
            "authorization_endpoint",
            "token_endpoint",
            "registration_endpoint",
            "revocation_endpoint",
        ] {
            for endpoint in [
                "http://gateway.example.com/x",
                "https://evil.test/x",
                "https://gateway.example.com.evil.test/x",
                "https://user@gateway.example.com/x",
                "https://gateway.example.com/x#f",
                "https://gateway.example.com/x\n",
                "/x",
                "",
            ] {
                let mut document = document();
                document[member] = json!(endpoint);
                assert_eq!(judged(&document).err(), Some(Reason::DiscoveryFailed), "{endpoint}");
            }
        }
    }

    #[test]
    fn pkce_and_the_code_response_type_are_required() {
        let mut plain = document();
        plain["code_challenge_methods_supported"] = json!(["plain"]);
        assert_eq!(judged(&plain).err(), Some(Reason::UnsupportedPkceMethod));
        let mut silent = document();
        silent.as_object_mut().unwrap().remove("code_challenge_methods_supported");
        assert_eq!(judged(&silent).err(), Some(Reason::UnsupportedPkceMethod));
        let mut implicit = document();
        implicit["response_types_supported"] = json!(["token"]);
        assert_eq!(judged(&implicit).err(), Some(Reason::DiscoveryFailed));
    }

    #[test]
    fn a_member_named_twice_is_refused() {
        let twice = document().to_string().replacen(
            "{",
            "{\"token_endpoint\":\"https://gateway.example.com/other\",",
            1,
        );
        let issuer = Issuer::parse(ISSUER).unwrap();
        assert_eq!(judge(twice.as_bytes(), &issuer).err(), Some(Reason::DiscoveryFailed));
    }

    #[test]
    fn an_announced_iss_is_noted() {
        let mut document = document();
        document["authorization_response_iss_parameter_supported"] = json!(true);
        assert!(judged(&document).unwrap().announces_iss);
    }

    #[test]
    fn a_configured_issuer_is_https_and_plain() {
        assert_eq!(Issuer::parse("").err(), Some(Reason::AccountNotConfigured));
        for text in
            ["http://a.test", "a.test", "https://u@a.test", "https://a.test?x", "https://a#f"]
        {
            assert_eq!(Issuer::parse(text).err(), Some(Reason::DiscoveryFailed), "{text}");
        }
        assert_eq!(Issuer::parse(ISSUER).unwrap().as_str(), ISSUER);
    }

    proptest! {
        #[test]
        fn no_document_makes_the_judgement_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(judge(&bytes, &Issuer::parse(ISSUER).unwrap()).is_err());
        }

        #[test]
        fn an_endpoint_that_passes_is_on_the_issuer_s_host(text in "https://[a-z.@:/#?]{0,40}") {
            if let Ok(url) = endpoint_of(&text, &Issuer::parse(ISSUER).unwrap()) {
                prop_assert_eq!(url.host_str(), Some("gateway.example.com"));
            }
        }
    }
}
