//! The judgement of the browser's answer to a sign-in attempt (RFC 6749 section 4.1.2, RFC 9207;
//! contract 6). The order of its checks is a security decision.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::form::Parameters;
use crate::limits::MAX_CODE_CHARS;
use crate::{OauthError, OneTimeValue, Reason};

/// What this attempt may be answered with.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The attempt's own `state`.
    pub state: &'a OneTimeValue,
    /// The configured issuer, compared exactly.
    pub issuer: &'a str,
    /// Whether an answer without `iss` is refused.
    pub require_iss: bool,
}

/// An authorization code that passed every check; made by [`judge`] only.
pub struct AuthorizationCode(Zeroizing<String>);

impl AuthorizationCode {
    /// The code, for the token request.
    #[must_use]
    pub fn expose_for_token_request(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AuthorizationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why an answer was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The reason code.
    pub reason: Reason,
    /// The known error code that the server named, if that was it.
    pub server_error: Option<OauthError>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, server_error: None }
    }
}

/// Judges the raw query of a callback.
///
/// In this order: structure; `state` in constant time, for error answers too, so that nobody
/// without it can steer the attempt; `iss` in constant time, where a different one is refused and
/// an absent one too if it is required, but in an error answer, which fails either way; `error`;
/// `code`.
///
/// # Errors
/// `malformed_input`, `state_missing`, `state_mismatch`, `issuer_mismatch`,
/// `authorization_server_error` or `missing_code`.
pub fn judge(query: &str, expected: Expected<'_>) -> Result<AuthorizationCode, Refusal> {
    let parameters = Parameters::parse(query)?;
    let state = parameters.get("state").ok_or(Reason::StateMissing)?;
    if !expected.state.equals(state) {
        return Err(Reason::StateMismatch.into());
    }
    let error = parameters.get("error");
    match parameters.get("iss") {
        Some(issuer) if bool::from(issuer.as_bytes().ct_eq(expected.issuer.as_bytes())) => {}
        None if error.is_some() || !expected.require_iss => {}
        Some(_) | None => return Err(Reason::IssuerMismatch.into()),
    }
    if let Some(code) = error {
        let server_error = Some(OauthError::recognise(code));
        return Err(Refusal { reason: Reason::AuthorizationServerError, server_error });
    }
    match parameters.get("code") {
        None | Some("") => Err(Reason::MissingCode.into()),
        Some(code) if code.chars().count() > MAX_CODE_CHARS => Err(Reason::MalformedInput.into()),
        Some(code) => Ok(AuthorizationCode(Zeroizing::new(code.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Expected, judge};
    use crate::{OauthError, OneTimeValue, Reason};

    const ISSUER: &str = "https://gateway.example.com/native";
    const ENCODED_ISSUER: &str = "https%3A%2F%2Fgateway.example.com%2Fnative";

    fn state() -> OneTimeValue {
        OneTimeValue::from_random([9; 32])
    }

    fn judged(query: &str, require_iss: bool) -> Result<String, Reason> {
        let state = state();
        let expected = Expected { state: &state, issuer: ISSUER, require_iss };
        judge(query, expected)
            .map(|code| code.expose_for_token_request().to_owned())
            .map_err(|refusal| refusal.reason)
    }

    fn with_state(rest: &str) -> String {
        format!("state={}{rest}", state().expose_for_authorization_url())
    }

    #[test]
    fn a_right_answer_yields_its_code() {
        let query = with_state(&format!("&iss={ENCODED_ISSUER}&code=abc%2F1&extra=x"));
        assert_eq!(judged(&query, true).as_deref(), Ok("abc/1"));
    }

    #[test]
    fn structure_comes_before_state() {
        assert_eq!(judged("code=a&code=b", true), Err(Reason::MalformedInput));
        let twice = format!("{}&state=x", with_state("&code=a"));
        assert_eq!(judged(&twice, true), Err(Reason::MalformedInput));
    }

    #[test]
    fn state_comes_before_everything_that_follows() {
        assert_eq!(judged("", true), Err(Reason::StateMissing));
        assert_eq!(judged("error=access_denied", true), Err(Reason::StateMissing));
        assert_eq!(judged("state=&code=a", true), Err(Reason::StateMismatch));
        let wrong = "state=wrong&error=access_denied&iss=https%3A%2F%2Fevil.test";
        assert_eq!(judged(wrong, true), Err(Reason::StateMismatch));
    }

    #[test]
    fn iss_comes_before_error_and_code() {
        let evil = with_state("&iss=https%3A%2F%2Fevil.test&error=access_denied");
        assert_eq!(judged(&evil, true), Err(Reason::IssuerMismatch));
        assert_eq!(judged(&evil, false), Err(Reason::IssuerMismatch));
        let close = with_state(&format!("&iss={ENCODED_ISSUER}%2F&code=a"));
        assert_eq!(judged(&close, false), Err(Reason::IssuerMismatch));
    }

    #[test]
    fn an_absent_iss_is_refused_unless_configured_otherwise_or_an_error() {
        let plain = with_state("&code=a");
        assert_eq!(judged(&plain, true), Err(Reason::IssuerMismatch));
        assert_eq!(judged(&plain, false).as_deref(), Ok("a"));
        let error = with_state("&error=server_error");
        assert_eq!(judged(&error, true), Err(Reason::AuthorizationServerError));
    }

    #[test]
    fn an_error_wins_over_a_code_and_only_its_known_name_is_kept() {
        let state = state();
        let expected = Expected { state: &state, issuer: ISSUER, require_iss: true };
        let denied = with_state("&error=access_denied&error_description=free+text&code=a");
        let refusal = judge(&denied, expected).unwrap_err();
        assert_eq!(refusal.server_error, Some(OauthError::AccessDenied));
        let invented = with_state("&error=%3Cscript%3E");
        assert_eq!(judge(&invented, expected).unwrap_err().server_error, Some(OauthError::Other));
    }

    #[test]
    fn a_code_has_1_to_8192_characters() {
        let with_code = |code: &str| with_state(&format!("&iss={ENCODED_ISSUER}{code}"));
        assert_eq!(judged(&with_code(""), true), Err(Reason::MissingCode));
        assert_eq!(judged(&with_code("&code="), true), Err(Reason::MissingCode));
        let longest = "x".repeat(8192);
        assert_eq!(judged(&with_code(&format!("&code={longest}")), true), Ok(longest.clone()));
        let longer = with_code(&format!("&code={longest}x"));
        assert_eq!(judged(&longer, true), Err(Reason::MalformedInput));
    }

    #[test]
    fn a_code_does_not_show_itself() {
        let state = state();
        let expected = Expected { state: &state, issuer: ISSUER, require_iss: false };
        let code = judge(&with_state("&code=canary"), expected).unwrap();
        assert_eq!(format!("{code:?}"), "[redacted]");
    }

    proptest! {
        #[test]
        fn nobody_without_the_state_gets_past_it(query in "\\PC{0,120}", other in "[A-Za-z0-9_-]{43}") {
            let refused = judged(&query, false);
            prop_assert!(matches!(refused,
                Err(Reason::MalformedInput | Reason::StateMissing | Reason::StateMismatch)));
            prop_assume!(!state().equals(&other));
            let forged = format!("state={other}&code=a&iss={ENCODED_ISSUER}");
            prop_assert_eq!(judged(&forged, true), Err(Reason::StateMismatch));
        }

        #[test]
        fn any_one_changed_character_of_the_issuer_is_a_mismatch(
            at in 0..ISSUER.len(), replacement in "[a-z0-9]",
        ) {
            let mut issuer = ISSUER.to_owned();
            issuer.replace_range(at..=at, &replacement);
            prop_assume!(issuer != ISSUER);
            let query = with_state(&format!("&code=a&iss={}", issuer.replace('/', "%2F")));
            prop_assert_eq!(judged(&query, false), Err(Reason::IssuerMismatch));
        }
    }
}
