//! Values that are shown to nobody.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::Reason;
use crate::limits::{MAX_SECRET_BYTES, MIN_SECRET_BYTES};

/// A secret of 1 to 8192 bytes that is overwritten when dropped.
///
/// It cannot be cloned, displayed or serialised, and its `Debug` is `[redacted]`.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over a buffer; what it refuses it overwrites.
    ///
    /// # Errors
    /// `invalid_secret` when it is empty or longer than 8192 bytes (contract 7).
    pub fn new(bytes: Vec<u8>) -> Result<Self, Reason> {
        let bytes = Zeroizing::new(bytes);
        if (MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(Reason::InvalidSecret)
        }
    }

    /// Another handle to the same value, for the few places where two owners need it.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(Zeroizing::new(self.0.to_vec()))
    }

    /// The bytes, for the keychain and for digests.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, for an HTTP header or form field.
    ///
    /// # Errors
    /// `invalid_secret` when it is not UTF-8.
    pub fn expose_text(&self) -> Result<&str, Reason> {
        std::str::from_utf8(&self.0).map_err(|_| Reason::InvalidSecret)
    }

    /// Whether it equals `other`, in time that depends on the lengths only.
    #[must_use]
    pub fn equals(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// 256 random bits as 43 base64url characters, used once: `state` and `nonce`.
pub struct OneTimeValue(Secret);

impl OneTimeValue {
    /// The value made of 32 random bytes, which are overwritten.
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(base64url_secret(random))
    }

    /// The 43 characters, for the authorization URL.
    #[must_use]
    pub fn expose_for_authorization_url(&self) -> &str {
        self.0.expose_text().unwrap_or_default()
    }

    /// Whether it equals `other`, in time that depends on the lengths only.
    #[must_use]
    pub fn equals(&self, other: &str) -> bool {
        self.0.equals(other.as_bytes())
    }
}

impl fmt::Debug for OneTimeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// 32 random bytes as 43 base64url characters (RFC 4648 section 5, without padding).
pub(crate) fn base64url_secret(mut random: [u8; 32]) -> Secret {
    let mut text = vec![0; 43];
    let written = URL_SAFE_NO_PAD.encode_slice(random, &mut text);
    random.zeroize();
    debug_assert_eq!(written, Ok(43));
    Secret(Zeroizing::new(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{OneTimeValue, Secret};
    use crate::Reason;

    #[test]
    fn a_secret_has_1_to_8192_bytes() {
        for (length, fits) in [(0, false), (1, true), (8192, true), (8193, false)] {
            let made = Secret::new(vec![b'x'; length]);
            assert_eq!(made.is_ok(), fits, "{length}");
            if let Err(reason) = made {
                assert_eq!(reason, Reason::InvalidSecret);
            }
        }
    }

    #[test]
    fn neither_secret_nor_one_time_value_shows_itself() {
        let secret = Secret::new(b"canary".to_vec()).unwrap();
        assert_eq!(format!("{secret:?} {secret:#?}"), "[redacted] [redacted]");
        assert_eq!(format!("{:?}", OneTimeValue::from_random([7; 32])), "[redacted]");
    }

    #[test]
    fn text_that_is_not_utf_8_is_refused() {
        let secret = Secret::new(vec![0xff]).unwrap();
        assert_eq!(secret.expose_text().err(), Some(Reason::InvalidSecret));
    }

    #[test]
    fn a_duplicate_holds_the_same_value() {
        let secret = Secret::new(b"canary".to_vec()).unwrap();
        assert!(secret.duplicate().equals(b"canary"));
    }

    proptest! {
        #[test]
        fn a_secret_equals_itself_and_nothing_else(a in prop::collection::vec(any::<u8>(), 1..64),
                                                   b in prop::collection::vec(any::<u8>(), 1..64)) {
            let secret = Secret::new(a.clone()).unwrap();
            prop_assert!(secret.equals(&a));
            prop_assert_eq!(secret.equals(&b), a == b);
        }

        #[test]
        fn a_one_time_value_is_43_base64url_characters_and_carries_every_bit(
            random in any::<[u8; 32]>(), bit in 0_usize..256,
        ) {
            let value = OneTimeValue::from_random(random);
            let text = value.expose_for_authorization_url();
            prop_assert_eq!(text.len(), 43);
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            let mut other = random;
            other[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!OneTimeValue::from_random(other).equals(text));
        }
    }
}
