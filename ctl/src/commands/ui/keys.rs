//! The one-time code that opens the page, and the key that the page gets for it. Only digests are
//! kept, compared in constant time.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::refusal::Refusal;

/// How long a code opens the page.
pub(super) const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// 256 random bits as 43 characters of base64url. Neither shown nor copied, wiped when dropped.
pub(super) struct Secret(Zeroizing<String>);

impl Secret {
    /// # Errors
    /// `internal` when the kernel gives no randomness.
    fn draw() -> Result<Self, Refusal> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(bytes.as_mut()).map_err(|_| Refusal::new("internal"))?;
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()))))
    }

    /// For the fragment of the address that opens the page.
    pub(super) fn expose_for_address(&self) -> &str {
        &self.0
    }

    /// For the answer to the page's exchange.
    pub(super) fn expose_for_page(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What opens the page, and what the opened page holds: at most one of each.
#[derive(Default)]
pub(super) struct Keys {
    code: Option<(Digest, Instant)>,
    page: Option<Digest>,
}

type Digest = [u8; 32];

impl Keys {
    /// Makes a code that is good once, within [`CODE_LIFETIME`]; an earlier one is void.
    ///
    /// # Errors
    /// As [`Secret::draw`].
    pub(super) fn issue(&mut self, now: Instant) -> Result<Secret, Refusal> {
        let code = Secret::draw()?;
        self.code = Some((digest(code.0.as_bytes()), now + CODE_LIFETIME));
        Ok(code)
    }

    /// Turns the code into the page's key. The key of a page that was opened before is void: there
    /// is one page at a time.
    ///
    /// # Errors
    /// `page_code_refused`, the same for a wrong, a used and a late code. A wrong one leaves the
    /// right one as it is, so that nobody without it can take it away.
    pub(super) fn exchange(&mut self, presented: &str, now: Instant) -> Result<Secret, Refusal> {
        let presented = digest(presented.as_bytes());
        let is_good = self.code.as_ref().is_some_and(|(code, until)| {
            let matches: bool = code.ct_eq(&presented).into();
            matches && now < *until
        });
        if !is_good {
            return Err(Refusal::new("page_code_refused"));
        }
        self.code = None;
        let key = Secret::draw()?;
        self.page = Some(digest(key.0.as_bytes()));
        Ok(key)
    }

    /// Whether this is the key of the page that is open.
    pub(super) fn admit(&self, presented: &[u8]) -> bool {
        let presented = digest(presented);
        self.page.as_ref().is_some_and(|page| page.ct_eq(&presented).into())
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued() -> (Keys, Secret, Instant) {
        let (mut keys, now) = (Keys::default(), Instant::now());
        let code = keys.issue(now).expect("randomness");
        (keys, code, now)
    }

    fn reason(outcome: Result<Secret, Refusal>) -> String {
        outcome.expect_err("refused").reason().to_owned()
    }

    #[test]
    fn a_code_is_good_once() {
        let (mut keys, code, now) = issued();
        let key = keys.exchange(&code.0, now).expect("exchanged");
        assert!(keys.admit(key.0.as_bytes()));
        assert_ne!(*key.0, *code.0);
        assert_eq!(reason(keys.exchange(&code.0, now)), "page_code_refused");
        assert!(keys.admit(key.0.as_bytes()), "the page stays open");
    }

    #[test]
    fn a_code_dies_after_its_minute() {
        let (mut keys, code, now) = issued();
        assert_eq!(reason(keys.exchange(&code.0, now + CODE_LIFETIME)), "page_code_refused");
        let just_in_time = now + CODE_LIFETIME - Duration::from_millis(1);
        assert!(keys.exchange(&code.0, just_in_time).is_ok());
    }

    #[test]
    fn a_wrong_code_opens_nothing_and_leaves_the_right_one() {
        let (mut keys, code, now) = issued();
        for wrong in ["", "x", &code.0[1..], &format!("{}x", *code.0)] {
            assert_eq!(reason(keys.exchange(wrong, now)), "page_code_refused");
        }
        assert!(keys.exchange(&code.0, now).is_ok());
    }

    #[test]
    fn a_new_code_voids_the_old_one_and_a_new_page_the_old_page() {
        let (mut keys, first, now) = issued();
        let second = keys.issue(now).expect("randomness");
        assert_eq!(reason(keys.exchange(&first.0, now)), "page_code_refused");
        let old = keys.exchange(&second.0, now).expect("exchanged");
        let third = keys.issue(now).expect("randomness");
        assert!(keys.admit(old.0.as_bytes()), "until another page is opened");
        let new = keys.exchange(&third.0, now).expect("exchanged");
        assert!(keys.admit(new.0.as_bytes()) && !keys.admit(old.0.as_bytes()));
    }

    #[test]
    fn before_any_exchange_no_key_is_admitted_and_the_code_is_no_key() {
        let (keys, code, _) = issued();
        assert!(!keys.admit(b"") && !keys.admit(code.0.as_bytes()));
    }

    #[test]
    fn secrets_are_256_bits_as_base64url_and_are_never_shown() {
        let (keys, code, _) = issued();
        assert_eq!(code.0.len(), 43);
        assert!(code.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(format!("{code:?} {keys:?}"), "[redacted] [redacted]");
    }
}
