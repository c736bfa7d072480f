//! Finding the authorization server (RFC 8414).

use authority_core::Reason;
use authority_core::discovery::{Issuer, ServerMetadata, judge};
use http::StatusCode;

use crate::https::Https;
use crate::limits::OAUTH_BODY_BYTES;

/// Fetches the issuer's metadata from where RFC 8414 puts it, else from below the issuer, and
/// judges it. What is not JSON counts as not there: some gateways answer every path with a page.
///
/// # Errors
/// `discovery_failed` when neither place has it, and the reasons of [`judge`].
pub(crate) async fn discover(https: &Https, issuer: &Issuer) -> Result<ServerMetadata, Reason> {
    for location in issuer.metadata_locations() {
        let answer =
            https.get(&location, OAUTH_BODY_BYTES).await.map_err(|_| Reason::DiscoveryFailed)?;
        if answer.status == StatusCode::OK && answer.is_json {
            return judge(&answer.body, issuer);
        }
    }
    Err(Reason::DiscoveryFailed)
}

#[cfg(test)]
mod tests {
    use authority_core::Reason;
    use authority_core::discovery::Issuer;
    use http::Response;

    use super::discover;
    use crate::testing::{Gateway, json, not_found};

    #[tokio::test]
    async fn metadata_below_the_issuer_is_found_after_a_page_at_the_first_place() {
        let gateway = Gateway::start_with_port(|port| {
            move |request| match request.uri().path() {
                "/native/.well-known/oauth-authorization-server" => {
                    json(200, &crate::testing::metadata(port))
                }
                _ => Response::new(b"<html>".to_vec()),
            }
        });
        let issuer = Issuer::parse(&gateway.issuer()).unwrap();
        let metadata = discover(&gateway.https(), &issuer).await.unwrap();
        assert_eq!(metadata.token_endpoint.path(), "/token");
        assert_eq!(gateway.requests(), 2);
    }

    #[tokio::test]
    async fn metadata_of_another_issuer_or_none_is_refused() {
        let liar = Gateway::start_with_port(|port| {
            move |_| {
                let mut metadata = crate::testing::metadata(port);
                metadata["issuer"] = "https://evil.test".into();
                json(200, &metadata)
            }
        });
        let issuer = Issuer::parse(&liar.issuer()).unwrap();
        let refused = discover(&liar.https(), &issuer).await;
        assert_eq!(refused.err(), Some(Reason::IssuerMismatch));

        let silent = Gateway::start(|_| not_found());
        let issuer = Issuer::parse(&silent.issuer()).unwrap();
        let refused = discover(&silent.https(), &issuer).await;
        assert_eq!(refused.err(), Some(Reason::DiscoveryFailed));
    }
}
