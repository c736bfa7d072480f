//! What the authorization server remembers: clients, codes, token families. No input or output.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use url::{Host, Url};

use super::answers::OAuthError;
use super::fresh;

/// How long a code may wait for its exchange (RFC 6749 section 4.1.2 advises at most 10 minutes).
const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// Characters of a `code_verifier` (RFC 7636 section 4.1).
const VERIFIER_LENGTH: std::ops::RangeInclusive<usize> = 43..=128;

/// Clients, codes and token families of one gateway.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    clients: HashMap<String, Vec<String>>,
    codes: HashMap<String, CodeEntry>,
    families: Vec<Family>,
    /// Every refresh token ever given, with its family.
    refresh_tokens: HashMap<String, usize>,
    secrets: Vec<String>,
}

/// What a code was given for.
#[derive(Debug, Clone)]
pub(super) struct Authorization {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) code_challenge: String,
    pub(super) scope: String,
    pub(super) nonce: Option<String>,
}

#[derive(Debug)]
struct CodeEntry {
    authorization: Authorization,
    given: Instant,
    spent_for: Option<usize>,
}

/// The tokens that descend from one sign-in; they are revoked together.
#[derive(Debug)]
struct Family {
    client_id: String,
    scope: String,
    live_refresh: String,
    revoked: bool,
}

/// What a token response is made from.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) family: u64,
    pub(super) client_id: String,
    pub(super) scope: String,
    pub(super) refresh_token: String,
    pub(super) nonce: Option<String>,
}

impl Ledger {
    /// Registers a client for exactly these redirect URIs and returns its id.
    pub(super) fn register(&mut self, redirect_uris: Vec<String>) -> Result<String, OAuthError> {
        if redirect_uris.is_empty() || !redirect_uris.iter().all(|uri| is_loopback_redirect(uri)) {
            return Err(OAuthError::InvalidRedirectUri);
        }
        let client_id = format!("native-{}", fresh());
        self.clients.insert(client_id.clone(), redirect_uris);
        Ok(client_id)
    }

    /// Whether this client may be answered at this place.
    pub(super) fn may_redirect(&self, client_id: &str, uri: &str, known: Option<&str>) -> bool {
        let registered =
            self.clients.get(client_id).is_some_and(|uris| uris.iter().any(|u| u == uri));
        registered || (known == Some(client_id) && is_loopback_redirect(uri))
    }

    /// Gives a code.
    pub(super) fn authorize(&mut self, authorization: Authorization) -> String {
        let code = fresh();
        self.remember(&code);
        let entry = CodeEntry { authorization, given: Instant::now(), spent_for: None };
        self.codes.insert(code.clone(), entry);
        code
    }

    /// Exchanges a code once. A second use revokes what the first one gave (RFC 6749 section
    /// 4.1.2).
    pub(super) fn exchange(
        &mut self,
        code: &str,
        client_id: &str,
        redirect_uri: &str,
        code_verifier: &str,
    ) -> Result<Issued, OAuthError> {
        self.remember(code_verifier);
        let entry = self.codes.get_mut(code).ok_or(OAuthError::InvalidGrant)?;
        if let Some(family) = entry.spent_for {
            self.families[family].revoked = true;
            return Err(OAuthError::InvalidGrant);
        }
        let asked = &entry.authorization;
        let matches = asked.client_id == client_id
            && asked.redirect_uri == redirect_uri
            && VERIFIER_LENGTH.contains(&code_verifier.len())
            && asked.code_challenge == s256(code_verifier)
            && entry.given.elapsed() < CODE_LIFETIME;
        let family = self.families.len();
        // A failed attempt spends the code too.
        entry.spent_for = Some(family);
        let asked = entry.authorization.clone();
        self.families.push(Family {
            client_id: asked.client_id,
            scope: asked.scope,
            live_refresh: String::new(),
            revoked: !matches,
        });
        if !matches {
            return Err(OAuthError::InvalidGrant);
        }
        Ok(self.issue(family, asked.nonce))
    }

    /// Rotates a refresh token. One that was spent before revokes its whole family (RFC 9700
    /// section 4.14.2). `client_id` is checked when given.
    pub(super) fn refresh(
        &mut self,
        refresh_token: &str,
        client_id: Option<&str>,
    ) -> Result<Issued, OAuthError> {
        let &index = self.refresh_tokens.get(refresh_token).ok_or(OAuthError::InvalidGrant)?;
        let family = &mut self.families[index];
        if client_id.is_some_and(|client_id| client_id != family.client_id) {
            return Err(OAuthError::InvalidGrant);
        }
        if family.live_refresh != refresh_token {
            family.revoked = true;
        }
        if family.revoked {
            return Err(OAuthError::InvalidGrant);
        }
        Ok(self.issue(index, None))
    }

    /// Revokes the family of a refresh token; an unknown one is no error (RFC 7009 section 2.2).
    pub(super) fn revoke_refresh_token(&mut self, token: &str) {
        if let Some(&family) = self.refresh_tokens.get(token) {
            self.families[family].revoked = true;
        }
    }

    pub(super) fn revoke_family(&mut self, family: u64) {
        if let Some(family) = usize::try_from(family).ok().and_then(|i| self.families.get_mut(i)) {
            family.revoked = true;
        }
    }

    pub(super) fn revoke_everything(&mut self) {
        self.families.iter_mut().for_each(|family| family.revoked = true);
    }

    pub(super) fn is_live(&self, family: u64) -> bool {
        usize::try_from(family)
            .ok()
            .and_then(|index| self.families.get(index))
            .is_some_and(|family| !family.revoked)
    }

    pub(super) fn remember(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    pub(super) fn secrets(&self) -> &[String] {
        &self.secrets
    }

    fn issue(&mut self, index: usize, nonce: Option<String>) -> Issued {
        let refresh_token = fresh();
        self.remember(&refresh_token);
        self.refresh_tokens.insert(refresh_token.clone(), index);
        let family = &mut self.families[index];
        family.live_refresh.clone_from(&refresh_token);
        Issued {
            family: index as u64,
            client_id: family.client_id.clone(),
            scope: family.scope.clone(),
            refresh_token,
            nonce,
        }
    }
}

/// `http`, a loopback IP literal, an explicit port, nothing else (RFC 8252 section 7.3).
fn is_loopback_redirect(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        Some(Host::Domain(_)) | None => return false,
    };
    url.scheme() == "http"
        && ip.is_loopback()
        && url.port().is_some()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
}

/// `BASE64URL(SHA256(code_verifier))` (RFC 7636 section 4.6).
fn s256(code_verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(code_verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIRECT: &str = "http://127.0.0.1:4000/callback";
    // RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn signed_in() -> (Ledger, String, String) {
        let mut ledger = Ledger::default();
        let client_id = ledger.register(vec![REDIRECT.to_owned()]).unwrap();
        let code = ledger.authorize(Authorization {
            client_id: client_id.clone(),
            redirect_uri: REDIRECT.to_owned(),
            code_challenge: CHALLENGE.to_owned(),
            scope: "vault:read".to_owned(),
            nonce: None,
        });
        (ledger, client_id, code)
    }

    #[test]
    fn a_code_is_good_once_and_a_second_use_revokes_what_it_gave() {
        let (mut ledger, client, code) = signed_in();
        let issued = ledger.exchange(&code, &client, REDIRECT, VERIFIER).unwrap();
        assert!(ledger.is_live(issued.family));
        let again = ledger.exchange(&code, &client, REDIRECT, VERIFIER);
        assert_eq!(again.unwrap_err(), OAuthError::InvalidGrant);
        assert!(!ledger.is_live(issued.family));
    }

    #[test]
    fn a_code_needs_its_verifier_its_client_and_its_redirect() {
        let other = "http://127.0.0.1:4000/other";
        let wrong = "x".repeat(43);
        for (client, redirect, verifier) in [
            (None, REDIRECT, wrong.as_str()),
            (None, REDIRECT, ""),
            (None, other, VERIFIER),
            (Some("somebody"), REDIRECT, VERIFIER),
        ] {
            let (mut ledger, own, code) = signed_in();
            let refused = ledger.exchange(&code, client.unwrap_or(&own), redirect, verifier);
            assert_eq!(refused.unwrap_err(), OAuthError::InvalidGrant);
            let late = ledger.exchange(&code, &own, REDIRECT, VERIFIER);
            assert_eq!(late.unwrap_err(), OAuthError::InvalidGrant, "the failure spent the code");
        }
    }

    #[test]
    fn a_reused_refresh_token_revokes_the_whole_family() {
        let (mut ledger, client, code) = signed_in();
        let first = ledger.exchange(&code, &client, REDIRECT, VERIFIER).unwrap();
        let second = ledger.refresh(&first.refresh_token, Some(&client)).unwrap();
        assert_ne!(first.refresh_token, second.refresh_token);
        assert!(ledger.refresh(&first.refresh_token, Some(&client)).is_err());
        assert!(ledger.refresh(&second.refresh_token, Some(&client)).is_err());
        assert!(!ledger.is_live(first.family));
    }

    #[test]
    fn a_refresh_token_is_bound_to_its_client_and_a_revoked_one_is_dead() {
        let (mut ledger, client, code) = signed_in();
        let issued = ledger.exchange(&code, &client, REDIRECT, VERIFIER).unwrap();
        assert!(ledger.refresh(&issued.refresh_token, Some("somebody")).is_err());
        ledger.revoke_refresh_token(&issued.refresh_token);
        assert!(ledger.refresh(&issued.refresh_token, Some(&client)).is_err());
    }

    #[test]
    fn only_loopback_literals_with_a_port_are_registered() {
        let mut ledger = Ledger::default();
        for uri in ["http://127.0.0.1:1/cb", "http://[::1]:65535/"] {
            assert!(ledger.register(vec![uri.to_owned()]).is_ok(), "{uri}");
        }
        for uri in [
            "https://127.0.0.1:1/cb",
            "http://localhost:1/cb",
            "http://10.0.0.1:1/cb",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:1/cb?x=1",
            "http://127.0.0.1:1/cb#x",
            "http://user@127.0.0.1:1/cb",
            "not a url",
        ] {
            let refused = ledger.register(vec![uri.to_owned()]);
            assert_eq!(refused.unwrap_err(), OAuthError::InvalidRedirectUri, "{uri}");
        }
        assert!(ledger.register(Vec::new()).is_err());
    }

    #[test]
    fn a_redirect_is_matched_exactly_but_for_a_known_client() {
        let (ledger, client, _) = signed_in();
        assert!(ledger.may_redirect(&client, REDIRECT, None));
        assert!(!ledger.may_redirect(&client, "http://127.0.0.1:4001/callback", None));
        assert!(ledger.may_redirect("known", "http://127.0.0.1:4001/x", Some("known")));
        assert!(!ledger.may_redirect("known", "http://example.com:80/x", Some("known")));
        assert!(!ledger.may_redirect("other", REDIRECT, Some("known")));
    }
}
