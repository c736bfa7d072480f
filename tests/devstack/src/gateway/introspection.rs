//! What another authorization server says of its tokens (RFC 7662).

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, StatusCode};
use rustls::ClientConfig;
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::browser;

/// An introspection endpoint, asked as one resource server. Cheap to clone.
#[derive(Clone)]
pub struct Introspection {
    endpoint: Url,
    authorization: String,
    tls: Arc<ClientConfig>,
}

impl Introspection {
    /// The endpoint, asked with `client_secret_basic`. Both words of the credential must be
    /// unreserved characters (RFC 3986 section 2.3), which no encoding changes.
    #[must_use]
    pub fn new(
        endpoint: Url,
        client_id: &str,
        client_secret: &str,
        tls: Arc<ClientConfig>,
    ) -> Self {
        let credential = STANDARD.encode(format!("{client_id}:{client_secret}"));
        Self { endpoint, authorization: format!("Basic {credential}"), tls }
    }

    /// What the server says of a token: at least `active`.
    ///
    /// # Errors
    /// When it does not answer 200 with JSON.
    pub async fn ask(&self, token: &str) -> Result<Value> {
        let body =
            form_urlencoded::Serializer::new(String::new()).append_pair("token", token).finish();
        let headers = [
            (CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded"),
            (AUTHORIZATION.as_str(), &self.authorization),
        ];
        let page =
            browser::request(Method::POST, &self.endpoint, &self.tls, &headers, Bytes::from(body))
                .await?;
        ensure!(page.status == StatusCode::OK, "introspection: {} {}", page.status, page.text());
        serde_json::from_slice(&page.body).context("introspection")
    }

    /// Whether the server says that the token is active; a server that does not answer says no.
    pub async fn is_active(&self, token: &str) -> bool {
        self.ask(token).await.is_ok_and(|answer| answer["active"] == true)
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Introspection")
    }
}
