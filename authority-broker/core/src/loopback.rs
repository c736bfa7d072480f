//! The loopback token and the start of the companion that it belongs to (contract 7).

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::secret::base64url_secret;
use crate::{Reason, Secret};

const TOKEN_CHARS: usize = 43;
const SEPARATOR: u8 = b'.';

/// 256 random bits as 43 base64url characters.
pub struct LoopbackToken(Secret);

impl LoopbackToken {
    /// The token made of 32 random bytes, which are overwritten.
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(base64url_secret(random))
    }

    /// SHA-256 of the token's characters: all that the front door is given.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(self.0.expose_bytes()).into())
    }

    /// The token, for the one answer that hands it to the owner's programs.
    #[must_use]
    pub fn expose_for_owner(&self) -> &str {
        self.0.expose_text().unwrap_or_default()
    }

    /// What is stored: the token, a dot, the start id.
    ///
    /// # Errors
    /// `invalid_secret` when the start id is empty or not made of letters and digits.
    pub fn to_record(&self, start_id: &str) -> Result<Secret, Reason> {
        if !is_start_id(start_id.as_bytes()) {
            return Err(Reason::InvalidSecret);
        }
        let mut record = Vec::with_capacity(TOKEN_CHARS + 1 + start_id.len());
        record.extend_from_slice(self.0.expose_bytes());
        record.push(SEPARATOR);
        record.extend_from_slice(start_id.as_bytes());
        Secret::new(record)
    }

    /// The token of a stored record, if it belongs to this start; any other record is to be
    /// replaced: a token of an earlier start is inert.
    #[must_use]
    pub fn of_record(record: &Secret, start_id: &str) -> Option<Self> {
        let (token, rest) = record.expose_bytes().split_at_checked(TOKEN_CHARS)?;
        let of_start = rest.strip_prefix(&[SEPARATOR])?;
        let is_token = token.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b));
        let same_start = bool::from(of_start.ct_eq(start_id.as_bytes()));
        if is_token && is_start_id(of_start) && same_start {
            Secret::new(token.to_vec()).ok().map(Self)
        } else {
            None
        }
    }
}

impl fmt::Debug for LoopbackToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// SHA-256 of a loopback token. Never logged either.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The 32 bytes, for the front door.
    #[must_use]
    pub fn expose_for_frontdoor(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn is_start_id(bytes: &[u8]) -> bool {
    (1..=64).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::LoopbackToken;
    use crate::{Reason, Secret};

    const START: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn the_digest_is_sha_256_of_the_characters() {
        let token = LoopbackToken::from_random([0; 32]);
        assert_eq!(token.expose_for_owner(), "A".repeat(43));
        let digest = token.digest();
        assert_eq!(
            hex::encode(digest.expose_for_frontdoor()),
            // printf 'A%.0s' $(seq 43) | sha256sum
            "0f007385b6f9d4b7eeb2748605afe1a984a0a3bfa3f014d09e2a784ce9e5cd1a"
        );
    }

    #[test]
    fn neither_token_nor_digest_shows_itself() {
        let token = LoopbackToken::from_random([1; 32]);
        assert_eq!(format!("{token:?} {:?}", token.digest()), "[redacted] [redacted]");
    }

    #[test]
    fn a_start_id_that_could_be_mistaken_is_refused() {
        let token = LoopbackToken::from_random([1; 32]);
        for start in ["", "a.b", "a b", &"x".repeat(65)] {
            assert_eq!(token.to_record(start).err(), Some(Reason::InvalidSecret), "{start}");
        }
    }

    #[test]
    fn a_record_that_the_broker_did_not_write_is_no_token() {
        let short = "A".repeat(42);
        let token = "A".repeat(43);
        for record in [
            format!("{short}.{START}"),
            format!("{token}{START}"),
            format!("{token}:{START}"),
            format!("{token}.{START}x"),
            format!("{token}.{START}\n"),
            format!("{}.{START}", "=".repeat(43)),
            format!("{token}."),
            token.clone(),
        ] {
            let record = Secret::new(record.into_bytes()).unwrap();
            assert!(LoopbackToken::of_record(&record, START).is_none());
        }
    }

    proptest! {
        #[test]
        fn a_record_is_kept_in_its_own_start_and_inert_in_any_other(
            random in any::<[u8; 32]>(), start in "[0-9a-f]{32}", other in "[0-9a-f]{32}",
        ) {
            let token = LoopbackToken::from_random(random);
            let record = token.to_record(&start).unwrap();
            let kept = LoopbackToken::of_record(&record, &start).unwrap();
            prop_assert_eq!(kept.expose_for_owner(), token.expose_for_owner());
            prop_assert_eq!(LoopbackToken::of_record(&record, &other).is_some(), start == other);
        }
    }
}
