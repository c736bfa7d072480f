//! Dynamic client registration of public native clients (RFC 7591).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::answers::{OAuthError, json_as};
use super::{Shared, lock};

pub(super) async fn register(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    match try_register(&shared, &body) {
        Ok(registered) => {
            shared.count(|counts| counts.registrations += 1);
            json_as(StatusCode::CREATED, &registered)
        }
        Err(error) => {
            shared.count(|_| ());
            error.into_response()
        }
    }
}

fn try_register(shared: &Shared, body: &[u8]) -> Result<Value, OAuthError> {
    let mut metadata: Value =
        serde_json::from_slice(body).map_err(|_| OAuthError::InvalidClientMetadata)?;
    // Omitted, the method would be `client_secret_basic` (RFC 7591 section 2): no public client.
    if shared.switches().refuse_registration || metadata["token_endpoint_auth_method"] != "none" {
        return Err(OAuthError::InvalidClientMetadata);
    }
    let redirect_uris = metadata["redirect_uris"]
        .as_array()
        .and_then(|uris| uris.iter().map(|uri| uri.as_str().map(str::to_owned)).collect())
        .ok_or(OAuthError::InvalidRedirectUri)?;
    let client_id = lock(&shared.ledger).register(redirect_uris)?;
    metadata["client_id"] = json!(client_id);
    metadata["client_id_issued_at"] = json!(time::OffsetDateTime::now_utc().unix_timestamp());
    Ok(metadata)
}
