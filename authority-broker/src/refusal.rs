//! What is said to a caller who is refused: a reason code and nothing else.

use std::borrow::Cow;

use authority_core::Reason;
use tonic::{Code, Status};

/// A refusal of the broker, or one that the supervisor gave and that is passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    reason: Cow<'static, str>,
    code: Code,
}

impl Refusal {
    /// The reason code.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// The supervisor's refusal, if its message is a reason code; else one of the broker's own,
    /// so that nothing but fixed words travels on.
    pub(crate) fn of_supervisor(status: &Status) -> Self {
        match (status.code(), is_reason_code(status.message())) {
            (code, true) => Self { reason: Cow::Owned(status.message().to_owned()), code },
            (Code::Unavailable | Code::Cancelled | Code::Unknown | Code::DeadlineExceeded, _) => {
                Reason::SupervisorUnreachable.into()
            }
            (_, false) => Reason::Internal.into(),
        }
    }

    /// A reason code that came in an event of the supervisor.
    pub(crate) fn of_event(reason: &str) -> Self {
        if is_reason_code(reason) {
            Self { reason: Cow::Owned(reason.to_owned()), code: Code::FailedPrecondition }
        } else {
            Reason::Internal.into()
        }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason: Cow::Borrowed(reason.as_str()), code: code_of(reason) }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.reason.into_owned())
    }
}

/// The one table from reasons to gRPC codes.
fn code_of(reason: Reason) -> Code {
    match reason {
        Reason::MalformedInput | Reason::InvalidRedirectUri | Reason::UnknownAccount => {
            Code::InvalidArgument
        }
        Reason::NotSignedIn => Code::Unauthenticated,
        Reason::UnknownArtifact => Code::NotFound,
        Reason::AccountNotConfigured
        | Reason::CatalogNotConfigured
        | Reason::NotProvisioned
        | Reason::KeychainLocked
        | Reason::KeychainUnavailable
        | Reason::InvalidSecret => Code::FailedPrecondition,
        Reason::AuthorizationServerError
        | Reason::StateMissing
        | Reason::StateMismatch
        | Reason::IssuerMismatch
        | Reason::MissingCode
        | Reason::UnsupportedPkceMethod
        | Reason::InvalidTokenResponse
        | Reason::RegistrationFailed
        | Reason::TokenExchangeFailed
        | Reason::ManifestUntrusted => Code::PermissionDenied,
        Reason::CallbackTimeout => Code::DeadlineExceeded,
        Reason::SignInCancelled => Code::Aborted,
        Reason::DiscoveryFailed
        | Reason::CatalogUnreachable
        | Reason::SupervisorUnreachable
        | Reason::ShuttingDown => Code::Unavailable,
        Reason::Internal => Code::Internal,
    }
}

fn is_reason_code(text: &str) -> bool {
    (1..=48).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[cfg(test)]
mod tests {
    use authority_core::Reason;
    use tonic::{Code, Status};

    use super::Refusal;

    #[test]
    fn every_reason_of_the_broker_is_a_reason_code_and_an_error() {
        for reason in Reason::ALL {
            let status = Status::from(Refusal::from(reason));
            assert_eq!(status.message(), reason.as_str());
            assert_ne!(status.code(), Code::Ok);
            assert!(super::is_reason_code(reason.as_str()));
        }
    }

    #[test]
    fn the_supervisor_s_reasons_pass_and_its_prose_does_not() {
        let passed = Refusal::of_supervisor(&Status::failed_precondition("in_use"));
        assert_eq!(passed.reason(), "in_use");
        for (status, reason) in [
            (Status::unavailable("tcp connect error: https://x"), "supervisor_unreachable"),
            (Status::unknown("transport error"), "supervisor_unreachable"),
            (Status::internal("panicked at /home/x"), "internal"),
            (Status::internal(""), "internal"),
        ] {
            assert_eq!(Refusal::of_supervisor(&status).reason(), reason);
        }
        assert_eq!(Refusal::of_event("digest_mismatch").reason(), "digest_mismatch");
        assert_eq!(Refusal::of_event("Digest of /x").reason(), "internal");
    }
}
