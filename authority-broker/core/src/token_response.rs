//! What the token endpoint may answer (RFC 6749 section 5; contract 6).

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::limits::{MAX_EXPIRES_IN_S, MAX_SCOPES, MAX_TOKEN_CHARS};
use crate::{OauthError, Reason, Secret};

/// Tokens that passed every check; made by [`judge`] only.
#[derive(Debug)]
pub struct TokenResponse {
    /// 1 to 8192 visible ASCII characters.
    pub access_token: Secret,
    /// Absent: a refresh keeps the one it used.
    pub refresh_token: Option<Secret>,
    /// Seconds from the answer on; at least 1.
    pub expires_in_s: u64,
    /// Absent: the scopes that were asked for.
    pub scopes: Option<Vec<String>>,
    /// An ID token, for the check of its nonce.
    pub id_token: Option<Secret>,
}

#[derive(Deserialize)]
struct UntrustedResponse {
    token_type: String,
    #[serde(deserialize_with = "wiped")]
    access_token: Zeroizing<String>,
    expires_in: u64,
    #[serde(default, deserialize_with = "wiped_option")]
    refresh_token: Option<Zeroizing<String>>,
    scope: Option<String>,
    #[serde(default, deserialize_with = "wiped_option")]
    id_token: Option<Zeroizing<String>>,
    error: Option<IgnoredAny>,
}

/// Judges the body of a successful answer.
///
/// # Errors
/// `invalid_token_response` when it is not JSON of the right types, names a member twice, has
/// another `token_type` than bearer, a token outside 1 to 8192 visible ASCII characters, an
/// `expires_in` that is absent, zero or beyond ten years, or an `error` beside the tokens.
pub fn judge(body: &[u8]) -> Result<TokenResponse, Reason> {
    // All of it: the parser passes over the bytes of members that it skips.
    let text = std::str::from_utf8(body).map_err(|_| Reason::InvalidTokenResponse)?;
    let untrusted: UntrustedResponse =
        serde_json::from_str(text).map_err(|_| Reason::InvalidTokenResponse)?;
    let lasts = (1..=MAX_EXPIRES_IN_S).contains(&untrusted.expires_in);
    let bearer = untrusted.token_type.eq_ignore_ascii_case("bearer");
    if !bearer || !lasts || untrusted.error.is_some() {
        return Err(Reason::InvalidTokenResponse);
    }
    Ok(TokenResponse {
        access_token: token(&untrusted.access_token)?,
        refresh_token: untrusted.refresh_token.as_deref().map(|text| token(text)).transpose()?,
        expires_in_s: untrusted.expires_in,
        scopes: untrusted.scope.as_deref().map(scopes).transpose()?,
        id_token: untrusted.id_token.as_deref().map(|text| token(text)).transpose()?,
    })
}

/// What an unsuccessful answer means for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The grant is reused, revoked or expired: it never works again.
    InvalidGrant,
    /// Everything else: it may work later.
    Fault(OauthError),
}

/// Judges an unsuccessful answer. Only a 400 or 401 (and 403) that says `invalid_grant` speaks
/// of the grant; a server that cannot read its store answers 5xx, whatever the body says.
#[must_use]
pub fn judge_refusal(status: u16, body: &[u8]) -> Refused {
    #[derive(Deserialize)]
    struct ErrorBody {
        error: String,
    }
    let code = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => OauthError::recognise(&body.error),
        Err(_) => OauthError::Other,
    };
    match (status, code) {
        (400 | 401 | 403, OauthError::InvalidGrant) => Refused::InvalidGrant,
        (_, code) => Refused::Fault(code),
    }
}

fn token(text: &str) -> Result<Secret, Reason> {
    let fits = (1..=MAX_TOKEN_CHARS).contains(&text.len());
    if fits && text.bytes().all(|b| b.is_ascii_graphic()) {
        Secret::new(text.as_bytes().to_vec()).map_err(|_| Reason::InvalidTokenResponse)
    } else {
        Err(Reason::InvalidTokenResponse)
    }
}

/// Scope tokens of RFC 6749 section 3.3.
fn scopes(text: &str) -> Result<Vec<String>, Reason> {
    let scopes: Vec<_> = text.split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect();
    let plain = |scope: &String| {
        scope.len() <= 128 && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    };
    if scopes.len() <= MAX_SCOPES && scopes.iter().all(plain) {
        Ok(scopes)
    } else {
        Err(Reason::InvalidTokenResponse)
    }
}

fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

fn wiped_option<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Zeroizing<String>>, D::Error> {
    wiped(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Refused, judge, judge_refusal};
    use crate::{OauthError, Reason};

    fn good() -> Value {
        json!({"token_type": "Bearer", "access_token": "at", "expires_in": 3600,
               "refresh_token": "rt", "scope": "vault:read vault:write", "other": [1]})
    }

    fn refused(value: &Value) -> bool {
        judge(value.to_string().as_bytes()).err() == Some(Reason::InvalidTokenResponse)
    }

    #[test]
    fn a_right_answer_is_taken() {
        let response = judge(good().to_string().as_bytes()).unwrap();
        assert!(response.access_token.equals(b"at"));
        assert!(response.refresh_token.unwrap().equals(b"rt"));
        assert_eq!(response.expires_in_s, 3600);
        assert_eq!(response.scopes.unwrap(), ["vault:read", "vault:write"]);
        assert!(response.id_token.is_none());
        let least = json!({"token_type": "bearer", "access_token": "a", "expires_in": 1});
        let response = judge(least.to_string().as_bytes()).unwrap();
        assert!(response.refresh_token.is_none() && response.scopes.is_none());
    }

    #[test]
    fn each_member_is_required_in_its_type_and_bounds() {
        for (member, values) in [
            ("token_type", vec![json!("mac"), json!(""), json!(null), json!(1)]),
            (
                "access_token",
                vec![
                    json!(""),
                    json!("a b"),
                    json!("é"),
                    json!("a\n"),
                    json!(7),
                    json!(null),
                    json!("x".repeat(8193)),
                ],
            ),
            (
                "expires_in",
                vec![
                    json!(0),
                    json!(-1),
                    json!("3600"),
                    json!(3600.5),
                    json!(null),
                    json!(u64::MAX),
                    json!(315_360_001),
                ],
            ),
            ("refresh_token", vec![json!(""), json!(7), json!(null), json!("x".repeat(8193))]),
            ("scope", vec![json!(7), json!("a\u{7}"), json!("a\"b"), json!("s ".repeat(65))]),
            ("id_token", vec![json!(""), json!(1)]),
        ] {
            for value in values {
                let mut answer = good();
                answer[member] = value.clone();
                assert!(refused(&answer), "{member}");
            }
        }
        for member in ["token_type", "access_token", "expires_in"] {
            let mut answer = good();
            answer.as_object_mut().unwrap().remove(member);
            assert!(refused(&answer), "{member}");
        }
        let mut longest = good();
        longest["access_token"] = json!("x".repeat(8192));
        assert!(judge(longest.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn a_member_named_twice_or_bytes_that_follow_are_refused() {
        let twice = good().to_string().replacen('{', "{\"access_token\":\"other\",", 1);
        assert_eq!(judge(twice.as_bytes()).err(), Some(Reason::InvalidTokenResponse));
        let trailing = format!("{}x", good());
        assert_eq!(judge(trailing.as_bytes()).err(), Some(Reason::InvalidTokenResponse));
    }

    #[test]
    fn what_is_not_read_may_be_nested_as_deep_as_the_body_is_long() {
        let deep = format!("{{\"x\":{}{},", "[".repeat(30_000), "]".repeat(30_000));
        assert!(judge(good().to_string().replacen('{', &deep, 1).as_bytes()).is_ok());
        assert!(judge("[".repeat(65_536).as_bytes()).is_err());
    }

    #[test]
    fn tokens_do_not_show_themselves() {
        let shown = format!("{:?}", judge(good().to_string().as_bytes()).unwrap());
        assert!(!shown.contains("\"at\"") && !shown.contains("rt"), "{shown}");
    }

    #[test]
    fn only_a_client_error_that_says_invalid_grant_speaks_of_the_grant() {
        let body = br#"{"error":"invalid_grant","error_description":"reuse"}"#;
        for status in [400, 401, 403] {
            assert_eq!(judge_refusal(status, body), Refused::InvalidGrant);
        }
        for status in [200, 302, 404, 429, 500, 503] {
            assert_eq!(judge_refusal(status, body), Refused::Fault(OauthError::InvalidGrant));
        }
        let client = br#"{"error":"invalid_client"}"#;
        assert_eq!(judge_refusal(400, client), Refused::Fault(OauthError::InvalidClient));
        for garbage in [&b""[..], b"<html>", b"{\"error\":7}", b"[]"] {
            assert_eq!(judge_refusal(400, garbage), Refused::Fault(OauthError::Other));
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_judgement_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = judge(&bytes);
            let _ = judge_refusal(400, &bytes);
        }

        #[test]
        fn any_visible_token_within_bounds_comes_through_unchanged(text in "[!-~]{1,200}") {
            let mut answer = good();
            answer["access_token"] = json!(text);
            let response = judge(answer.to_string().as_bytes()).unwrap();
            prop_assert!(response.access_token.equals(text.as_bytes()));
        }
    }
}
