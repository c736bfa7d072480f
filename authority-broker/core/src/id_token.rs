//! The check of an ID token that comes back beside the access token (OpenID Connect Core
//! section 3.1.3.7).
//!
//! It comes over TLS from the token endpoint itself, which the specification accepts in place of
//! its signature. It is used for nothing but this check, and not kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::{OneTimeValue, Reason, Secret};

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn names(&self, client_id: &str) -> bool {
        match self {
            Self::One(audience) => audience == client_id,
            Self::Many(audiences) => audiences.iter().any(|audience| audience == client_id),
        }
    }
}

/// Judges an ID token by its issuer, audience and nonce. Where none was sent, none may be in it:
/// it would be another attempt's.
///
/// # Errors
/// `invalid_token_response` when it is not a JWT or one of the three is another.
pub fn judge(
    id_token: &Secret,
    nonce: Option<&OneTimeValue>,
    issuer: &str,
    client_id: &str,
) -> Result<(), Reason> {
    let refused = Reason::InvalidTokenResponse;
    let text = id_token.expose_text().map_err(|_| refused)?;
    let parts: Vec<_> = text.split('.').collect();
    let [_, payload, _] = parts[..] else { return Err(refused) };
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| refused)?;
    let claims: Claims = serde_json::from_slice(&payload).map_err(|_| refused)?;
    let same_nonce = match (nonce, &claims.nonce) {
        (Some(sent), Some(claimed)) => sent.equals(claimed),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if claims.iss == issuer && claims.aud.names(client_id) && same_nonce {
        Ok(())
    } else {
        Err(refused)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::judge;
    use crate::{OneTimeValue, Reason, Secret};

    fn nonce() -> OneTimeValue {
        OneTimeValue::from_random([3; 32])
    }

    fn judged(claims: &Value) -> Result<(), Reason> {
        judged_after(Some(&nonce()), claims)
    }

    fn judged_after(sent: Option<&OneTimeValue>, claims: &Value) -> Result<(), Reason> {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
        judge(&Secret::new(token.into_bytes()).unwrap(), sent, "https://i.test", "c")
    }

    fn claims() -> Value {
        json!({"iss": "https://i.test", "aud": "c",
               "nonce": nonce().expose_for_authorization_url(), "sub": "x"})
    }

    #[test]
    fn the_right_issuer_audience_and_nonce_pass() {
        assert_eq!(judged(&claims()), Ok(()));
        let mut many = claims();
        many["aud"] = json!(["other", "c"]);
        assert_eq!(judged(&many), Ok(()));
    }

    #[test]
    fn each_of_the_three_is_required() {
        for (member, value) in [
            ("iss", json!("https://evil.test")),
            ("iss", json!(null)),
            ("aud", json!("other")),
            ("aud", json!([])),
            ("nonce", json!("")),
            ("nonce", json!(OneTimeValue::from_random([4; 32]).expose_for_authorization_url())),
            ("nonce", json!(null)),
        ] {
            let mut claims = claims();
            claims[member] = value;
            assert_eq!(judged(&claims), Err(Reason::InvalidTokenResponse), "{member}");
        }
    }

    #[test]
    fn without_a_nonce_sent_none_may_come_and_the_others_are_still_required() {
        let refused = Err(Reason::InvalidTokenResponse);
        assert_eq!(judged_after(None, &claims()), refused);
        let mut without = claims();
        without.as_object_mut().unwrap().remove("nonce");
        assert_eq!(judged_after(None, &without), Ok(()));
        assert_eq!(judged(&without), refused);
        without["aud"] = json!("other");
        assert_eq!(judged_after(None, &without), refused);
    }

    proptest! {
        #[test]
        fn nothing_but_a_jwt_passes(text in "[!-~]{1,80}") {
            let token = Secret::new(text.into_bytes()).unwrap();
            prop_assert!(judge(&token, Some(&nonce()), "https://i.test", "c").is_err());
        }
    }
}
