//! `companionctl session`: who is signed in, until when, and where that is kept.

use std::process::ExitCode;

use authority_api::v1::{GetSessionRequest, Session, SessionState};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};
use crate::terminal::{Paint, plain};

pub(crate) async fn run(context: &Context, out: &Output) -> Result<ExitCode, Failure> {
    let mut broker = context.broker();
    let call = broker.get_session(GetSessionRequest {});
    let session = context.ask(Process::Broker, limits::KEYCHAIN, call).await?;
    out.object(&as_json(&session))?;
    out.say(&for_people(&session, OffsetDateTime::now_utc(), out))?;
    Ok(ExitCode::SUCCESS)
}

/// The session's state in the word of contract 11.
pub(crate) fn state_word(state: SessionState) -> &'static str {
    match state {
        SessionState::Valid => "valid",
        SessionState::Refresh => "refresh",
        SessionState::Reauth => "reauth",
        // What is not known is no session.
        SessionState::SignedOut | SessionState::Unspecified => "signed_out",
    }
}

fn as_json(session: &Session) -> Value {
    json!({
        "session": state_word(session.state()),
        "expires_at": expiry(session.expires_at),
        "scopes": session.scopes,
        "account_configured": session.account_configured,
        "keychain": {
            "backend": session.keychain_backend,
            "reason": (!session.keychain_reason.is_empty()).then_some(&session.keychain_reason),
        },
    })
}

fn for_people(session: &Session, now: OffsetDateTime, out: &Output) -> String {
    let style = out.style();
    let row = |name: &str, value: &str| {
        format!("{} {value}", style.paint(Paint::Quiet, &format!("{name:<9}")))
    };
    let until = until(session.expires_at, now).unwrap_or_default();
    let meaning = match session.state() {
        SessionState::Valid => format!("signed in{until}"),
        SessionState::Refresh => "signed in; renewed at the next use".to_owned(),
        SessionState::Reauth => "expired. Run `companionctl sign-in`.".to_owned(),
        SessionState::SignedOut | SessionState::Unspecified if !session.account_configured => {
            Refusal::new("account_not_configured").message()
        }
        SessionState::SignedOut | SessionState::Unspecified => {
            "signed out. Run `companionctl sign-in`.".to_owned()
        }
    };
    let mut lines = vec![row("session", &meaning)];
    if !session.scopes.is_empty() {
        lines.push(row("scopes", &plain(&session.scopes.join(" "))));
    }
    let keychain = match session.keychain_reason.as_str() {
        "" => keychain(&session.keychain_backend),
        reason => Refusal::told(reason).message(),
    };
    lines.push(row("keychain", &keychain));
    lines.join("\n")
}

/// Where the session is kept, for people.
fn keychain(backend: &str) -> String {
    match backend {
        "system" => "system: the keyring of the desktop (Secret Service)".to_owned(),
        "kernel" => "kernel: in memory only, gone at reboot".to_owned(),
        other => plain(other),
    }
}

/// RFC 3339 of seconds since the epoch.
fn expiry(seconds: u64) -> Option<String> {
    moment(seconds)?.format(&Rfc3339).ok()
}

/// `None` for 0, which means no access token.
fn moment(seconds: u64) -> Option<OffsetDateTime> {
    let seconds = i64::try_from(seconds).ok().filter(|seconds| *seconds != 0)?;
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

/// As a clause for people: when it ends, and how long that is from now.
fn until(seconds: u64, now: OffsetDateTime) -> Option<String> {
    let end = moment(seconds)?;
    let minute = format_description!("[year]-[month]-[day] [hour]:[minute]");
    let left = match (end - now).whole_minutes() {
        ..1 => "in less than a minute".to_owned(),
        1 => "in a minute".to_owned(),
        minutes @ 2..120 => format!("in {minutes} minutes"),
        minutes @ 120..2880 => format!("in {} hours", minutes / 60),
        minutes => format!("in {} days", minutes / 1440),
    };
    Some(format!(" until {} UTC, {left}", end.format(&minute).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_has_stable_field_names() {
        let session = Session {
            state: SessionState::Valid.into(),
            expires_at: 1_800_000_000,
            scopes: vec!["vault:read".to_owned()],
            keychain_backend: "system".to_owned(),
            account_configured: true,
            ..Session::default()
        };
        assert_eq!(
            as_json(&session),
            json!({
                "session": "valid", "expires_at": "2027-01-15T08:00:00Z",
                "scopes": ["vault:read"], "account_configured": true,
                "keychain": { "backend": "system", "reason": null },
            })
        );
    }

    #[test]
    fn people_read_how_long_a_session_lasts() {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a moment");
        for (left, words) in [
            (20, "in less than a minute"),
            (90, "in a minute"),
            (43 * 60, "in 43 minutes"),
            (5 * 3600, "in 5 hours"),
            (80 * 3600, "in 3 days"),
        ] {
            assert!(until(1_800_000_000 + left, now).expect("an end").ends_with(words), "{left}");
        }
        let session = Session {
            state: SessionState::Valid.into(),
            expires_at: 1_800_002_580,
            ..Session::default()
        };
        let text = for_people(&session, now, &Output::new(false));
        let first = text.lines().next().expect("a line");
        assert!(first.ends_with("signed in until 2027-01-15 08:43 UTC, in 43 minutes"), "{first}");
    }

    #[test]
    fn an_unknown_state_is_no_session() {
        let session = Session { state: 77, ..Session::default() };
        assert_eq!(as_json(&session)["session"], "signed_out");
        assert_eq!(as_json(&session)["expires_at"], Value::Null);
    }

    #[test]
    fn a_locked_keychain_says_how_to_mend_it() {
        let session = Session {
            state: SessionState::SignedOut.into(),
            keychain_reason: "keychain_locked".to_owned(),
            account_configured: true,
            ..Session::default()
        };
        let text = for_people(&session, OffsetDateTime::UNIX_EPOCH, &Output::new(false));
        assert!(text.contains("Unlock it") && text.contains("(keychain_locked)"));
    }
}
