//! A request as hyper read it, as the guard's facts.

use frontdoor_core::guard::{Permit, Refusal, Target, UntrustedRequest};
use http::{Request, Uri, Version};
use http_body::Body;

use crate::door::Door;

/// Asks the guard.
pub(crate) fn judge<B: Body>(door: &Door, request: &Request<B>) -> Result<Permit, Refusal> {
    let headers: Vec<_> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    door.guard(&UntrustedRequest {
        method: request.method().as_str(),
        target: target(request.uri()),
        is_http_11: request.version() == Version::HTTP_11,
        has_body: !request.body().is_end_stream(),
        headers: &headers,
    })
}

fn target(uri: &Uri) -> Target<'_> {
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path().starts_with('/') => Target::Origin { path: uri.path() },
        (Some(scheme), Some(authority)) => {
            Target::Absolute { scheme, authority: authority.as_str(), path: uri.path() }
        }
        (None | Some(_), None | Some(_)) => Target::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::target;
    use frontdoor_core::guard::Target;
    use http::Uri;

    #[test]
    fn the_forms_of_a_target_are_told_apart() {
        let uri = |text: &str| text.parse::<Uri>().expect("a URI");
        assert!(matches!(target(&uri("/a/b?c")), Target::Origin { path: "/a/b" }));
        assert!(matches!(
            target(&uri("http://Host:1/a")),
            Target::Absolute { scheme: "http", authority: "Host:1", path: "/a" }
        ));
        assert!(matches!(
            target(&uri("http://u@h:1/a")),
            Target::Absolute { authority: "u@h:1", .. }
        ));
        assert!(matches!(target(&uri("host:443")), Target::Other));
        assert!(matches!(target(&uri("*")), Target::Other));
    }
}
