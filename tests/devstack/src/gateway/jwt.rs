//! Session tokens: HS256 JSON Web Tokens that only this gateway reads.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{hmac, rand::SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The subject of every token.
const DEVELOPMENT_USER: &str = "development-user";

/// The key of one gateway; it lives in memory only.
#[derive(Debug)]
pub(super) struct SessionKey(hmac::Key);

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) client_id: String,
    pub(super) scope: String,
    pub(super) iat: u64,
    pub(super) exp: u64,
    /// The token family that this token lives and dies with.
    pub(super) family: u64,
    /// Makes every token its own.
    pub(super) jti: String,
}

impl SessionKey {
    pub(super) fn generate() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .expect("the system's random source");
        Self(key)
    }

    pub(super) fn sign(&self, claims: &impl Serialize) -> String {
        let header = json!({ "alg": "HS256", "typ": "at+jwt" });
        let claims = serde_json::to_vec(claims).expect("claims are plain values");
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(&claims));
        let signature = hmac::sign(&self.0, signed.as_bytes());
        format!("{signed}.{}", encode(signature.as_ref()))
    }

    /// The claims of a token that this key signed and that has not expired.
    pub(super) fn verify(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        hmac::verify(&self.0, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        (now() < claims.exp).then_some(claims)
    }
}

impl Claims {
    pub(super) fn new(
        iss: &str,
        client_id: &str,
        scope: &str,
        family: u64,
        expires_in: u64,
    ) -> Self {
        let iat = now();
        Self {
            iss: iss.to_owned(),
            sub: DEVELOPMENT_USER.to_owned(),
            client_id: client_id.to_owned(),
            scope: scope.to_owned(),
            iat,
            exp: iat + expires_in,
            family,
            jti: super::fresh(),
        }
    }

    /// The matching ID token (OpenID Connect Core section 2), with the client's `nonce`.
    pub(super) fn id_token(&self, nonce: Option<&str>) -> serde_json::Value {
        json!({
            "iss": self.iss, "sub": self.sub, "aud": self.client_id,
            "iat": self.iat, "exp": self.exp, "nonce": nonce,
        })
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
