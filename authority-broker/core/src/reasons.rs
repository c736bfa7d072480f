//! The fixed strings of contract 3 that the broker may answer with, and the error codes of
//! RFC 6749 that it may name.

/// Why the broker refused. Its `Display` is the reason code and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum Reason {
    /// A callback or request that is not well formed.
    MalformedInput,
    /// The authorization server answered with an error.
    AuthorizationServerError,
    /// A callback without `state`.
    StateMissing,
    /// A callback whose `state` is another attempt's.
    StateMismatch,
    /// Another issuer than the configured one, or none where one is required.
    IssuerMismatch,
    /// A callback without a usable code.
    MissingCode,
    /// A redirect URI that is not a loopback literal with a port.
    InvalidRedirectUri,
    /// The server does not offer S256.
    UnsupportedPkceMethod,
    /// A token response that is not one.
    InvalidTokenResponse,
    /// Dynamic client registration failed.
    RegistrationFailed,
    /// No callback came in time.
    CallbackTimeout,
    /// The token endpoint refused or could not be reached.
    TokenExchangeFailed,
    /// The server's metadata could not be fetched or is not acceptable.
    DiscoveryFailed,
    /// The attempt was cancelled, by its caller or by a newer one.
    SignInCancelled,
    /// No issuer is configured.
    AccountNotConfigured,
    /// There is no session.
    NotSignedIn,
    /// Not one of the four accounts.
    UnknownAccount,
    /// A secret that is empty, too long, or not one that the broker wrote.
    InvalidSecret,
    /// There is no keychain, or it does not answer.
    KeychainUnavailable,
    /// The keychain is locked.
    KeychainLocked,
    /// The catalog is not signed as it must be, is expired or rolled back, or lies where its
    /// bytes lie.
    ManifestUntrusted,
    /// The catalog could not be fetched.
    CatalogUnreachable,
    /// No catalog or no root of trust is configured.
    CatalogNotConfigured,
    /// The catalog has no such entry.
    UnknownArtifact,
    /// What would be started is not in the store.
    NotProvisioned,
    /// The runtime supervisor does not answer.
    SupervisorUnreachable,
    /// This process is ending.
    ShuttingDown,
    /// A fault of the broker itself.
    Internal,
}

impl Reason {
    /// Every reason, for tables and tests.
    pub const ALL: [Self; 28] = [
        Self::MalformedInput,
        Self::AuthorizationServerError,
        Self::StateMissing,
        Self::StateMismatch,
        Self::IssuerMismatch,
        Self::MissingCode,
        Self::InvalidRedirectUri,
        Self::UnsupportedPkceMethod,
        Self::InvalidTokenResponse,
        Self::RegistrationFailed,
        Self::CallbackTimeout,
        Self::TokenExchangeFailed,
        Self::DiscoveryFailed,
        Self::SignInCancelled,
        Self::AccountNotConfigured,
        Self::NotSignedIn,
        Self::UnknownAccount,
        Self::InvalidSecret,
        Self::KeychainUnavailable,
        Self::KeychainLocked,
        Self::ManifestUntrusted,
        Self::CatalogUnreachable,
        Self::CatalogNotConfigured,
        Self::UnknownArtifact,
        Self::NotProvisioned,
        Self::SupervisorUnreachable,
        Self::ShuttingDown,
        Self::Internal,
    ];

    /// The reason code, as contract 3 spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedInput => "malformed_input",
            Self::AuthorizationServerError => "authorization_server_error",
            Self::StateMissing => "state_missing",
            Self::StateMismatch => "state_mismatch",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::MissingCode => "missing_code",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::UnsupportedPkceMethod => "unsupported_pkce_method",
            Self::InvalidTokenResponse => "invalid_token_response",
            Self::RegistrationFailed => "registration_failed",
            Self::CallbackTimeout => "callback_timeout",
            Self::TokenExchangeFailed => "token_exchange_failed",
            Self::DiscoveryFailed => "discovery_failed",
            Self::SignInCancelled => "sign_in_cancelled",
            Self::AccountNotConfigured => "account_not_configured",
            Self::NotSignedIn => "not_signed_in",
            Self::UnknownAccount => "unknown_account",
            Self::InvalidSecret => "invalid_secret",
            Self::KeychainUnavailable => "keychain_unavailable",
            Self::KeychainLocked => "keychain_locked",
            Self::ManifestUntrusted => "manifest_untrusted",
            Self::CatalogUnreachable => "catalog_unreachable",
            Self::CatalogNotConfigured => "catalog_not_configured",
            Self::UnknownArtifact => "unknown_artifact",
            Self::NotProvisioned => "not_provisioned",
            Self::SupervisorUnreachable => "supervisor_unreachable",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }
}

/// An error code of RFC 6749 section 4.1.2.1 or 5.2. Codes outside these are `Other`: what a
/// server invents is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OauthError {
    /// `invalid_request`
    InvalidRequest,
    /// `unauthorized_client`
    UnauthorizedClient,
    /// `access_denied`
    AccessDenied,
    /// `unsupported_response_type`
    UnsupportedResponseType,
    /// `invalid_scope`
    InvalidScope,
    /// `server_error`
    ServerError,
    /// `temporarily_unavailable`
    TemporarilyUnavailable,
    /// `invalid_client`
    InvalidClient,
    /// `invalid_grant`
    InvalidGrant,
    /// `unsupported_grant_type`
    UnsupportedGrantType,
    /// Anything else.
    Other,
}

impl OauthError {
    /// The known code that `text` is, exactly; else `Other`.
    #[must_use]
    pub fn recognise(text: &str) -> Self {
        const KNOWN: [OauthError; 10] = [
            OauthError::InvalidRequest,
            OauthError::UnauthorizedClient,
            OauthError::AccessDenied,
            OauthError::UnsupportedResponseType,
            OauthError::InvalidScope,
            OauthError::ServerError,
            OauthError::TemporarilyUnavailable,
            OauthError::InvalidClient,
            OauthError::InvalidGrant,
            OauthError::UnsupportedGrantType,
        ];
        KNOWN.into_iter().find(|known| known.as_str() == text).unwrap_or(Self::Other)
    }

    /// The code as RFC 6749 spells it; `other` for everything else.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{OauthError, Reason};

    #[test]
    fn every_reason_is_a_word_of_its_own_in_the_contract_s_style() {
        let words: HashSet<_> = Reason::ALL.into_iter().map(Reason::as_str).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        for word in words {
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{word}");
        }
    }

    #[test]
    fn the_contract_s_spellings_are_kept() {
        let said: Vec<_> = Reason::ALL.into_iter().map(|reason| reason.to_string()).collect();
        let contract = "malformed_input authorization_server_error state_missing state_mismatch \
            issuer_mismatch missing_code invalid_redirect_uri unsupported_pkce_method \
            invalid_token_response registration_failed callback_timeout token_exchange_failed \
            unknown_account invalid_secret keychain_unavailable keychain_locked manifest_untrusted";
        for word in contract.split_whitespace() {
            assert!(said.iter().any(|reason| reason == word), "{word}");
        }
    }

    #[test]
    fn only_the_codes_of_rfc_6749_are_repeated() {
        assert_eq!(OauthError::recognise("access_denied"), OauthError::AccessDenied);
        assert_eq!(OauthError::recognise("invalid_grant"), OauthError::InvalidGrant);
        for foreign in ["", "ACCESS_DENIED", "access_denied ", "<script>", "other"] {
            assert_eq!(OauthError::recognise(foreign), OauthError::Other, "{foreign}");
        }
    }
}
