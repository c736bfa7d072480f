//! Tokens as the front door knows them: digests, compared in constant time.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// SHA-256 of a token.
#[derive(Clone)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Takes a digest as it came from its maker; `None` unless it is 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Digests a presented or own token.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether both are the digest of one token; takes the same time whatever they hold.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::TokenDigest;

    #[test]
    fn only_32_bytes_are_a_digest() {
        assert!(TokenDigest::from_bytes(&[7; 32]).is_some());
        for length in [0, 1, 31, 33, 64] {
            assert!(TokenDigest::from_bytes(&vec![7; length]).is_none(), "{length}");
        }
    }

    #[test]
    fn a_token_matches_its_own_digest_alone() {
        let digest = TokenDigest::of(b"a token");
        assert!(digest.matches(&TokenDigest::of(b"a token")));
        assert!(!digest.matches(&TokenDigest::of(b"a tokem")));
        assert!(!digest.matches(&TokenDigest::of(b"")));
    }

    #[test]
    fn the_digest_is_sha256() {
        let abc = [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae,
            0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61,
            0xf2, 0x00, 0x15, 0xad,
        ];
        let known = TokenDigest::from_bytes(&abc).expect("32 bytes");
        assert!(known.matches(&TokenDigest::of(b"abc")));
    }

    #[test]
    fn a_digest_is_never_shown() {
        assert_eq!(format!("{:?}", TokenDigest::of(b"x")), "[redacted]");
    }
}
