//! The token and revocation endpoints (RFC 6749 section 3.2, RFC 7009).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::answers::{OAuthError, error_as, json_as, page};
use super::fields::Fields;
use super::jwt::Claims;
use super::ledger::Issued;
use super::switches::{GatewaySwitches, TokenFault};
use super::{Shared, fresh, lock};

/// Bytes of padding in an oversized answer; the limit of clients is 64 KiB.
const OVERSIZE: usize = 96 * 1024;

pub(super) async fn token(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shared.count(|counts| counts.token_requests += 1);
    let switches = shared.switches();
    match switches.token {
        TokenFault::None => {}
        TokenFault::ServeThenStall => {
            let _ = form(&headers, &body).and_then(|fields| grant(&shared, &fields));
            return std::future::pending().await;
        }
        fault => return misbehave(&shared, fault).await,
    }
    match form(&headers, &body).and_then(|fields| grant(&shared, &fields)) {
        Ok(issued) => json_as(StatusCode::OK, &token_response(&shared, &switches, issued)),
        Err(error) => error.into_response(),
    }
}

pub(super) async fn revoke(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shared.count(|counts| counts.revocations += 1);
    if shared.switches().refuse_revocation {
        return OAuthError::TemporarilyUnavailable.into_response();
    }
    match form(&headers, &body).and_then(|fields| revoke_token(&shared, &fields)) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => error.into_response(),
    }
}

/// Where the redirect of the token endpoint points: nobody may come here.
pub(super) async fn elsewhere(State(shared): State<Arc<Shared>>) -> Response {
    shared.count(|counts| counts.redirects_followed += 1);
    json_as(StatusCode::OK, &plausible(&shared, "bearer", 3600))
}

fn form(headers: &HeaderMap, body: &[u8]) -> Result<Fields, OAuthError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    if essence != Some("application/x-www-form-urlencoded") {
        return Err(OAuthError::InvalidRequest);
    }
    Fields::parse(body)
}

fn grant(shared: &Shared, fields: &Fields) -> Result<Issued, OAuthError> {
    let client_id = fields.require("client_id").map_err(|_| OAuthError::InvalidClient)?;
    match fields.require("grant_type")? {
        "authorization_code" => {
            let issued = lock(&shared.ledger).exchange(
                fields.require("code")?,
                client_id,
                fields.require("redirect_uri")?,
                fields.require("code_verifier")?,
            )?;
            shared.counts.send_modify(|counts| counts.code_exchanges += 1);
            Ok(issued)
        }
        "refresh_token" => {
            let presented = fields.require("refresh_token")?;
            let refreshed = lock(&shared.ledger).refresh(presented, Some(client_id));
            shared.counts.send_modify(|counts| match refreshed {
                Ok(_) => counts.refreshes += 1,
                Err(_) => counts.refreshes_refused += 1,
            });
            refreshed
        }
        _ => Err(OAuthError::UnsupportedGrantType),
    }
}

fn token_response(shared: &Shared, switches: &GatewaySwitches, issued: Issued) -> Value {
    let expires_in = switches.expires_in;
    let claims =
        Claims::new(&shared.issuer, &issued.client_id, &issued.scope, issued.family, expires_in);
    let access_token = shared.session_key.sign(&claims);
    lock(&shared.ledger).remember(&access_token);
    let mut response = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": expires_in,
        "scope": issued.scope,
    });
    if switches.refresh_tokens {
        response["refresh_token"] = json!(issued.refresh_token);
    }
    if issued.scope.split_whitespace().any(|scope| scope == "openid") {
        let id_token = claims.id_token(issued.nonce.as_deref());
        response["id_token"] = json!(shared.session_key.sign(&id_token));
    }
    response
}

fn revoke_token(shared: &Shared, fields: &Fields) -> Result<(), OAuthError> {
    let token = fields.require("token")?;
    let mut ledger = lock(&shared.ledger);
    ledger.revoke_refresh_token(token);
    if let Some(claims) = shared.session_key.verify(token) {
        ledger.revoke_family(claims.family);
    }
    Ok(())
}

async fn misbehave(shared: &Shared, fault: TokenFault) -> Response {
    match fault {
        TokenFault::None | TokenFault::ServerError => {
            page(StatusCode::INTERNAL_SERVER_ERROR, "the development gateway fails as told")
        }
        TokenFault::Unavailable => OAuthError::TemporarilyUnavailable.into_response(),
        TokenFault::InvalidGrant => OAuthError::InvalidGrant.into_response(),
        TokenFault::InvalidGrantAs401 => {
            error_as(StatusCode::UNAUTHORIZED, OAuthError::InvalidGrant)
        }
        TokenFault::Garbage => {
            ([(CONTENT_TYPE, "application/json")], "{\"access_token\": tru").into_response()
        }
        TokenFault::WrongTokenType => json_as(StatusCode::OK, &plausible(shared, "mac", 3600)),
        TokenFault::ZeroLifetime => json_as(StatusCode::OK, &plausible(shared, "bearer", 0)),
        TokenFault::Oversized => {
            let mut response = plausible(shared, "bearer", 3600);
            response["padding"] = json!("x".repeat(OVERSIZE));
            json_as(StatusCode::OK, &response)
        }
        TokenFault::Redirect => {
            let location = format!("{}/elsewhere", shared.issuer);
            (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response()
        }
        TokenFault::Stall | TokenFault::ServeThenStall => std::future::pending().await,
    }
}

/// A token response that nothing here stands behind; its tokens are secrets all the same.
fn plausible(shared: &Shared, token_type: &str, expires_in: u64) -> Value {
    let tokens = [fresh(), fresh()];
    let mut ledger = lock(&shared.ledger);
    tokens.iter().for_each(|token| ledger.remember(token));
    json!({
        "access_token": tokens[0],
        "token_type": token_type,
        "expires_in": expires_in,
        "refresh_token": tokens[1],
    })
}
