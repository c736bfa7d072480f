//! A public client of the gateway, and its questions.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use devstack::browser::{self, Page};
use devstack::listen;
use devstack::stack::{Stack, StackOptions};
use http::header::{AUTHORIZATION, LOCATION};
use http::{Method, StatusCode};
use rustls::ClientConfig;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use url::Url;

pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const STATE: &str = "state-of-one-attempt";

/// A stack with a registered client that listens for its redirect.
pub(crate) struct Client {
    pub(crate) stack: Stack,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) listener: tokio::net::TcpListener,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    _dir: TempDir,
}

impl Client {
    pub(crate) async fn registered() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let stack = Stack::start(StackOptions::new(dir.path())).await?;
        let tls = stack.client_config()?;
        let (listener, address) = listen::bind_loopback()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let redirect_uri = format!("http://{address}/callback/one");
        let mut client =
            Self { stack, tls, listener, client_id: String::new(), redirect_uri, _dir: dir };
        let registered = client.register(&client.redirect_uri).await?;
        assert_eq!(registered.status, StatusCode::CREATED);
        let client_id = json_of(&registered)?["client_id"].as_str().map(str::to_owned);
        client.client_id = client_id.context("no client_id")?;
        Ok(client)
    }

    pub(crate) async fn register(&self, redirect_uri: &str) -> Result<Page> {
        let body = json!({
            "redirect_uris": [redirect_uri], "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        });
        let headers = [("content-type", "application/json")];
        self.send(Method::POST, "/register", &headers, body.to_string()).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Page> {
        let url = Url::parse(&format!("{}{path}", self.stack.gateway.issuer()))?;
        browser::request(method, &url, &self.tls, headers, Bytes::from(body)).await
    }

    pub(crate) fn authorize_query(&self) -> Vec<(&'static str, String)> {
        vec![
            ("response_type", "code".to_owned()),
            ("client_id", self.client_id.clone()),
            ("redirect_uri", self.redirect_uri.clone()),
            ("code_challenge", URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))),
            ("code_challenge_method", "S256".to_owned()),
            ("state", STATE.to_owned()),
            ("scope", "vault:read".to_owned()),
        ]
    }

    /// The query that comes back from the authorization endpoint.
    pub(crate) async fn authorize(
        &self,
        query: &[(&str, String)],
    ) -> Result<Vec<(String, String)>> {
        let page = self.authorize_page(query).await?;
        assert_eq!(page.status, StatusCode::FOUND, "{}", page.text());
        let location = Url::parse(page.headers[LOCATION].to_str()?)?;
        assert!(location.as_str().starts_with(&self.redirect_uri));
        Ok(location.query_pairs().into_owned().collect())
    }

    pub(crate) async fn authorize_page(&self, query: &[(&str, String)]) -> Result<Page> {
        let path = format!("/authorize?{}", encode(query));
        self.send(Method::GET, &path, &[], String::new()).await
    }

    pub(crate) async fn code(&self) -> Result<String> {
        let mut answer: HashMap<_, _> =
            self.authorize(&self.authorize_query()).await?.into_iter().collect();
        answer.remove("code").context("no code")
    }

    pub(crate) async fn token(&self, fields: &[(&str, &str)]) -> Result<Page> {
        self.send(Method::POST, "/token", &[FORM], encode(fields)).await
    }

    pub(crate) async fn exchange(&self, code: &str) -> Result<Page> {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", VERIFIER),
        ])
        .await
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<Page> {
        self.token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", &self.client_id),
        ])
        .await
    }

    pub(crate) async fn signed_in(&self) -> Result<Value> {
        json_of(&self.exchange(&self.code().await?).await?)
    }

    pub(crate) async fn catalog(&self, token: Option<&str>) -> Result<StatusCode> {
        let url = Url::parse(&self.stack.gateway.catalog_url())?.join("metadata/timestamp.json")?;
        let bearer = token.map(|token| format!("Bearer {token}")).unwrap_or_default();
        let headers = [(AUTHORIZATION.as_str(), bearer.as_str())];
        let headers = if token.is_some() { &headers[..] } else { &[] };
        let page = browser::request(Method::GET, &url, &self.tls, headers, Bytes::new()).await?;
        Ok(page.status)
    }
}

pub(crate) fn encode(fields: &[(&str, impl AsRef<str>)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields.iter().map(|(name, value)| (name, value.as_ref())))
        .finish()
}

pub(crate) fn json_of(page: &Page) -> Result<Value> {
    Ok(serde_json::from_slice(&page.body)?)
}

pub(crate) fn value<'a>(answer: &'a [(String, String)], name: &str) -> Option<&'a str> {
    answer.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
