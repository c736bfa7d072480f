//! The URL that the person's browser is sent to (RFC 6749 section 4.1.1, RFC 7636).

use zeroize::Zeroizing;

use crate::OneTimeValue;
use crate::discovery::ServerMetadata;
use crate::pkce::{self, CodeChallenge};
use crate::redirect::RedirectUri;
use crate::registration::ClientId;

/// What one attempt asks for.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizationRequest<'a> {
    /// The registered or configured client.
    pub client_id: &'a ClientId,
    /// The bound listener's URI.
    pub redirect_uri: &'a RedirectUri,
    /// Scopes; none: the server's default.
    pub scopes: &'a [String],
    /// This attempt's `state`.
    pub state: &'a OneTimeValue,
    /// This attempt's `nonce`, where an ID token is asked for ([`asks_for_id_token`]).
    pub nonce: Option<&'a OneTimeValue>,
    /// This attempt's challenge, by S256.
    pub challenge: &'a CodeChallenge,
}

/// Whether these scopes make a request one of OpenID Connect (Core section 3.1.2.1). Only then
/// is `nonce` a parameter that a server knows: some refuse it elsewhere.
#[must_use]
pub fn asks_for_id_token(scopes: &[String]) -> bool {
    scopes.iter().any(|scope| scope == "openid")
}

/// The authorization URL: the server's endpoint with the request in its query. It is the only
/// text outside the browser's answer that carries `state`.
#[must_use]
pub fn authorization_url(
    server: &ServerMetadata,
    request: AuthorizationRequest<'_>,
) -> Zeroizing<String> {
    let mut url = server.authorization_endpoint.clone();
    let mut query = url.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", request.client_id.as_str())
        .append_pair("redirect_uri", request.redirect_uri.as_str());
    if !request.scopes.is_empty() {
        query.append_pair("scope", &request.scopes.join(" "));
    }
    query.append_pair("state", request.state.expose_for_authorization_url());
    if let Some(nonce) = request.nonce {
        query.append_pair("nonce", nonce.expose_for_authorization_url());
    }
    query
        .append_pair("code_challenge", request.challenge.as_str())
        .append_pair("code_challenge_method", pkce::METHOD);
    drop(query);
    Zeroizing::new(url.into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use url::Url;

    use super::{AuthorizationRequest, asks_for_id_token, authorization_url};
    use crate::OneTimeValue;
    use crate::discovery::ServerMetadata;
    use crate::pkce::CodeVerifier;
    use crate::redirect::RedirectUri;
    use crate::registration::ClientId;

    fn scopes(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    fn url_for(scopes: &[String]) -> Url {
        let nonce = OneTimeValue::from_random([2; 32]);
        let server = ServerMetadata {
            authorization_endpoint: Url::parse("https://g.test/authorize?tenant=1").unwrap(),
            token_endpoint: Url::parse("https://g.test/token").unwrap(),
            registration_endpoint: None,
            revocation_endpoint: None,
            announces_iss: true,
        };
        let request = AuthorizationRequest {
            client_id: &ClientId::parse("c&d").unwrap(),
            redirect_uri: &RedirectUri::parse("http://127.0.0.1:4711/callback/x").unwrap(),
            scopes,
            state: &OneTimeValue::from_random([1; 32]),
            nonce: asks_for_id_token(scopes).then_some(&nonce),
            challenge: &CodeVerifier::from_random([3; 32]).challenge(),
        };
        Url::parse(&authorization_url(&server, request)).unwrap()
    }

    #[test]
    fn the_url_says_everything_once_and_encoded() {
        let url = url_for(&scopes("openid vault:read"));
        let pairs: HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(pairs.len(), url.query_pairs().count());
        assert_eq!(pairs["tenant"], "1");
        assert_eq!(pairs["response_type"], "code");
        assert_eq!(pairs["client_id"], "c&d");
        assert_eq!(pairs["redirect_uri"], "http://127.0.0.1:4711/callback/x");
        assert_eq!(pairs["scope"], "openid vault:read");
        let state = OneTimeValue::from_random([1; 32]);
        assert_eq!(pairs["state"], state.expose_for_authorization_url());
        let nonce = OneTimeValue::from_random([2; 32]);
        assert_eq!(pairs["nonce"], nonce.expose_for_authorization_url());
        assert_ne!(pairs["state"], pairs["nonce"]);
        assert_eq!(pairs["code_challenge_method"], "S256");
        assert_eq!(
            pairs["code_challenge"],
            CodeVerifier::from_random([3; 32]).challenge().as_str()
        );
    }

    #[test]
    fn a_nonce_goes_only_with_openid() {
        for (words, asked) in [
            ("openid", true),
            ("vault:read openid", true),
            ("vault:read", false),
            ("openid2", false),
            ("", false),
        ] {
            let url = url_for(&scopes(words));
            let sent = url.query_pairs().any(|(name, _)| name == "nonce");
            assert_eq!((asks_for_id_token(&scopes(words)), sent), (asked, asked), "{words}");
        }
    }

    #[test]
    fn the_verifier_is_not_in_the_url_and_no_scope_is_no_parameter() {
        let url = url_for(&[]);
        let verifier = CodeVerifier::from_random([3; 32]);
        assert!(!url.as_str().contains(verifier.expose_for_token_request()));
        assert!(!url.as_str().contains("scope="));
    }
}
