//! Dynamic client registration of a native public client (RFC 7591).

use serde::{Deserialize, Serialize};

use crate::Reason;
use crate::limits::MAX_CLIENT_ID_CHARS;
use crate::redirect::RedirectUri;

/// What the client says of itself (RFC 7591 section 2).
#[derive(Debug, Serialize)]
pub struct ClientMetadata<'a> {
    client_name: &'static str,
    redirect_uris: [&'a str; 1],
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: &'static str,
    application_type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
}

impl<'a> ClientMetadata<'a> {
    /// The registration for one attempt: exactly its redirect URI, and no client secret.
    #[must_use]
    pub fn new(redirect_uri: &'a RedirectUri, scopes: &[String]) -> Self {
        Self {
            client_name: "companion",
            redirect_uris: [redirect_uri.as_str()],
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            token_endpoint_auth_method: "none",
            application_type: "native",
            scope: scopes.join(" "),
        }
    }
}

/// A client identifier: 1 to 512 printable characters without blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientId(String);

impl ClientId {
    /// Reads a configured or registered identifier.
    ///
    /// # Errors
    /// `registration_failed` when it is empty, too long or holds anything but visible ASCII.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let fits = (1..=MAX_CLIENT_ID_CHARS).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Reason::RegistrationFailed)
        }
    }

    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
struct UntrustedRegistration {
    client_id: String,
    redirect_uris: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
}

/// Judges the answer to a registration (RFC 7591 section 3.2.1).
///
/// # Errors
/// `registration_failed` when it is not such an answer, registered other redirect URIs than the
/// one asked for, or made the client a confidential one.
pub fn judge(document: &[u8], redirect_uri: &RedirectUri) -> Result<ClientId, Reason> {
    let untrusted: UntrustedRegistration =
        serde_json::from_slice(document).map_err(|_| Reason::RegistrationFailed)?;
    let same_uri = |uris: &Vec<String>| uris.iter().all(|uri| uri == redirect_uri.as_str());
    let same_uri = untrusted.redirect_uris.as_ref().is_none_or(same_uri);
    let public = untrusted.token_endpoint_auth_method.is_none_or(|method| method == "none");
    if same_uri && public {
        ClientId::parse(&untrusted.client_id)
    } else {
        Err(Reason::RegistrationFailed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ClientId, ClientMetadata, judge};
    use crate::Reason;
    use crate::redirect::RedirectUri;

    fn uri() -> RedirectUri {
        RedirectUri::parse("http://127.0.0.1:4711/callback/x").unwrap()
    }

    #[test]
    fn the_client_registers_as_a_public_native_one_with_its_one_redirect_uri() {
        let (uri, scopes) = (uri(), ["a".to_owned(), "b".to_owned()]);
        let said = serde_json::to_value(ClientMetadata::new(&uri, &scopes)).unwrap();
        assert_eq!(said["redirect_uris"], json!([uri.as_str()]));
        assert_eq!(said["token_endpoint_auth_method"], "none");
        assert_eq!(said["grant_types"], json!(["authorization_code", "refresh_token"]));
        assert_eq!(said["scope"], "a b");
        let none = serde_json::to_value(ClientMetadata::new(&uri, &[])).unwrap();
        assert_eq!(none.get("scope"), None);
    }

    #[test]
    fn an_answer_that_keeps_to_the_request_gives_the_client_id() {
        for answer in [
            json!({"client_id": "c-1"}),
            json!({"client_id": "c-1", "redirect_uris": [uri().as_str()],
                   "token_endpoint_auth_method": "none", "client_name": "x"}),
        ] {
            let client = judge(answer.to_string().as_bytes(), &uri());
            assert_eq!(client.unwrap().as_str(), "c-1");
        }
    }

    #[test]
    fn every_other_answer_is_refused() {
        for answer in [
            json!({}),
            json!({"client_id": ""}),
            json!({"client_id": "a b"}),
            json!({"client_id": "x".repeat(513)}),
            json!({"client_id": 7}),
            json!({"client_id": "c", "redirect_uris": ["http://127.0.0.1:1/other"]}),
            json!({"client_id": "c", "redirect_uris": [uri().as_str(), "https://evil.test"]}),
            json!({"client_id": "c", "token_endpoint_auth_method": "client_secret_basic"}),
        ] {
            let refused = judge(answer.to_string().as_bytes(), &uri());
            assert_eq!(refused.err(), Some(Reason::RegistrationFailed), "{answer}");
        }
        let twice = br#"{"client_id":"a","client_id":"b"}"#;
        assert_eq!(judge(twice, &uri()).err(), Some(Reason::RegistrationFailed));
    }

    #[test]
    fn a_configured_client_id_is_visible_ascii() {
        assert!(ClientId::parse(&"x".repeat(512)).is_ok());
        for text in ["", "a\n", "ä", " a"] {
            assert_eq!(ClientId::parse(text).err(), Some(Reason::RegistrationFailed), "{text}");
        }
    }
}
