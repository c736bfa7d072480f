//! The keychain, and the session it holds, as the broker sees them.

use authority_api::v1::{Session, SessionState};

use super::check::{Check, State};
use crate::refusal::Refusal;

pub(super) fn judge(session: &Session) -> Check {
    match (session.keychain_reason.as_str(), session.keychain_backend.as_str()) {
        ("", "kernel") => Check::warn(
            "keychain",
            "The kernel keyring holds the credentials: in memory only, gone at reboot.",
            "Where a Secret Service runs, set [keychain] backend = \"system\".",
        ),
        ("", "system") => Check::ok("keychain", "The Secret Service is there and unlocked."),
        ("", _) => Check::refused("keychain", State::Fail, &Refusal::new("unexpected_answer")),
        (reason, _) => Check::refused("keychain", State::Fail, &Refusal::told(reason)),
    }
}

pub(super) fn judge_session(session: &Session) -> Check {
    match session.state() {
        SessionState::Valid | SessionState::Refresh => Check::ok("session", "You are signed in."),
        SessionState::Reauth => Check::warn(
            "session",
            "The session has expired.",
            "Sign in again: `companionctl sign-in`.",
        ),
        SessionState::SignedOut | SessionState::Unspecified if session.account_configured => {
            Check::refused("session", State::Warn, &Refusal::new("not_signed_in"))
        }
        SessionState::SignedOut | SessionState::Unspecified => {
            Check::ok("session", "No account is configured, so nobody signs in.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keychain(backend: &str, reason: &str) -> Session {
        Session {
            keychain_backend: backend.to_owned(),
            keychain_reason: reason.to_owned(),
            ..Session::default()
        }
    }

    #[test]
    fn a_keychain_is_open_volatile_or_a_failure() {
        for (backend, reason, state) in [
            ("system", "", State::Ok),
            ("kernel", "", State::Warn),
            ("system", "keychain_locked", State::Fail),
            ("system", "keychain_unavailable", State::Fail),
            ("kernel", "keychain_unavailable", State::Fail),
            ("", "", State::Fail),
        ] {
            let check = judge(&keychain(backend, reason));
            assert_eq!(check.state, state, "{check:?}");
            assert!(check.state == State::Ok || check.mend.is_some());
        }
        assert!(judge(&keychain("kernel", "")).meaning.contains("gone at reboot"));
    }

    #[test]
    fn a_session_that_must_be_renewed_by_hand_is_a_warning() {
        for (state, account_configured, expected) in [
            (SessionState::Valid, true, State::Ok),
            (SessionState::Refresh, true, State::Ok),
            (SessionState::Reauth, true, State::Warn),
            (SessionState::SignedOut, true, State::Warn),
            (SessionState::SignedOut, false, State::Ok),
            (SessionState::Unspecified, true, State::Warn),
        ] {
            let session = Session { state: state.into(), account_configured, ..Session::default() };
            assert_eq!(judge_session(&session).state, expected, "{state:?}");
        }
    }
}
