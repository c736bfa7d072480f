//! Registering this client for one attempt (RFC 7591).

use authority_core::Reason;
use authority_core::discovery::ServerMetadata;
use authority_core::redirect::RedirectUri;
use authority_core::registration::{ClientId, ClientMetadata, judge};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, StatusCode};

use crate::https::Https;
use crate::limits::OAUTH_BODY_BYTES;

/// Registers a public native client with exactly this redirect URI: some servers want the port
/// registered too, so every attempt registers anew.
///
/// # Errors
/// `registration_failed` when the server does not offer it, refuses, or answers otherwise.
pub(crate) async fn register(
    https: &Https,
    server: &ServerMetadata,
    redirect_uri: &RedirectUri,
    scopes: &[String],
) -> Result<ClientId, Reason> {
    let failed = Reason::RegistrationFailed;
    let endpoint = server.registration_endpoint.as_ref().ok_or(failed)?;
    let metadata = ClientMetadata::new(redirect_uri, scopes);
    let request = Request::builder()
        .method(Method::POST)
        .uri(endpoint.as_str())
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .body(serde_json::to_vec(&metadata).map_err(|_| failed)?)
        .map_err(|_| failed)?;
    let answer = https.send(request, OAUTH_BODY_BYTES).await.map_err(|_| failed)?;
    match answer.status {
        StatusCode::CREATED | StatusCode::OK => judge(&answer.body, redirect_uri),
        _ => Err(failed),
    }
}

#[cfg(test)]
mod tests {
    use authority_core::Reason;
    use authority_core::redirect::RedirectUri;
    use serde_json::json;

    use super::register;
    use crate::testing::{Gateway, json, server_metadata};

    #[tokio::test]
    async fn a_client_is_registered_with_the_one_redirect_uri() {
        let gateway = Gateway::start(|request| {
            let said: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
            json(201, &json!({"client_id": "c-1", "redirect_uris": said["redirect_uris"]}))
        });
        let uri = RedirectUri::parse("http://127.0.0.1:4711/callback/x").unwrap();
        let server = server_metadata(&gateway);
        let client = register(&gateway.https(), &server, &uri, &[]).await.unwrap();
        assert_eq!(client.as_str(), "c-1");
    }

    #[tokio::test]
    async fn a_refusal_or_a_server_without_registration_is_registration_failed() {
        let gateway = Gateway::start(|_| json(400, &json!({"client_id": "c-1"})));
        let uri = RedirectUri::parse("http://127.0.0.1:4711/callback/x").unwrap();
        let mut server = server_metadata(&gateway);
        let https = gateway.https();
        let refused = register(&https, &server, &uri, &[]).await;
        assert_eq!(refused.err(), Some(Reason::RegistrationFailed));
        server.registration_endpoint = None;
        let refused = register(&https, &server, &uri, &[]).await;
        assert_eq!(refused.err(), Some(Reason::RegistrationFailed));
        assert_eq!(gateway.requests(), 1);
    }
}
