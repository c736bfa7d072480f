//! The token and revocation endpoints (RFC 6749 section 4.1.3 and 6, RFC 7009).
//!
//! The oauth2 crate writes the requests. What comes back never reaches it: its reader repeats in
//! its errors what it could not read. The HTTP function below judges each answer itself and
//! tells the crate only that it has done so.

use std::sync::{Arc, Mutex, PoisonError};

use authority_core::callback::AuthorizationCode;
use authority_core::pkce::CodeVerifier;
use authority_core::redirect::RedirectUri;
use authority_core::registration::ClientId;
use authority_core::token_response::{self, Refused, TokenResponse};
use authority_core::{OauthError, Reason, Secret};
use http::StatusCode;
use oauth2::basic::BasicClient;
use oauth2::{
    AccessToken, AuthorizationCode as Code, ClientId as OauthClientId, HttpRequest, HttpResponse,
    PkceCodeVerifier, RedirectUrl, RefreshToken, RevocationUrl, StandardRevocableToken, TokenUrl,
};
use url::Url;

use crate::https::{Answer, Https, HttpsError};
use crate::limits::OAUTH_BODY_BYTES;

/// Why there are no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenFault {
    /// The grant is reused, revoked or expired.
    InvalidGrant,
    /// The server refused for another reason.
    Refused(OauthError),
    /// The server could not be asked.
    Unreachable,
    /// The server's answer is not a token response.
    Malformed,
}

impl TokenFault {
    /// The reason code of a sign-in that ends so.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::InvalidGrant | Self::Refused(_) | Self::Unreachable => {
                Reason::TokenExchangeFailed
            }
            Self::Malformed => Reason::InvalidTokenResponse,
        }
    }
}

/// Exchanges an accepted code.
pub(crate) async fn exchange(
    https: &Https,
    endpoint: &Url,
    client_id: &ClientId,
    redirect_uri: &RedirectUri,
    code: &AuthorizationCode,
    verifier: &CodeVerifier,
) -> Result<TokenResponse, TokenFault> {
    let redirect_url =
        RedirectUrl::new(redirect_uri.as_str().to_owned()).map_err(|_| TokenFault::Unreachable)?;
    let client = BasicClient::new(OauthClientId::new(client_id.as_str().to_owned()))
        .set_token_uri(TokenUrl::from_url(endpoint.clone()))
        .set_redirect_uri(redirect_url);
    let asked = Asked::new(https);
    let _ = client
        .exchange_code(Code::new(code.expose_for_token_request().to_owned()))
        .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_for_token_request().to_owned()))
        .request_async(&|request| asked.clone().send(request))
        .await;
    tokens(asked.answer())
}

/// Renews with a refresh token.
pub(crate) async fn refresh(
    https: &Https,
    endpoint: &Url,
    client_id: &ClientId,
    refresh_token: &Secret,
) -> Result<TokenResponse, TokenFault> {
    let text = refresh_token.expose_text().map_err(|_| TokenFault::InvalidGrant)?;
    let client = BasicClient::new(OauthClientId::new(client_id.as_str().to_owned()))
        .set_token_uri(TokenUrl::from_url(endpoint.clone()));
    let asked = Asked::new(https);
    let _ = client
        .exchange_refresh_token(&RefreshToken::new(text.to_owned()))
        .request_async(&|request| asked.clone().send(request))
        .await;
    tokens(asked.answer())
}

/// Which token is revoked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Revocable<'a> {
    Access(&'a Secret),
    Refresh(&'a Secret),
}

/// Revokes a token; true when the server confirmed it.
pub(crate) async fn revoke(
    https: &Https,
    endpoint: &Url,
    client_id: &ClientId,
    token: Revocable<'_>,
) -> bool {
    let token = match token {
        Revocable::Access(secret) => secret
            .expose_text()
            .map(|text| StandardRevocableToken::AccessToken(AccessToken::new(text.to_owned()))),
        Revocable::Refresh(secret) => secret
            .expose_text()
            .map(|text| StandardRevocableToken::RefreshToken(RefreshToken::new(text.to_owned()))),
    };
    let client = BasicClient::new(OauthClientId::new(client_id.as_str().to_owned()))
        .set_revocation_url(RevocationUrl::from_url(endpoint.clone()));
    let Ok(token) = token else { return false };
    let Ok(request) = client.revoke_token(token) else { return false };
    let asked = Asked::new(https);
    let _ = request.request_async(&|request| asked.clone().send(request)).await;
    asked.answer().is_ok_and(|answer| answer.status == StatusCode::OK)
}

fn tokens(answer: Result<Answer, HttpsError>) -> Result<TokenResponse, TokenFault> {
    match answer {
        Ok(answer) if answer.status == StatusCode::OK => {
            token_response::judge(json_of(&answer)).map_err(|_| TokenFault::Malformed)
        }
        Ok(answer) => {
            match token_response::judge_refusal(answer.status.as_u16(), json_of(&answer)) {
                Refused::InvalidGrant => Err(TokenFault::InvalidGrant),
                Refused::Fault(error) => Err(TokenFault::Refused(error)),
            }
        }
        Err(HttpsError::TooLarge) => Err(TokenFault::Malformed),
        Err(
            HttpsError::NotHttps
            | HttpsError::Unreachable
            | HttpsError::Broken
            | HttpsError::Timeout,
        ) => Err(TokenFault::Unreachable),
    }
}

/// What says that it is JSON (RFC 6749 section 5): the page of a portal in between is nobody's
/// judgement of a grant, whatever its text.
fn json_of(answer: &Answer) -> &[u8] {
    if answer.is_json { &answer.body } else { b"" }
}

/// The HTTP function that keeps the answer to itself.
#[derive(Clone)]
struct Asked {
    https: Https,
    answer: Arc<Mutex<Option<Result<Answer, HttpsError>>>>,
}

/// Told to the oauth2 crate in place of the answer.
#[derive(Debug, thiserror::Error)]
#[error("judged elsewhere")]
struct JudgedElsewhere;

impl Asked {
    fn new(https: &Https) -> Self {
        Self { https: https.clone(), answer: Arc::default() }
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, JudgedElsewhere> {
        let answer = self.https.send(request, OAUTH_BODY_BYTES).await;
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        Err(JudgedElsewhere)
    }

    fn answer(&self) -> Result<Answer, HttpsError> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.take().unwrap_or(Err(HttpsError::NotHttps))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use authority_core::Secret;
    use authority_core::registration::ClientId;
    use http::Response;
    use serde_json::json;

    use super::{Revocable, TokenFault, refresh, revoke};
    use crate::testing::{Gateway, json};

    fn form(body: &[u8]) -> HashMap<String, String> {
        url::form_urlencoded::parse(body).into_owned().collect()
    }

    fn token() -> Secret {
        Secret::new(b"r/1+2".to_vec()).unwrap()
    }

    fn client() -> ClientId {
        ClientId::parse("c-1").unwrap()
    }

    #[tokio::test]
    async fn a_refresh_sends_the_token_once_and_takes_the_answer() {
        let gateway = Gateway::start(|request| {
            let form = form(request.body());
            assert_eq!(form["grant_type"], "refresh_token");
            assert_eq!(form["refresh_token"], "r/1+2");
            assert_eq!(form["client_id"], "c-1");
            json(
                200,
                &json!({"token_type": "Bearer", "access_token": "a2", "expires_in": 60,
                              "refresh_token": "r2"}),
            )
        });
        let endpoint = gateway.url("/token");
        let renewed = refresh(&gateway.https(), &endpoint, &client(), &token()).await.unwrap();
        assert!(renewed.access_token.equals(b"a2"));
        assert!(renewed.refresh_token.unwrap().equals(b"r2"));
        assert_eq!(gateway.requests(), 1);
    }

    #[tokio::test]
    async fn each_bad_answer_is_its_own_fault() {
        type Answer = fn() -> Response<Vec<u8>>;
        let cases: [(Answer, TokenFault); 6] = [
            (|| json(400, &json!({"error": "invalid_grant"})), TokenFault::InvalidGrant),
            (
                || json(503, &json!({"error": "invalid_grant"})),
                TokenFault::Refused(authority_core::OauthError::InvalidGrant),
            ),
            (|| json(500, &json!({})), TokenFault::Refused(authority_core::OauthError::Other)),
            (|| Response::new(b"<html>".to_vec()), TokenFault::Malformed),
            (|| Response::new(vec![b' '; 65 * 1024]), TokenFault::Malformed),
            (
                || {
                    let redirect = Response::builder().status(307).header("location", "/elsewhere");
                    redirect.body(Vec::new()).unwrap()
                },
                TokenFault::Refused(authority_core::OauthError::Other),
            ),
        ];
        for (answer, fault) in cases {
            let gateway = Gateway::start(move |_| answer());
            let endpoint = gateway.url("/token");
            let refused = refresh(&gateway.https(), &endpoint, &client(), &token()).await;
            assert_eq!(refused.err(), Some(fault));
            assert_eq!(gateway.requests(), 1);
        }
    }

    #[tokio::test]
    async fn a_token_is_never_sent_without_tls() {
        let gateway = Gateway::start(|_| json(200, &json!({})));
        let endpoint = url::Url::parse("http://gateway.localhost/token").unwrap();
        let refused = refresh(&gateway.https(), &endpoint, &client(), &token()).await;
        assert_eq!(refused.err(), Some(TokenFault::Unreachable));
        let revoked =
            revoke(&gateway.https(), &endpoint, &client(), Revocable::Refresh(&token())).await;
        assert!(!revoked);
        assert_eq!(gateway.requests(), 0);
    }

    #[tokio::test]
    async fn a_revocation_counts_only_when_the_server_confirms_it() {
        for (status, confirmed) in [(200, true), (503, false), (400, false)] {
            let gateway = Gateway::start(move |request| {
                let form = form(request.body());
                assert_eq!(form["token"], "r/1+2");
                assert_eq!(form["token_type_hint"], "refresh_token");
                json(status, &json!({}))
            });
            let endpoint = gateway.url("/revoke");
            let revoked =
                revoke(&gateway.https(), &endpoint, &client(), Revocable::Refresh(&token())).await;
            assert_eq!(revoked, confirmed, "{status}");
        }
    }
}
