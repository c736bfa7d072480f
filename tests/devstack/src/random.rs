//! Random names for codes, tokens and clients.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 256 random bits as 43 base64url characters.
///
/// # Panics
/// When the operating system has no randomness, in which case nothing here can go on.
pub(crate) fn token() -> String {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).expect("the system's random source");
    URL_SAFE_NO_PAD.encode(bytes)
}
