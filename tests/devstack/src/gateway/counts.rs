//! What the gateway has seen.

/// Counters since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayCounts {
    /// Requests to any route.
    pub requests: u64,
    /// Metadata documents served.
    pub metadata: u64,
    /// Clients registered.
    pub registrations: u64,
    /// Authorization requests answered with a redirect.
    pub authorizations: u64,
    /// Requests to the token endpoint, of any kind and outcome.
    pub token_requests: u64,
    /// Codes exchanged for tokens.
    pub code_exchanges: u64,
    /// Refresh tokens rotated.
    pub refreshes: u64,
    /// Refreshes refused: unknown, revoked or reused tokens.
    pub refreshes_refused: u64,
    /// Revocation requests.
    pub revocations: u64,
    /// Requests at the place that the token endpoint's redirect points to.
    pub redirects_followed: u64,
    /// Catalog files served.
    pub catalog_reads: u64,
    /// Catalog requests refused for want of a live access token.
    pub catalog_refusals: u64,
    /// Catalog requests that carried an access token.
    pub catalog_reads_with_token: u64,
}
