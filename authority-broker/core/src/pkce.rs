//! Proof Key for Code Exchange with S256, and nothing else (RFC 7636; contract 6).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::secret::base64url_secret;
use crate::{Reason, Secret};

/// The only challenge method that is ever sent or accepted.
pub const METHOD: &str = "S256";

/// A `code_verifier` of 43 characters (RFC 7636 section 4.1).
pub struct CodeVerifier(Secret);

impl CodeVerifier {
    /// The verifier made of 32 random bytes, which are overwritten.
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(base64url_secret(random))
    }

    /// The challenge for the authorization URL: base64url of SHA-256 of the verifier.
    #[must_use]
    pub fn challenge(&self) -> CodeChallenge {
        CodeChallenge(URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.expose_bytes())))
    }

    /// The verifier's text, for the token request.
    #[must_use]
    pub fn expose_for_token_request(&self) -> &str {
        self.0.expose_text().unwrap_or_default()
    }
}

impl fmt::Debug for CodeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A `code_challenge` by S256: made from a verifier only, so that `plain` cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeChallenge(String);

impl CodeChallenge {
    /// The 43 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Judges the methods that a server announces (RFC 8414 `code_challenge_methods_supported`).
///
/// # Errors
/// `unsupported_pkce_method` when S256 is not among them or nothing is announced, which RFC 8414
/// defines as no support for PKCE.
pub fn require_s256(announced: Option<&[String]>) -> Result<(), Reason> {
    match announced {
        Some(methods) if methods.iter().any(|method| method == METHOD) => Ok(()),
        Some(_) | None => Err(Reason::UnsupportedPkceMethod),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{CodeVerifier, METHOD, require_s256};
    use crate::Reason;

    /// RFC 7636 appendix B.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let random = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212,
            37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
        ];
        let verifier = CodeVerifier::from_random(random);
        assert_eq!(
            verifier.expose_for_token_request(),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        );
        assert_eq!(verifier.challenge().as_str(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_server_without_s256_is_refused() {
        let methods = |list: &[&str]| list.iter().map(|&m| m.to_owned()).collect::<Vec<_>>();
        assert_eq!(require_s256(Some(&methods(&["plain", METHOD]))), Ok(()));
        for lacking in [Some(methods(&["plain"])), Some(methods(&["s256"])), Some(vec![]), None] {
            assert_eq!(require_s256(lacking.as_deref()), Err(Reason::UnsupportedPkceMethod));
        }
    }

    #[test]
    fn a_verifier_does_not_show_itself() {
        assert_eq!(format!("{:?}", CodeVerifier::from_random([1; 32])), "[redacted]");
    }

    proptest! {
        #[test]
        fn the_challenge_is_never_the_verifier(random in any::<[u8; 32]>()) {
            let verifier = CodeVerifier::from_random(random);
            prop_assert_eq!(verifier.expose_for_token_request().len(), 43);
            prop_assert_eq!(verifier.challenge().as_str().len(), 43);
            let challenge = verifier.challenge();
            prop_assert_ne!(challenge.as_str(), verifier.expose_for_token_request());
        }
    }
}
