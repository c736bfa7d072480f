//! The gateway is a real authorization server, and misbehaves as told.

mod client;

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use devstack::gateway::{AuthorizeFault, IssParameter, MetadataFault, StateParameter, TokenFault};
use devstack::{browser, certs};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

use crate::client::{Client, FORM, STATE, VERIFIER, encode, json_of, value};

#[tokio::test]
async fn the_browser_brings_a_code_that_buys_a_session_that_opens_the_catalog() -> Result<()> {
    let client = Client::registered().await?;
    let url = format!(
        "{}/authorize?{}",
        client.stack.gateway.issuer(),
        encode(&client.authorize_query())
    );
    let tls = Arc::clone(&client.tls);
    let browser = tokio::spawn(async move { browser::follow(&url, &tls).await });

    let (mut callback, _) = client.listener.accept().await?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert_ne!(callback.read_buf(&mut request).await?, 0);
    }
    callback
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")
        .await?;
    let request = String::from_utf8(request)?;
    assert!(request.contains("sec-fetch-site: cross-site\r\n"), "{request}");
    assert!(request.contains("sec-fetch-mode: navigate\r\n"), "{request}");
    let (mut favicon, _) = client.listener.accept().await?;
    let mut start = [0; 16];
    favicon.read_exact(&mut start).await?;
    assert_eq!(&start, b"GET /favicon.ico");
    drop(favicon);
    let page = browser.await??;
    assert_eq!((page.status, page.text().as_str()), (StatusCode::OK, "done"));

    let answer: HashMap<_, _> = page.url.query_pairs().into_owned().collect();
    assert_eq!(answer["state"], STATE);
    assert_eq!(answer["iss"], client.stack.gateway.issuer());
    let exchanged = client.exchange(&answer["code"]).await?;
    assert_eq!(exchanged.headers[CACHE_CONTROL], "no-store");
    let tokens = json_of(&exchanged)?;
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 3600);

    let access_token = tokens["access_token"].as_str().context("no access token")?;
    assert_eq!(client.catalog(Some(access_token)).await?, StatusCode::OK);
    assert_eq!(client.catalog(None).await?, StatusCode::UNAUTHORIZED);
    assert_eq!(client.catalog(Some(&format!("{access_token}x"))).await?, StatusCode::UNAUTHORIZED);

    let secrets = client.stack.gateway.secrets();
    for secret in [STATE, VERIFIER, &answer["code"], access_token] {
        assert!(secrets.iter().any(|known| known == secret));
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_rotates_and_a_reuse_ends_the_whole_session() -> Result<()> {
    let client = Client::registered().await?;
    let first = client.signed_in().await?;
    let first = first["refresh_token"].as_str().context("no refresh token")?;
    let second = json_of(&client.refresh(first).await?)?;
    let access_token = second["access_token"].as_str().context("no access token")?;
    assert_eq!(client.catalog(Some(access_token)).await?, StatusCode::OK);

    let reuse = client.refresh(first).await?;
    assert_eq!(reuse.status, StatusCode::BAD_REQUEST);
    assert_eq!(json_of(&reuse)?["error"], "invalid_grant");
    let second = second["refresh_token"].as_str().context("no refresh token")?;
    assert_eq!(json_of(&client.refresh(second).await?)?["error"], "invalid_grant");
    assert_eq!(client.catalog(Some(access_token)).await?, StatusCode::UNAUTHORIZED);
    let counts = client.stack.gateway.counts();
    assert_eq!((counts.refreshes, counts.refreshes_refused), (1, 2));
    Ok(())
}

#[tokio::test]
async fn a_token_spent_by_somebody_else_is_a_reuse_for_its_holder() -> Result<()> {
    let client = Client::registered().await?;
    let tokens = client.signed_in().await?;
    let refresh_token = tokens["refresh_token"].as_str().context("no refresh token")?;
    client.stack.gateway.spend_refresh_token(refresh_token)?;
    assert_eq!(json_of(&client.refresh(refresh_token).await?)?["error"], "invalid_grant");
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_takes_its_session_with_it() -> Result<()> {
    for kind in ["access_token", "refresh_token"] {
        let client = Client::registered().await?;
        let tokens = client.signed_in().await?;
        let token = tokens[kind].as_str().context("no token")?;
        let fields = encode(&[("token", token), ("token_type_hint", kind)]);
        let revoked = client.send(Method::POST, "/revoke", &[FORM], fields).await?;
        assert_eq!(revoked.status, StatusCode::OK);
        let refresh_token = tokens["refresh_token"].as_str().context("no refresh token")?;
        assert_eq!(json_of(&client.refresh(refresh_token).await?)?["error"], "invalid_grant");
        assert_eq!(client.stack.gateway.counts().revocations, 1);
    }
    Ok(())
}

#[tokio::test]
async fn an_expired_access_token_opens_nothing() -> Result<()> {
    let client = Client::registered().await?;
    client.stack.gateway.switch(|switches| switches.expires_in = 0);
    let tokens = client.signed_in().await?;
    let access_token = tokens["access_token"].as_str().context("no access token")?;
    assert_eq!(client.catalog(Some(access_token)).await?, StatusCode::UNAUTHORIZED);
    client.stack.gateway.switch(|switches| switches.catalog_needs_session = false);
    assert_eq!(client.catalog(None).await?, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn an_id_token_carries_the_nonce_when_openid_is_asked_for() -> Result<()> {
    let client = Client::registered().await?;
    let mut query = client.authorize_query();
    query.retain(|(name, _)| *name != "scope");
    query.extend([("scope", "openid".to_owned()), ("nonce", "nonce-4711".to_owned())]);
    let answer = client.authorize(&query).await?;
    let tokens = json_of(&client.exchange(value(&answer, "code").context("code")?).await?)?;
    let id_token = tokens["id_token"].as_str().context("no ID token")?;
    let claims = id_token.split('.').nth(1).context("no claims")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    assert_eq!(claims["nonce"], "nonce-4711");
    assert_eq!(claims["aud"], client.client_id.as_str());
    Ok(())
}

#[tokio::test]
async fn only_s256_and_only_the_registered_redirect_get_a_code() -> Result<()> {
    let client = Client::registered().await?;
    for (name, changed, error) in [
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        ("scope", "everything", "invalid_scope"),
    ] {
        let mut query = client.authorize_query();
        query.retain(|(known, _)| *known != name);
        query.push((name, changed.to_owned()));
        let answer = client.authorize(&query).await?;
        assert_eq!(value(&answer, "error"), Some(error), "{name}");
        assert_eq!(value(&answer, "code"), None);
        assert_eq!(value(&answer, "state"), Some(STATE));
    }
    for (name, changed) in
        [("redirect_uri", "http://127.0.0.1:1/other"), ("client_id", "nobody"), ("state", "twice")]
    {
        let mut query = client.authorize_query();
        if name != "state" {
            query.retain(|(known, _)| *known != name);
        }
        query.push((name, changed.to_owned()));
        let page = client.authorize_page(&query).await?;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{name} must not redirect");
    }
    assert_eq!(client.register("https://example.com/cb").await?.status, StatusCode::BAD_REQUEST);
    Ok(())
}

#[tokio::test]
async fn each_switch_of_the_authorization_response_does_what_it_says() -> Result<()> {
    let client = Client::registered().await?;
    let gateway = &client.stack.gateway;
    let query = client.authorize_query();

    gateway.switch(|switches| switches.iss = IssParameter::Wrong);
    let wrong = client.authorize(&query).await?;
    assert!(value(&wrong, "iss").is_some_and(|iss| iss != gateway.issuer()));
    gateway.switch(|switches| switches.iss = IssParameter::Absent);
    assert_eq!(value(&client.authorize(&query).await?, "iss"), None);
    gateway.switch(|switches| switches.iss = IssParameter::Right);

    gateway.switch(|switches| switches.state = StateParameter::Wrong);
    let wrong = client.authorize(&query).await?;
    assert!(value(&wrong, "state").is_some_and(|state| state != STATE));
    gateway.switch(|switches| switches.state = StateParameter::Absent);
    assert_eq!(value(&client.authorize(&query).await?, "state"), None);
    gateway.switch(|switches| switches.state = StateParameter::Right);

    for (fault, error, codes) in [
        (AuthorizeFault::AccessDenied, Some("access_denied"), 0),
        (AuthorizeFault::UnknownError, Some("development_error_no_rfc_names"), 0),
        (AuthorizeFault::NoCode, None, 0),
        (AuthorizeFault::RepeatedCode, None, 2),
        (AuthorizeFault::None, None, 1),
    ] {
        gateway.switch(|switches| switches.authorize = fault);
        let answer = client.authorize(&query).await?;
        assert_eq!(value(&answer, "error"), error);
        assert_eq!(answer.iter().filter(|(name, _)| name == "code").count(), codes, "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn each_switch_of_the_token_endpoint_does_what_it_says() -> Result<()> {
    let client = Client::registered().await?;
    let code = client.code().await?;
    for (fault, status, error) in [
        (TokenFault::ServerError, StatusCode::INTERNAL_SERVER_ERROR, None),
        (TokenFault::Unavailable, StatusCode::SERVICE_UNAVAILABLE, Some("temporarily_unavailable")),
        (TokenFault::InvalidGrant, StatusCode::BAD_REQUEST, Some("invalid_grant")),
        (TokenFault::InvalidGrantAs401, StatusCode::UNAUTHORIZED, Some("invalid_grant")),
        (TokenFault::Redirect, StatusCode::TEMPORARY_REDIRECT, None),
        (TokenFault::Garbage, StatusCode::OK, None),
    ] {
        client.stack.gateway.switch(|switches| switches.token = fault);
        let page = client.exchange(&code).await?;
        assert_eq!(page.status, status, "{fault:?}");
        let said = json_of(&page).ok().and_then(|body| body["error"].as_str().map(str::to_owned));
        assert_eq!(said.as_deref(), error, "{fault:?}");
    }
    for (fault, field, expected) in [
        (TokenFault::WrongTokenType, "token_type", json!("mac")),
        (TokenFault::ZeroLifetime, "expires_in", json!(0)),
    ] {
        client.stack.gateway.switch(|switches| switches.token = fault);
        assert_eq!(json_of(&client.exchange(&code).await?)?[field], expected);
    }
    client.stack.gateway.switch(|switches| switches.token = TokenFault::Oversized);
    assert!(client.exchange(&code).await?.body.len() > 64 * 1024);

    // None of that has spent the code.
    client.stack.gateway.switch(|switches| switches.token = TokenFault::None);
    assert_eq!(client.exchange(&code).await?.status, StatusCode::OK);
    assert_eq!(client.stack.gateway.counts().redirects_followed, 0);
    Ok(())
}

#[tokio::test]
async fn metadata_is_served_at_both_places_and_its_faults_show() -> Result<()> {
    let client = Client::registered().await?;
    let gateway = &client.stack.gateway;
    let well_known = "/.well-known/oauth-authorization-server";
    let path = gateway.issuer().strip_prefix(&gateway.origin()).context("issuer")?;
    let places = [
        format!("{}{well_known}{path}", gateway.origin()),
        format!("{}{well_known}", gateway.issuer()),
    ];
    let fetch = async |place: &str| {
        let url = Url::parse(place)?;
        browser::request(Method::GET, &url, &client.tls, &[], Bytes::new()).await
    };
    for place in &places {
        let page = fetch(place).await?;
        assert_eq!(page.headers[CONTENT_TYPE], "application/json");
        let document = json_of(&page)?;
        assert_eq!(document["issuer"], gateway.issuer());
        assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
        assert_eq!(document["authorization_response_iss_parameter_supported"], true);
    }
    gateway.switch(|switches| switches.metadata = MetadataFault::OnlyBelowIssuer);
    assert_eq!(fetch(&places[0]).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(fetch(&places[1]).await?.status, StatusCode::OK);
    for (fault, field) in [
        (MetadataFault::WrongIssuer, "issuer"),
        (MetadataFault::TokenEndpointElsewhere, "token_endpoint"),
        (MetadataFault::PlainHttp, "token_endpoint"),
    ] {
        gateway.switch(|switches| switches.metadata = fault);
        let document = json_of(&fetch(&places[0]).await?)?;
        let said = document[field].as_str().context("no value")?;
        assert!(!said.starts_with(gateway.issuer()), "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_without_the_development_authority_does_not_trust_it() -> Result<()> {
    let client = Client::registered().await?;
    let stranger = certs::client_config(certs::DevelopmentCa::generate()?.pem())?;
    let url = Url::parse(client.stack.gateway.issuer())?;
    let refused = browser::request(Method::GET, &url, &stranger, &[], Bytes::new()).await;
    assert!(refused.is_err());
    Ok(())
}

#[tokio::test]
async fn the_browser_stays_on_loopback() -> Result<()> {
    let tls = certs::client_config(certs::DevelopmentCa::generate()?.pem())?;
    for url in ["https://example.com/", "http://192.0.2.1/", "file:///etc/passwd"] {
        assert!(browser::follow(url, &tls).await.is_err(), "{url}");
    }
    Ok(())
}

#[tokio::test]
async fn the_remaining_switches_do_what_they_say() -> Result<()> {
    let client = Client::registered().await?;
    let gateway = &client.stack.gateway;
    gateway.switch(|switches| switches.refuse_registration = true);
    let refused = client.register(&client.redirect_uri).await?;
    assert_eq!(json_of(&refused)?["error"], "invalid_client_metadata");
    gateway.switch(|switches| switches.refuse_revocation = true);
    let fields = encode(&[("token", "any")]);
    let refused = client.send(Method::POST, "/revoke", &[FORM], fields).await?;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);

    gateway.switch(|switches| switches.known_client_id = Some("known".to_owned()));
    let mut query = client.authorize_query();
    query.retain(|(name, _)| *name != "client_id");
    query.push(("client_id", "known".to_owned()));
    assert!(value(&client.authorize(&query).await?, "code").is_some());

    gateway.switch(|switches| switches.refresh_tokens = false);
    let tokens = client.signed_in().await?;
    assert_eq!(tokens["refresh_token"], Value::Null);
    let access_token = tokens["access_token"].as_str();
    assert_eq!(client.catalog(access_token).await?, StatusCode::OK);
    gateway.switch(|switches| {
        switches.hidden_metadata.insert("timestamp.json".to_owned());
    });
    assert_eq!(client.catalog(access_token).await?, StatusCode::NOT_FOUND);
    gateway.switch(|switches| switches.hidden_metadata.clear());
    gateway.revoke_everything();
    assert_eq!(client.catalog(access_token).await?, StatusCode::UNAUTHORIZED);

    gateway.switch(|switches| switches.token = TokenFault::Stall);
    let before = gateway.counts().token_requests;
    tokio::select! {
        answered = client.exchange("any") => panic!("a stalled endpoint answers: {answered:?}"),
        arrived = gateway.until(|counts| counts.token_requests > before) => arrived?,
    }
    Ok(())
}

#[tokio::test]
async fn nothing_but_catalog_files_is_served_from_the_catalog_directory() -> Result<()> {
    let client = Client::registered().await?;
    client.stack.gateway.switch(|switches| switches.catalog_needs_session = false);
    let base = format!("{}metadata/", client.stack.gateway.catalog_url());
    for path in ["..%2Froot.json", "%2e%2e%2fsigning-root.json", ".hidden", "", "missing.json"] {
        let url = Url::parse(&format!("{base}{path}"))?;
        let page = browser::request(Method::GET, &url, &client.tls, &[], Bytes::new()).await?;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
    }
    Ok(())
}
