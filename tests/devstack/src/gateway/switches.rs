//! How the gateway behaves, changed while it runs.

use std::collections::BTreeSet;

/// Seconds an access token is good for when nothing else is said.
const DEFAULT_EXPIRES_IN: u64 = 3600;

/// Every switch of the gateway; the default is an honest server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySwitches {
    /// The metadata document.
    pub metadata: MetadataFault,
    /// Whether registration is refused with 400 `invalid_client_metadata`.
    pub refuse_registration: bool,
    /// Client id that is known without registration; any loopback port may be its redirect.
    pub known_client_id: Option<String>,
    /// What the authorization endpoint decides.
    pub authorize: AuthorizeFault,
    /// `iss` in the authorization response (RFC 9207).
    pub iss: IssParameter,
    /// `state` in the authorization response.
    pub state: StateParameter,
    /// What the token endpoint does.
    pub token: TokenFault,
    /// `expires_in` of access tokens, seconds.
    pub expires_in: u64,
    /// Whether a token response carries a refresh token.
    pub refresh_tokens: bool,
    /// Whether the revocation endpoint answers 503.
    pub refuse_revocation: bool,
    /// Whether the catalog asks for a live access token.
    pub catalog_needs_session: bool,
    /// Names of metadata files that answer 404 though they exist.
    pub hidden_metadata: BTreeSet<String>,
}

impl Default for GatewaySwitches {
    fn default() -> Self {
        Self {
            metadata: MetadataFault::None,
            refuse_registration: false,
            known_client_id: None,
            authorize: AuthorizeFault::None,
            iss: IssParameter::Right,
            state: StateParameter::Right,
            token: TokenFault::None,
            expires_in: DEFAULT_EXPIRES_IN,
            refresh_tokens: true,
            refuse_revocation: false,
            catalog_needs_session: true,
            hidden_metadata: BTreeSet::new(),
        }
    }
}

/// The metadata document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetadataFault {
    /// Right, at both places.
    #[default]
    None,
    /// Only below the issuer; the RFC 8414 location answers 404, as some servers do.
    OnlyBelowIssuer,
    /// Nowhere.
    Missing,
    /// `issuer` names somebody else.
    WrongIssuer,
    /// The token endpoint lies on another host.
    TokenEndpointElsewhere,
    /// The token endpoint is plain `http`.
    PlainHttp,
    /// `code_challenge_methods_supported` is `plain` only.
    PlainPkceOnly,
}

/// What the authorization endpoint decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthorizeFault {
    /// The development user approves.
    #[default]
    None,
    /// `error=access_denied`, with a description that must not be shown.
    AccessDenied,
    /// An error code that no RFC names.
    UnknownError,
    /// No `code` in the response.
    NoCode,
    /// `code` twice in the response.
    RepeatedCode,
}

/// `iss` in the authorization response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IssParameter {
    /// The issuer.
    #[default]
    Right,
    /// Somebody else's.
    Wrong,
    /// Not sent.
    Absent,
}

/// `state` in the authorization response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StateParameter {
    /// As it came.
    #[default]
    Right,
    /// Another value of the same shape.
    Wrong,
    /// Not sent.
    Absent,
}

/// What the token endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenFault {
    /// Serves.
    #[default]
    None,
    /// 500 without a body of use.
    ServerError,
    /// 503 with `temporarily_unavailable`: a store fault that must not clear a session.
    Unavailable,
    /// 400 `invalid_grant`.
    InvalidGrant,
    /// 401 `invalid_grant`, as some servers answer a reuse.
    InvalidGrantAs401,
    /// 200 with bytes that are no JSON.
    Garbage,
    /// 200 with a token response whose `token_type` is not bearer.
    WrongTokenType,
    /// 200 with `expires_in` zero.
    ZeroLifetime,
    /// 200 with a body over 64 KiB.
    Oversized,
    /// 307 to another path of this host.
    Redirect,
    /// Never answers.
    Stall,
    /// Does what it is asked, a rotation for good, and never answers.
    ServeThenStall,
}
