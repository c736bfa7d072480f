//! The catalog: TUF metadata files, for bearers of a live access token when so configured.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

use super::answers::not_found;
use super::{Shared, lock};

pub(super) async fn metadata_file(
    State(shared): State<Arc<Shared>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Response {
    let switches = shared.switches();
    let authorized = has_live_session(&shared, &headers).await;
    if switches.catalog_needs_session && !authorized {
        shared.count(|counts| counts.catalog_refusals += 1);
        let challenge = [(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    if !is_flat_name(&file) || switches.hidden_metadata.contains(&file) {
        shared.count(|_| ());
        return not_found().await;
    }
    match tokio::fs::read(shared.catalog_dir.join(&file)).await {
        Ok(bytes) => {
            shared.count(|counts| {
                counts.catalog_reads += 1;
                counts.catalog_reads_with_token += u64::from(headers.contains_key(AUTHORIZATION));
            });
            ([(CONTENT_TYPE, "application/json")], bytes).into_response()
        }
        Err(_) => {
            shared.count(|_| ());
            not_found().await
        }
    }
}

async fn has_live_session(shared: &Shared, headers: &HeaderMap) -> bool {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else {
        return false;
    };
    let introspection = lock(&shared.introspection).clone();
    match introspection {
        Some(server) => server.is_active(token).await,
        None => {
            let claims = shared.session_key.verify(token);
            claims.is_some_and(|claims| lock(&shared.ledger).is_live(claims.family))
        }
    }
}

/// One path segment that is no dot file.
fn is_flat_name(name: &str) -> bool {
    !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}
