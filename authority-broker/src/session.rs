//! The session: its tokens live in the keychain and nowhere else, and are read at each use, so
//! that a locked keychain authorises nothing (contract 6, 7).

use std::sync::Arc;
use std::time::Duration;

use authority_core::custody::Account;
use authority_core::discovery::{Issuer, ServerMetadata};
use authority_core::registration::ClientId;
use authority_core::rpc::{self, Rpc};
use authority_core::session::{
    MetaFact, RefreshEffect, RefreshOutcome, SessionFacts, SessionMeta, Standing, after_refresh,
    standing,
};
use authority_core::token_response::TokenResponse;
use authority_core::{Reason, Secret};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::clock;
use crate::https::Https;
use crate::keychain::Keychain;
use crate::limits::{KEYCHAIN, REVOCATION};
use crate::random;
use crate::token_endpoint::{self, Revocable, TokenFault};

/// Custody of the session.
pub(crate) struct Sessions {
    issuer: Result<Issuer, Reason>,
    keychain: Keychain,
    https: Https,
    /// Held over each change: one refresh at a time, however many callers.
    changing: Mutex<Changing>,
}

#[derive(Default)]
struct Changing {
    faults_in_a_row: u32,
    not_before: Option<Instant>,
    /// Renewed tokens that the keychain did not take yet: the ones before them are spent.
    unstored: Option<Tokens>,
}

/// What a sign-in or refresh brought.
pub(crate) struct Tokens {
    access: Secret,
    /// `None`: a refresh keeps the one it used, a sign-in has none.
    refresh: Option<Secret>,
    meta: SessionMeta,
}

/// What people are shown of the session.
pub(crate) struct Overview {
    pub(crate) standing: Standing,
    pub(crate) expires_at: u64,
    pub(crate) scopes: Vec<String>,
}

impl Tokens {
    /// The tokens of a sign-in. `asked_at` is the time before the request, in seconds since the
    /// epoch: the expiry is never thought later than the server means it.
    pub(crate) fn of_sign_in(
        response: TokenResponse,
        issuer: &Issuer,
        client_id: &ClientId,
        server: &ServerMetadata,
        asked_for: &[String],
        asked_at: u64,
    ) -> Self {
        let meta = SessionMeta {
            issuer: issuer.as_str().to_owned(),
            client_id: client_id.as_str().to_owned(),
            token_endpoint: server.token_endpoint.to_string(),
            revocation_endpoint: server.revocation_endpoint.as_ref().map(Url::to_string),
            scopes: response.scopes.unwrap_or_else(|| asked_for.to_vec()),
            expires_at: asked_at.saturating_add(response.expires_in_s),
        };
        Self { access: response.access_token, refresh: response.refresh_token, meta }
    }

    fn of_refresh(response: TokenResponse, before: SessionMeta, asked_at: u64) -> Self {
        let meta = SessionMeta {
            scopes: response.scopes.unwrap_or(before.scopes),
            expires_at: asked_at.saturating_add(response.expires_in_s),
            ..before
        };
        Self { access: response.access_token, refresh: response.refresh_token, meta }
    }
}

/// What the keychain holds.
struct Held {
    access: Option<Secret>,
    refresh: Option<Secret>,
    meta: Option<SessionMeta>,
    standing: Standing,
}

impl Sessions {
    pub(crate) fn new(issuer: &str, keychain: Keychain, https: Https) -> Arc<Self> {
        let changing = Mutex::new(Changing::default());
        Arc::new(Self { issuer: Issuer::parse(issuer), keychain, https, changing })
    }

    /// The configured issuer.
    ///
    /// # Errors
    /// `account_not_configured`, or `discovery_failed` for one that cannot be used.
    pub(crate) fn issuer(&self) -> Result<&Issuer, Reason> {
        self.issuer.as_ref().map_err(|reason| *reason)
    }

    /// What the session is worth now; within the time of one call to the keychain.
    pub(crate) async fn overview(&self) -> Result<Overview, Reason> {
        let held =
            timeout(KEYCHAIN, self.held()).await.unwrap_or(Err(Reason::KeychainUnavailable))?;
        let (expires_at, scopes) = match held.meta {
            Some(meta) if held.access.is_some() => (meta.expires_at, meta.scopes),
            Some(meta) => (0, meta.scopes),
            None => (0, Vec::new()),
        };
        Ok(Overview { standing: held.standing, expires_at, scopes })
    }

    /// Whether an RPC is allowed in the standing of now, as [`rpc::admit`] says.
    ///
    /// # Errors
    /// `not_signed_in` or the keychain's, which is not asked where the standing does not matter.
    pub(crate) async fn admit(&self, rpc: Rpc, at_hand: bool) -> Result<(), Reason> {
        let admitted = |standing| rpc::admit(rpc, standing, at_hand);
        if Standing::ALL.into_iter().all(|standing| admitted(standing).is_ok()) {
            return Ok(());
        }
        admitted(self.held().await?.standing)
    }

    /// A valid access token, renewed first if need be.
    ///
    /// The work is finished even if the caller goes away: a rotated refresh token that is not
    /// stored would be lost, and the next use of the old one taken for theft.
    ///
    /// # Errors
    /// `not_signed_in`, `token_exchange_failed`, `invalid_token_response` or the keychain's.
    pub(crate) async fn access_token(self: &Arc<Self>) -> Result<Secret, Reason> {
        self.token(None).await
    }

    /// As [`Self::access_token`], after a server refused `rejected`: another one than that.
    pub(crate) async fn access_token_after(
        self: &Arc<Self>,
        rejected: &Secret,
    ) -> Result<Secret, Reason> {
        self.token(Some(rejected.duplicate())).await
    }

    async fn token(self: &Arc<Self>, rejected: Option<Secret>) -> Result<Secret, Reason> {
        let this = Arc::clone(self);
        let work = tokio::spawn(async move { this.valid_or_renewed(rejected.as_ref()).await });
        work.await.unwrap_or(Err(Reason::Internal))
    }

    async fn valid_or_renewed(&self, rejected: Option<&Secret>) -> Result<Secret, Reason> {
        let mut changing = self.changing.lock().await;
        self.store_the_unstored(&mut changing).await?;
        let held = self.held().await?;
        let is_rejected =
            |access: &Secret| rejected.is_some_and(|r| r.equals(access.expose_bytes()));
        match (held.standing, held.access, held.refresh, held.meta) {
            (Standing::Valid, Some(access), _, _) if !is_rejected(&access) => Ok(access),
            (Standing::Valid | Standing::Refresh, _, Some(refresh), Some(meta)) => {
                self.renew(&mut changing, &refresh, meta).await
            }
            _ => Err(Reason::NotSignedIn),
        }
    }

    async fn renew(
        &self,
        changing: &mut Changing,
        refresh: &Secret,
        meta: SessionMeta,
    ) -> Result<Secret, Reason> {
        if changing.not_before.is_some_and(|until| Instant::now() < until) {
            return Err(Reason::TokenExchangeFailed);
        }
        let asked_at = clock::now();
        let answer = self.ask_for_renewal(refresh, &meta).await;
        let outcome = match &answer {
            Ok(_) => RefreshOutcome::Renewed,
            Err(TokenFault::InvalidGrant) => RefreshOutcome::InvalidGrant,
            Err(_) => RefreshOutcome::Fault,
        };
        // Without randomness the longest wait.
        let jitter = random::bytes().map_or(u16::MAX, u16::from_ne_bytes);
        match (after_refresh(outcome, changing.faults_in_a_row, jitter), answer) {
            (RefreshEffect::Store, Ok(response)) => {
                (changing.faults_in_a_row, changing.not_before) = (0, None);
                let tokens = Tokens::of_refresh(response, meta, asked_at);
                let access = tokens.access.duplicate();
                changing.unstored = Some(tokens);
                self.store_the_unstored(changing).await?;
                tracing::info!("the session was renewed");
                Ok(access)
            }
            (RefreshEffect::Clear, _) => {
                tracing::warn!("the authorization server ended the session");
                self.clear().await?;
                Err(Reason::NotSignedIn)
            }
            (RefreshEffect::KeepAndWait { milliseconds }, Err(fault)) => {
                changing.faults_in_a_row = changing.faults_in_a_row.saturating_add(1);
                changing.not_before = Some(Instant::now() + Duration::from_millis(milliseconds));
                tracing::warn!(reason = %fault.reason(), "the session could not be renewed");
                Err(fault.reason())
            }
            (RefreshEffect::Store, Err(_)) | (RefreshEffect::KeepAndWait { .. }, Ok(_)) => {
                Err(Reason::Internal)
            }
        }
    }

    async fn ask_for_renewal(
        &self,
        refresh: &Secret,
        meta: &SessionMeta,
    ) -> Result<TokenResponse, TokenFault> {
        let endpoint = Url::parse(&meta.token_endpoint).map_err(|_| TokenFault::Unreachable)?;
        let client_id = ClientId::parse(&meta.client_id).map_err(|_| TokenFault::Unreachable)?;
        token_endpoint::refresh(&self.https, &endpoint, &client_id, refresh).await
    }

    /// Takes over the tokens of a sign-in in place of the session before.
    pub(crate) async fn adopt(&self, tokens: &Tokens) -> Result<(), Reason> {
        let mut changing = self.changing.lock().await;
        *changing = Changing::default();
        self.end_the_record().await?;
        if tokens.refresh.is_none() {
            self.keychain.delete(Account::RefreshToken).await?;
        }
        self.store(tokens).await
    }

    /// Gives tokens back that could not be kept.
    pub(crate) async fn disown(&self, tokens: &Tokens) {
        self.revoke(tokens.refresh.as_ref(), Some(&tokens.access), &tokens.meta).await;
    }

    /// Revokes as well as can be, then clears the three accounts.
    ///
    /// # Errors
    /// The keychain's: then the session stays.
    pub(crate) async fn sign_out(&self) -> Result<bool, Reason> {
        let mut changing = self.changing.lock().await;
        let held = self.held().await?;
        *changing = Changing::default();
        let revoked = match &held.meta {
            Some(meta) => self.revoke(held.refresh.as_ref(), held.access.as_ref(), meta).await,
            None => false,
        };
        self.clear().await?;
        tracing::info!(session.revoked = revoked, "signed out");
        Ok(revoked)
    }

    /// True when the server confirmed the refresh token's end, or the access token's where there
    /// is no other.
    async fn revoke(
        &self,
        refresh: Option<&Secret>,
        access: Option<&Secret>,
        meta: &SessionMeta,
    ) -> bool {
        let (Some(endpoint), Ok(client_id)) =
            (&meta.revocation_endpoint, ClientId::parse(&meta.client_id))
        else {
            return false;
        };
        let Ok(endpoint) = Url::parse(endpoint) else { return false };
        let ask = |token| token_endpoint::revoke(&self.https, &endpoint, &client_id, token);
        timeout(REVOCATION, async {
            let refresh_revoked = match refresh {
                Some(token) => Some(ask(Revocable::Refresh(token)).await),
                None => None,
            };
            let access_revoked = match access {
                Some(token) => Some(ask(Revocable::Access(token)).await),
                None => None,
            };
            refresh_revoked.or(access_revoked).unwrap_or(false)
        })
        .await
        .unwrap_or(false)
    }

    /// The record first: what an interruption leaves is no session.
    async fn clear(&self) -> Result<(), Reason> {
        let gone = self.end_the_record().await;
        let mut first_fault = gone.and_then(|gone| gone.then_some(()).ok_or(KEPT));
        for account in [Account::AccessToken, Account::RefreshToken] {
            first_fault = first_fault.and(self.keychain.delete(account).await);
        }
        first_fault
    }

    /// Without its record nothing that is left of a session can be used. Where a keychain gives up
    /// no value but to a person, the record is written over with one of no session: then it is
    /// not gone, which is false.
    async fn end_the_record(&self) -> Result<bool, Reason> {
        match self.keychain.delete(Account::SessionMeta).await {
            Err(KEPT) => {
                let of_no_session = Secret::new(b"{}".to_vec())?;
                self.keychain.set(Account::SessionMeta, &of_no_session).await.map(|()| false)
            }
            outcome => outcome.map(|()| true),
        }
    }

    async fn store_the_unstored(&self, changing: &mut Changing) -> Result<(), Reason> {
        if let Some(tokens) = &changing.unstored {
            self.store(tokens).await?;
            changing.unstored = None;
        }
        Ok(())
    }

    /// The refresh token first: whatever interrupts this, what is stored can be renewed. The access
    /// token comes between a record that calls it ended and the one that says when it ends: at no
    /// moment does a token stand beside another one's expiry. Nothing is deleted, which a keychain
    /// may want a person to confirm.
    async fn store(&self, tokens: &Tokens) -> Result<(), Reason> {
        let record = tokens.meta.to_record()?;
        let ended = SessionMeta { expires_at: 0, ..tokens.meta.clone() }.to_record()?;
        if let Some(refresh) = &tokens.refresh {
            self.keychain.set(Account::RefreshToken, refresh).await?;
        }
        self.keychain.set(Account::SessionMeta, &ended).await?;
        self.keychain.set(Account::AccessToken, &tokens.access).await?;
        self.keychain.set(Account::SessionMeta, &record).await
    }

    async fn held(&self) -> Result<Held, Reason> {
        let Ok(issuer) = &self.issuer else {
            self.keychain.ready().await?;
            let standing = Standing::SignedOut;
            return Ok(Held { access: None, refresh: None, meta: None, standing });
        };
        let record = readable(self.keychain.get(Account::SessionMeta).await)?;
        let access = readable(self.keychain.get(Account::AccessToken).await)?;
        let refresh = readable(self.keychain.get(Account::RefreshToken).await)?;
        let meta = match &record {
            Entry::Known(record) => SessionMeta::of_record(record, issuer),
            Entry::Absent | Entry::Foreign => None,
        };
        let meta_fact = match (&record, &meta) {
            (Entry::Absent, _) => MetaFact::Absent,
            (_, Some(meta)) => MetaFact::Known { expires_at: meta.expires_at },
            (_, None) => MetaFact::Unreadable,
        };
        let (access, refresh) = (access.token(), refresh.token());
        let facts = SessionFacts {
            meta: meta_fact,
            has_access_token: access.is_some(),
            has_refresh_token: refresh.is_some(),
        };
        Ok(Held { standing: standing(facts, clock::now()), access, refresh, meta })
    }
}

/// Of what is not deleted.
const KEPT: Reason = Reason::KeychainLocked;

enum Entry {
    Known(Secret),
    Absent,
    Foreign,
}

impl Entry {
    /// The token, if it is of characters that a token response may bring.
    fn token(self) -> Option<Secret> {
        match self {
            Self::Known(secret) => {
                Some(secret).filter(|it| it.expose_bytes().iter().all(u8::is_ascii_graphic))
            }
            Self::Absent | Self::Foreign => None,
        }
    }
}

/// A value that the broker cannot have written is no session; a keychain that does not answer is
/// an error.
fn readable(answer: Result<Option<Secret>, Reason>) -> Result<Entry, Reason> {
    match answer {
        Ok(Some(secret)) => Ok(Entry::Known(secret)),
        Ok(None) => Ok(Entry::Absent),
        Err(Reason::InvalidSecret) => Ok(Entry::Foreign),
        Err(reason) => Err(reason),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "interruption_tests.rs"]
mod interruption_tests;
