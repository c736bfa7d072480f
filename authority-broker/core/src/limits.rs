//! Every bound of this crate.

/// Bytes of a secret in the keychain, at least.
pub const MIN_SECRET_BYTES: usize = 1;
/// Bytes of a secret in the keychain, at most (contract 7).
pub const MAX_SECRET_BYTES: usize = 8192;
/// Characters of an access or refresh token, at most (contract 6).
pub const MAX_TOKEN_CHARS: usize = 8192;
/// Characters of an authorization code, at most (contract 6).
pub const MAX_CODE_CHARS: usize = 8192;
/// Bytes of the query of a sign-in callback: a code of the longest length, each of its
/// characters percent-encoded, and room for the rest.
pub const MAX_QUERY_BYTES: usize = 32 * 1024;
/// Parameters in the query of a sign-in callback.
pub const MAX_QUERY_PARAMETERS: usize = 32;
/// Characters of an issuer identifier or endpoint URL.
pub const MAX_URL_CHARS: usize = 2048;
/// Characters of a client identifier.
pub const MAX_CLIENT_ID_CHARS: usize = 512;
/// Scopes of a session.
pub const MAX_SCOPES: usize = 64;
/// Seconds of `expires_in`, at most: ten years. More is a server that counts in other units.
pub const MAX_EXPIRES_IN_S: u64 = 315_360_000;
/// Seconds before its expiry at which an access token stops counting as valid (contract 6).
pub const EXPIRY_MARGIN_S: u64 = 30;
/// Milliseconds before the first refresh after a fault of the server.
pub const FIRST_BACKOFF_MS: u64 = 1_000;
/// Milliseconds between refreshes at most, however many faults there were.
pub const MAX_BACKOFF_MS: u64 = 60_000;
/// Entries of a catalog.
pub const MAX_CATALOG_ENTRIES: usize = 10_000;
/// URLs of one catalog entry.
pub const MAX_ENTRY_URLS: usize = 16;
/// Characters of a catalog id and of each descriptive field of an entry.
pub const MAX_FIELD_CHARS: usize = 128;
