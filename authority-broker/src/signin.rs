//! One sign-in attempt, from discovery to the keychain (contract 6). A new attempt cancels the
//! one before; so does a sign-out, and a caller who goes away.

use std::sync::{Arc, Mutex, PoisonError};

use authority_api::v1::sign_in_event::Event as Said;
use authority_api::v1::{Authorize, Failed, SignInEvent, SignedIn};
use authority_core::authorization::{AuthorizationRequest, asks_for_id_token, authorization_url};
use authority_core::callback::{self, AuthorizationCode, Expected};
use authority_core::discovery::{Issuer, ServerMetadata};
use authority_core::phase::{Event, Phase, step};
use authority_core::pkce::CodeVerifier;
use authority_core::redirect::{RedirectUri, callback_path};
use authority_core::registration::ClientId;
use authority_core::{OneTimeValue, Reason, id_token};
use companion_settings::Gateway;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::connections::Connections;
use crate::discovery::discover;
use crate::https::Https;
use crate::keychain::Keychain;
use crate::limits::SIGN_IN;
use crate::redirect_listener::RedirectListener;
use crate::registration::register;
use crate::session::{Sessions, Tokens};
use crate::{clock, random, token_endpoint};

/// Where the events of an attempt go.
pub(crate) type Events = mpsc::Sender<Result<SignInEvent, Status>>;

/// Makes attempts, one at a time.
pub(crate) struct SignIns {
    gateway: Gateway,
    connections: Connections,
    https: Https,
    keychain: Keychain,
    sessions: Arc<Sessions>,
    current: Mutex<CancellationToken>,
}

/// What an accepted callback leads to: nothing of it can be made without the checks before.
struct Authorized {
    server: ServerMetadata,
    client_id: ClientId,
    redirect_uri: RedirectUri,
    verifier: CodeVerifier,
    nonce: Option<OneTimeValue>,
    code: AuthorizationCode,
}

impl SignIns {
    pub(crate) fn new(
        gateway: Gateway,
        connections: Connections,
        https: Https,
        keychain: Keychain,
        sessions: Arc<Sessions>,
    ) -> Arc<Self> {
        let current = Mutex::new(CancellationToken::new());
        Arc::new(Self { gateway, connections, https, keychain, sessions, current })
    }

    /// Ends the attempt under way, if there is one.
    pub(crate) fn cancel(&self) {
        self.begin().cancel();
    }

    /// Runs one attempt and says how it went as the last event.
    pub(crate) async fn attempt(self: Arc<Self>, events: Events) {
        let cancelled = self.begin();
        let mut progress = Progress(Phase::Begun);
        let authorized = tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(Reason::SignInCancelled),
            () = events.closed() => Err(Reason::SignInCancelled),
            within = timeout(SIGN_IN, self.authorize(&mut progress, &events)) => {
                within.unwrap_or(Err(Reason::CallbackTimeout))
            }
        };
        let outcome = match authorized {
            Ok(authorized) => self.finish(&mut progress, authorized).await,
            Err(reason) => Err(reason),
        };
        let said = match outcome {
            Ok(()) => {
                tracing::info!("signed in");
                Said::SignedIn(SignedIn {})
            }
            Err(reason) => {
                // An attempt that is over stays as it is.
                let _ = progress.enter(Event::Refused);
                tracing::warn!(reason = %reason, "the sign-in was refused");
                Said::Failed(Failed { reason: reason.to_string() })
            }
        };
        let _ = events.send(Ok(SignInEvent { event: Some(said) })).await;
    }

    /// Makes this attempt the one there is.
    fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, token.clone()).cancel();
        token
    }

    /// Up to an accepted callback.
    async fn authorize(
        &self,
        progress: &mut Progress,
        events: &Events,
    ) -> Result<Authorized, Reason> {
        let issuer = self.sessions.issuer()?;
        self.keychain.ready().await?;
        let server = discover(&self.https, issuer).await?;
        progress.enter(Event::MetadataAccepted)?;

        let (listener, client_id) = self.listener_and_client(&server).await?;
        let redirect_uri = listener.uri().clone();
        let state = OneTimeValue::from_random(random::bytes()?);
        let nonce = match asks_for_id_token(&self.gateway.scopes) {
            true => Some(OneTimeValue::from_random(random::bytes()?)),
            false => None,
        };
        let verifier = CodeVerifier::from_random(random::bytes()?);
        let request = AuthorizationRequest {
            client_id: &client_id,
            redirect_uri: &redirect_uri,
            scopes: &self.gateway.scopes,
            state: &state,
            nonce: nonce.as_ref(),
            challenge: &verifier.challenge(),
        };
        let url = authorization_url(&server, request);
        progress.enter(Event::RedirectBound)?;
        let authorize = Said::Authorize(Authorize { url: url.to_string() });
        let sent = events.send(Ok(SignInEvent { event: Some(authorize) })).await;
        sent.map_err(|_| Reason::SignInCancelled)?;

        let query = listener.one_answer().await?;
        let code = self.judge(&query, &state, issuer, &server)?;
        progress.enter(Event::CallbackAccepted)?;
        Ok(Authorized { server, client_id, redirect_uri, verifier, nonce, code })
    }

    /// With a configured client its registered path; else a client registered for this attempt,
    /// with a path that nobody can guess.
    async fn listener_and_client(
        &self,
        server: &ServerMetadata,
    ) -> Result<(RedirectListener, ClientId), Reason> {
        if self.gateway.client_id.is_empty() {
            let path = callback_path(Some(random::bytes()?));
            let listener = RedirectListener::open(&self.connections, &path).await?;
            let scopes = &self.gateway.scopes;
            let client_id = register(&self.https, server, listener.uri(), scopes).await?;
            Ok((listener, client_id))
        } else {
            let client_id = ClientId::parse(&self.gateway.client_id)?;
            let path = callback_path(None);
            Ok((RedirectListener::open(&self.connections, &path).await?, client_id))
        }
    }

    fn judge(
        &self,
        query: &str,
        state: &OneTimeValue,
        issuer: &Issuer,
        server: &ServerMetadata,
    ) -> Result<AuthorizationCode, Reason> {
        let require_iss = self.gateway.require_iss || server.announces_iss;
        let expected = Expected { state, issuer: issuer.as_str(), require_iss };
        callback::judge(query, expected).map_err(|refusal| {
            if let Some(error) = refusal.server_error {
                tracing::warn!(oauth.error = error.as_str(), "the authorization server refused");
            }
            refusal.reason
        })
    }

    /// From the accepted callback to the keychain. It is finished even if the caller goes away:
    /// the code is spent.
    async fn finish(&self, progress: &mut Progress, authorized: Authorized) -> Result<(), Reason> {
        let tokens = self.exchange(&authorized).await?;
        progress.enter(Event::TokensAccepted)?;
        if let Err(reason) = self.sessions.adopt(&tokens).await {
            self.sessions.disown(&tokens).await;
            return Err(reason);
        }
        progress.enter(Event::Stored)
    }

    async fn exchange(&self, authorized: &Authorized) -> Result<Tokens, Reason> {
        let Authorized { server, client_id, redirect_uri, verifier, nonce, code } = authorized;
        let issuer = self.sessions.issuer()?;
        let asked_at = clock::now();
        let endpoint = &server.token_endpoint;
        let https = &self.https;
        let response =
            token_endpoint::exchange(https, endpoint, client_id, redirect_uri, code, verifier)
                .await
                .map_err(token_endpoint::TokenFault::reason)?;
        if let Some(token) = &response.id_token {
            id_token::judge(token, nonce.as_ref(), issuer.as_str(), client_id.as_str())?;
        }
        let scopes = &self.gateway.scopes;
        Ok(Tokens::of_sign_in(response, issuer, client_id, server, scopes, asked_at))
    }
}

/// Where the attempt stands.
struct Progress(Phase);

impl Progress {
    fn enter(&mut self, event: Event) -> Result<(), Reason> {
        self.0 = step(self.0, event).map_err(|_| Reason::Internal)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "signin_race_tests.rs"]
mod race_tests;
#[cfg(test)]
#[path = "signin_tests.rs"]
mod tests;
