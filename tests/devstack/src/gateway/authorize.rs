//! The authorization endpoint. The development user is always signed in and always approves.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use url::Url;

use super::answers::{OAuthError, page};
use super::fields::Fields;
use super::ledger::Authorization;
use super::switches::{AuthorizeFault, GatewaySwitches, IssParameter, StateParameter};
use super::{Shared, fresh, lock};

/// Scopes that may be asked for.
pub(super) const SCOPES: [&str; 3] = ["openid", "vault:read", "vault:write"];

/// Characters of an S256 `code_challenge` (RFC 7636 section 4.2).
const CHALLENGE_LENGTH: usize = 43;

pub(super) async fn authorize(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Response {
    let switches = shared.switches();
    // Without a client and its redirect there is nowhere safe to send an error to.
    let Some((fields, redirect)) = trusted_redirect(&shared, &switches, query.as_deref()) else {
        shared.count(|_| ());
        return page(StatusCode::BAD_REQUEST, "unknown client, redirect or repeated parameter");
    };
    shared.count(|counts| counts.authorizations += 1);
    let outcome = decide(&shared, &switches, &fields);
    let location = response_url(&shared, &switches, redirect, fields.get("state"), outcome);
    let headers = [
        (LOCATION, location.as_str()),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (StatusCode::FOUND, headers).into_response()
}

/// What goes back: a list of `code` values, or an error code.
type Outcome = Result<Vec<String>, &'static str>;

fn trusted_redirect(
    shared: &Shared,
    switches: &GatewaySwitches,
    query: Option<&str>,
) -> Option<(Fields, Url)> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes()).ok()?;
    let (client_id, uri) = (fields.get("client_id")?, fields.get("redirect_uri")?);
    let known = switches.known_client_id.as_deref();
    let trusted = lock(&shared.ledger).may_redirect(client_id, uri, known);
    let url = Url::parse(uri).ok()?;
    trusted.then_some((fields, url))
}

fn decide(shared: &Shared, switches: &GatewaySwitches, fields: &Fields) -> Outcome {
    let authorization = checked(fields).map_err(OAuthError::as_str)?;
    let mut ledger = lock(&shared.ledger);
    if let Some(state) = fields.get("state") {
        ledger.remember(state);
    }
    match switches.authorize {
        AuthorizeFault::None => Ok(vec![ledger.authorize(authorization)]),
        AuthorizeFault::AccessDenied => Err("access_denied"),
        AuthorizeFault::UnknownError => Err("development_error_no_rfc_names"),
        AuthorizeFault::NoCode => Ok(Vec::new()),
        AuthorizeFault::RepeatedCode => {
            Ok(vec![ledger.authorize(authorization.clone()), ledger.authorize(authorization)])
        }
    }
}

fn checked(fields: &Fields) -> Result<Authorization, OAuthError> {
    if fields.require("response_type")? != "code" {
        return Err(OAuthError::UnsupportedResponseType);
    }
    let code_challenge = fields.require("code_challenge")?;
    if fields.require("code_challenge_method")? != "S256"
        || code_challenge.len() != CHALLENGE_LENGTH
    {
        return Err(OAuthError::InvalidRequest);
    }
    let scope = fields.get("scope").unwrap_or_default();
    if !scope.split_whitespace().all(|scope| SCOPES.contains(&scope)) {
        return Err(OAuthError::InvalidScope);
    }
    Ok(Authorization {
        client_id: fields.require("client_id")?.to_owned(),
        redirect_uri: fields.require("redirect_uri")?.to_owned(),
        code_challenge: code_challenge.to_owned(),
        scope: scope.to_owned(),
        nonce: fields.get("nonce").map(str::to_owned),
    })
}

fn response_url(
    shared: &Shared,
    switches: &GatewaySwitches,
    mut redirect: Url,
    state: Option<&str>,
    outcome: Outcome,
) -> Url {
    let mut query = redirect.query_pairs_mut();
    match outcome {
        Ok(codes) => query.extend_pairs(codes.into_iter().map(|code| ("code", code))),
        Err(error) => query
            .append_pair("error", error)
            .append_pair("error_description", "<b>free text</b> of the development gateway"),
    };
    match (switches.state, state) {
        (StateParameter::Right, Some(state)) => {
            query.append_pair("state", state);
        }
        (StateParameter::Wrong, _) => {
            query.append_pair("state", &fresh());
        }
        (StateParameter::Absent, _) | (StateParameter::Right, None) => {}
    }
    match switches.iss {
        IssParameter::Right => {
            query.append_pair("iss", &shared.issuer);
        }
        IssParameter::Wrong => {
            query.append_pair("iss", "https://attacker.example");
        }
        IssParameter::Absent => {}
    }
    drop(query);
    redirect
}
