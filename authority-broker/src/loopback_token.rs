//! The loopback token: made at every start, kept in the keychain, its digest held at the front
//! door for exactly as long as the keychain behind it answers (contract 7, 9).

use std::sync::Arc;

use authority_core::Reason;
use authority_core::custody::Account;
use authority_core::loopback::{LoopbackToken, TokenDigest};
use frontdoor_api::v1::TokenDigest as TokenDigestMessage;
use frontdoor_api::v1::frontdoor_control_client::FrontdoorControlClient;
use futures_util::StreamExt;
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::WatchStream;
use tonic::transport::Channel;

use crate::keychain::Keychain;
use crate::limits::{DIGEST_RETRY, KEYCHAIN, KEYCHAIN_INTERVAL};
use crate::random;

/// Custody of the loopback token.
pub(crate) struct Loopback {
    keychain: Keychain,
    start_id: String,
    /// One look or change at a time, so that two never make two tokens.
    ensuring: Mutex<()>,
    /// The digest while the keychain holds its token; else why it does not.
    held: watch::Sender<Result<TokenDigest, Reason>>,
}

impl Loopback {
    pub(crate) fn new(keychain: Keychain, start_id: &str) -> Arc<Self> {
        let held = watch::Sender::new(Err(Reason::KeychainUnavailable));
        let start_id = start_id.to_owned();
        Arc::new(Self { keychain, start_id, ensuring: Mutex::new(()), held })
    }

    /// The token, for the owner's programs; within the time of one call to the keychain.
    ///
    /// # Errors
    /// The keychain's.
    pub(crate) async fn token(&self) -> Result<LoopbackToken, Reason> {
        timeout(KEYCHAIN, self.read()).await.unwrap_or(Err(Reason::KeychainUnavailable))
    }

    async fn read(&self) -> Result<LoopbackToken, Reason> {
        let _one = self.ensuring.lock().await;
        let stored = self.keychain.get(Account::LoopbackToken).await;
        let token = self.kept_or_made(stored).await;
        self.publish(token.as_ref().map(LoopbackToken::digest).map_err(|reason| *reason));
        token
    }

    /// Watches the keychain: without the token in it the digest is withdrawn, and sent again when
    /// it is back.
    pub(crate) async fn watch_keychain(self: Arc<Self>) {
        loop {
            self.look().await;
            sleep(KEYCHAIN_INTERVAL).await;
        }
    }

    async fn look(&self) {
        let _one = self.ensuring.lock().await;
        let stored = self.keychain.watch(Account::LoopbackToken).await;
        let token = self.kept_or_made(stored).await;
        self.publish(token.map(|token| token.digest()));
    }

    /// The stored token if it is this start's; else a new one in its place.
    async fn kept_or_made(
        &self,
        stored: Result<Option<authority_core::Secret>, Reason>,
    ) -> Result<LoopbackToken, Reason> {
        match stored {
            Ok(Some(record)) => {
                if let Some(token) = LoopbackToken::of_record(&record, &self.start_id) {
                    return Ok(token);
                }
            }
            Ok(None) | Err(Reason::InvalidSecret) => {}
            Err(reason) => return Err(reason),
        }
        let token = LoopbackToken::from_random(random::bytes()?);
        self.keychain.set(Account::LoopbackToken, &token.to_record(&self.start_id)?).await?;
        tracing::info!("a new loopback token is in the keychain");
        Ok(token)
    }

    fn publish(&self, held: Result<TokenDigest, Reason>) {
        self.held.send_if_modified(|before| {
            let changed = *before != held;
            if changed {
                match &held {
                    Ok(_) => tracing::info!("the loopback token is held"),
                    Err(reason) => tracing::warn!(reason = %reason, "the loopback token is lost"),
                }
                *before = held;
            }
            changed
        });
    }

    /// Keeps the digest at the front door: it counts there only while this stream is open, and is
    /// sent again over the next one when the front door was restarted.
    pub(crate) async fn hold_at_frontdoor(self: Arc<Self>, channel: Channel) {
        let (first, most) = DIGEST_RETRY;
        let mut wait = first;
        loop {
            let mut client = FrontdoorControlClient::new(channel.clone());
            let digests = WatchStream::new(self.held.subscribe()).map(|held| message_of(&held));
            if let Ok(response) = client.hold_token_digest(digests).await {
                let mut acknowledged = response.into_inner();
                while let Ok(Some(_)) = acknowledged.message().await {
                    wait = first;
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(most);
        }
    }
}

/// Empty withdraws the digest.
fn message_of(held: &Result<TokenDigest, Reason>) -> TokenDigestMessage {
    let token_digest = held.as_ref().map_or(Vec::new(), |d| d.expose_for_frontdoor().to_vec());
    TokenDigestMessage { token_digest }
}

#[cfg(test)]
mod tests {
    use authority_core::Reason;
    use authority_core::custody::Account;

    use super::{Loopback, message_of};
    use crate::keychain::memory::MemoryStore;

    const START: &str = "0123456789abcdef";

    #[tokio::test]
    async fn a_broker_restarted_within_one_start_keeps_the_token_and_another_start_replaces_it() {
        let store = MemoryStore::default();
        let token = |start: &'static str| {
            let loopback = Loopback::new(store.keychain(), start);
            async move { loopback.token().await.unwrap().expose_for_owner().to_owned() }
        };
        let first = token(START).await;
        assert_eq!(first.len(), 43);
        assert_eq!(token(START).await, first);
        let second = token("fedcba").await;
        assert_ne!(second, first);
        assert_ne!(token(START).await, first, "an earlier start's token came back");
    }

    #[tokio::test]
    async fn the_digest_is_withdrawn_while_the_keychain_is_lost_and_comes_back_the_same() {
        let store = MemoryStore::default();
        let loopback = Loopback::new(store.keychain(), START);
        let sent = || message_of(&loopback.held.borrow()).token_digest;
        assert_eq!(sent(), Vec::<u8>::new());
        loopback.look().await;
        let digest = sent();
        assert_eq!(digest.len(), 32);
        for refusal in [Reason::KeychainLocked, Reason::KeychainUnavailable] {
            store.refuse(Some(refusal));
            loopback.look().await;
            assert_eq!(sent(), Vec::<u8>::new());
            assert_eq!(loopback.token().await.err(), Some(refusal));
            store.refuse(None);
            loopback.look().await;
            assert_eq!(sent(), digest);
        }
    }

    #[tokio::test]
    async fn a_token_that_someone_put_there_is_replaced() {
        let store = MemoryStore::default();
        let loopback = Loopback::new(store.keychain(), START);
        store.put(Account::LoopbackToken, "planted");
        loopback.look().await;
        let stored = store.text(Account::LoopbackToken).unwrap();
        assert!(stored.ends_with(START) && stored.len() > START.len() + 43);
    }

    #[tokio::test]
    async fn many_callers_at_once_get_one_token() {
        let store = MemoryStore::default();
        let loopback = Loopback::new(store.keychain(), START);
        let calls = (0..32).map(|_| loopback.token());
        let tokens = futures_util::future::join_all(calls).await;
        let first = tokens[0].as_ref().unwrap().expose_for_owner();
        assert!(tokens.iter().all(|token| token.as_ref().unwrap().expose_for_owner() == first));
        assert_eq!(store.writes(), [Account::LoopbackToken]);
    }
}
