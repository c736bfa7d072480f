//! Authorization server metadata (RFC 8414).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::answers::{json_as, not_found};
use super::switches::MetadataFault;
use super::{Shared, authorize};

/// `/.well-known/oauth-authorization-server` + issuer path.
pub(super) async fn at_rfc8414_location(State(shared): State<Arc<Shared>>) -> Response {
    if shared.switches().metadata == MetadataFault::OnlyBelowIssuer {
        shared.count(|_| ());
        return not_found().await;
    }
    serve(&shared).await
}

/// Issuer + `/.well-known/oauth-authorization-server`, where some servers have it.
pub(super) async fn below_the_issuer(State(shared): State<Arc<Shared>>) -> Response {
    serve(&shared).await
}

async fn serve(shared: &Shared) -> Response {
    let fault = shared.switches().metadata;
    if fault == MetadataFault::Missing {
        shared.count(|_| ());
        return not_found().await;
    }
    shared.count(|counts| counts.metadata += 1);
    json_as(StatusCode::OK, &document(&shared.issuer, fault))
}

fn document(issuer: &str, fault: MetadataFault) -> Value {
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "registration_endpoint": format!("{issuer}/register"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "scopes_supported": authorize::SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    match fault {
        MetadataFault::None | MetadataFault::OnlyBelowIssuer | MetadataFault::Missing => {}
        MetadataFault::WrongIssuer => document["issuer"] = json!("https://attacker.example"),
        MetadataFault::TokenEndpointElsewhere => {
            document["token_endpoint"] = json!("https://attacker.example/token");
        }
        MetadataFault::PlainHttp => {
            document["token_endpoint"] =
                json!(format!("{issuer}/token").replacen("https:", "http:", 1));
        }
        MetadataFault::PlainPkceOnly => {
            document["code_challenge_methods_supported"] = json!(["plain"]);
        }
    }
    document
}
