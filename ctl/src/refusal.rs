//! Why a command did not do what was asked.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use tonic::{Code, Status};

use crate::reasons;
use crate::terminal;

/// Longest reason code that is believed, in bytes.
const MAX_REASON_BYTES: usize = 64;
/// Longest detail that is shown, in characters.
const MAX_DETAIL_CHARS: usize = 400;

/// Longest message of another program that is shown, in characters.
const MAX_SAID_CHARS: usize = 2000;

/// What ends a command with exit code 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Somebody said no, or something failed, for a stated reason.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Whoever read the output has gone (`companionctl logs | head`): nothing more to say.
    #[error("the output is closed")]
    OutputClosed,
}

impl From<io::Error> for Failure {
    /// For writes to standard output, the only plain I/O a command does by itself.
    fn from(_: io::Error) -> Self {
        Self::OutputClosed
    }
}

/// A reason code, with what may be shown beside it on the owner's own terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub(crate) struct Refusal {
    reason: Cow<'static, str>,
    detail: Option<String>,
    retry_after: Option<Duration>,
    /// The whole message, of a program of this installation that was run.
    said: Option<String>,
}

impl Refusal {
    /// A refusal of this program's own.
    pub(crate) fn new(reason: &'static str) -> Self {
        Self { reason: Cow::Borrowed(reason), detail: None, retry_after: None, said: None }
    }

    /// A refusal by another process; a code that is not shaped like one is not repeated.
    pub(crate) fn told(reason: &str) -> Self {
        let reason = if looks_like_a_reason(reason) {
            Cow::Owned(reason.to_owned())
        } else {
            Cow::Borrowed("unexpected_answer")
        };
        Self { reason, detail: None, retry_after: None, said: None }
    }

    /// A refusal by a program of this installation, which has words of its own for it.
    pub(crate) fn said(reason: &str, message: &str) -> Self {
        let plain = terminal::plain(message).chars().take(MAX_SAID_CHARS).collect();
        Self { said: Some(plain), ..Self::told(reason) }
    }

    /// What a gRPC status says; `None` when it is the transport that failed.
    pub(crate) fn of_status(status: &Status) -> Option<Self> {
        let message = status.message();
        let is_reason =
            looks_like_a_reason(message) && (message.contains('_') || reasons::is_known(message));
        if is_reason {
            return Some(Self::told(message));
        }
        match status.code() {
            Code::Unimplemented => Some(Self::new("not_supported")),
            Code::DeadlineExceeded => Some(Self::new("no_answer")),
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal => None,
            _ => Some(Self::new("unexpected_answer")),
        }
    }

    /// Adds what the owner may see; control characters are removed, and its length is bounded.
    pub(crate) fn with_detail(mut self, detail: &str) -> Self {
        let plain = terminal::plain(detail);
        let one_line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
        if !one_line.is_empty() {
            self.detail = Some(one_line.chars().take(MAX_DETAIL_CHARS).collect());
        }
        self
    }

    /// Adds when it makes sense to ask again.
    pub(crate) fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What happened, what to do next, and the reason code in parentheses at the end.
    pub(crate) fn message(&self) -> String {
        if let Some(said) = &self.said {
            return said.clone();
        }
        let mut text = self.what();
        if !self.next().is_empty() {
            text.push(' ');
            text.push_str(self.next());
        }
        format!("{text} ({})", self.reason)
    }

    /// What happened, with the detail.
    pub(crate) fn what(&self) -> String {
        let mut text = reasons::words(&self.reason).what.to_owned();
        if let Some(detail) = &self.detail {
            text = format!("{}: {detail}.", text.trim_end_matches('.'));
            if text.ends_with("..") {
                text.pop();
            }
        }
        text
    }

    /// What to do next; empty when there is nothing to do.
    pub(crate) fn next(&self) -> &'static str {
        reasons::words(&self.reason).next
    }
}

fn looks_like_a_reason(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_REASON_BYTES
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_happened_what_to_do_and_ends_with_its_code() {
        let text = Refusal::new("companion_not_running").message();
        assert_eq!(
            text,
            "The companion is not running. Start it: `companion up`. (companion_not_running)"
        );
        let text = Refusal::new("configuration_refused").with_detail("gateway.isuer").message();
        assert_eq!(
            text,
            "The configuration is not usable: gateway.isuer. Mend the key that is named. \
             (configuration_refused)"
        );
    }

    #[test]
    fn a_status_carries_its_reason() {
        let status = Status::failed_precondition("keychain_locked");
        assert_eq!(Refusal::of_status(&status).expect("a reason").reason(), "keychain_locked");
        let later = Status::internal("reason_of_a_later_version");
        assert_eq!(
            Refusal::of_status(&later).expect("a reason").reason(),
            "reason_of_a_later_version"
        );
    }

    #[test]
    fn a_transport_error_is_no_reason() {
        assert_eq!(Refusal::of_status(&Status::unavailable("transport error")), None);
        assert_eq!(Refusal::of_status(&Status::unknown("broken")), None);
    }

    #[test]
    fn text_that_is_not_a_reason_code_is_never_repeated() {
        for hostile in ["", "Run `rm -rf /`", "\u{1b}[2J", "sk-SECRET", &"a_".repeat(40)] {
            let refusal = Refusal::told(hostile);
            assert_eq!(refusal.reason(), "unexpected_answer");
            assert!(hostile.is_empty() || !refusal.message().contains(hostile));
        }
    }

    #[test]
    fn a_detail_is_one_bounded_line_without_control_characters() {
        let refusal = Refusal::new("runtime_refused")
            .with_detail(&format!("a\u{1b}[31mb\n{}", "x".repeat(1000)));
        let message = refusal.message();
        assert!(!message.contains('\u{1b}') && !message.contains('\n'));
        assert!(message.chars().count() < 700);
    }
}
