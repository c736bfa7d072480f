//! The four accounts in the platform's keychain (contract 7): get, set, delete; no list, no
//! search, no dump, and no other store to fall back to.

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(not(target_os = "linux"))]
mod platform;
#[cfg(target_os = "linux")]
mod secret_service;

use std::sync::Arc;
use std::time::Duration;

#[cfg(target_os = "linux")]
pub(crate) use kernel::join_session;

use authority_core::custody::{Account, service_name};
use authority_core::{Reason, Secret};
use companion_settings::KeychainBackend;
use tokio::time::timeout;

use crate::connections::Connections;
use crate::limits::{KEYCHAIN, KEYCHAIN_WATCH};

/// The configured keychain; cheap to clone. Every call answers within 8 s.
#[derive(Clone)]
pub(crate) struct Keychain {
    store: Arc<Store>,
    backend: KeychainBackend,
}

enum Store {
    #[cfg(target_os = "linux")]
    SecretService(secret_service::SecretServiceStore),
    #[cfg(target_os = "linux")]
    Kernel(kernel::KernelStore),
    #[cfg(not(target_os = "linux"))]
    Platform(platform::PlatformStore),
    #[cfg(test)]
    Memory(memory::MemoryStore),
}

impl Keychain {
    /// The keychain of a profile. Nothing is opened yet.
    #[cfg(target_os = "linux")]
    pub(crate) fn new(backend: KeychainBackend, profile: &str, connections: Connections) -> Self {
        let service = service_name(profile);
        let store = match backend {
            KeychainBackend::System => {
                Store::SecretService(secret_service::SecretServiceStore::new(service, connections))
            }
            KeychainBackend::Kernel => Store::Kernel(kernel::KernelStore::new(service)),
        };
        Self { store: Arc::new(store), backend }
    }

    /// The keychain of a profile. Nothing is opened yet.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new(backend: KeychainBackend, profile: &str, _connections: Connections) -> Self {
        let store = platform::PlatformStore::new(service_name(profile), backend);
        Self { store: Arc::new(Store::Platform(store)), backend }
    }

    /// `system` or `kernel`.
    pub(crate) fn backend_name(&self) -> &'static str {
        match self.backend {
            KeychainBackend::System => "system",
            KeychainBackend::Kernel => "kernel",
        }
    }

    /// Whether it is there and unlocked.
    ///
    /// # Errors
    /// `keychain_unavailable` or `keychain_locked`.
    pub(crate) async fn ready(&self) -> Result<(), Reason> {
        within(KEYCHAIN, async {
            match &*self.store {
                #[cfg(target_os = "linux")]
                Store::SecretService(store) => store.ready().await,
                #[cfg(target_os = "linux")]
                Store::Kernel(store) => store.get(Account::LoopbackToken).map(drop),
                #[cfg(not(target_os = "linux"))]
                Store::Platform(store) => store.get(Account::LoopbackToken).await.map(drop),
                #[cfg(test)]
                Store::Memory(store) => store.ready(),
            }
        })
        .await
    }

    /// The secret of an account, if there is one.
    ///
    /// # Errors
    /// `keychain_unavailable`, `keychain_locked`, or `invalid_secret` for a value that the broker
    /// cannot have written.
    pub(crate) async fn get(&self, account: Account) -> Result<Option<Secret>, Reason> {
        within(KEYCHAIN, self.read(account)).await
    }

    /// As [`Self::get`], within the shorter time of a watcher.
    pub(crate) async fn watch(&self, account: Account) -> Result<Option<Secret>, Reason> {
        within(KEYCHAIN_WATCH, self.read(account)).await
    }

    async fn read(&self, account: Account) -> Result<Option<Secret>, Reason> {
        match &*self.store {
            #[cfg(target_os = "linux")]
            Store::SecretService(store) => store.get(account).await,
            #[cfg(target_os = "linux")]
            Store::Kernel(store) => store.get(account),
            #[cfg(not(target_os = "linux"))]
            Store::Platform(store) => store.get(account).await,
            #[cfg(test)]
            Store::Memory(store) => store.get(account),
        }
    }

    /// Stores the secret of an account, in place of the one before.
    ///
    /// # Errors
    /// `keychain_unavailable` or `keychain_locked`.
    pub(crate) async fn set(&self, account: Account, secret: &Secret) -> Result<(), Reason> {
        within(KEYCHAIN, async {
            match &*self.store {
                #[cfg(target_os = "linux")]
                Store::SecretService(store) => store.set(account, secret).await,
                #[cfg(target_os = "linux")]
                Store::Kernel(store) => store.set(account, secret),
                #[cfg(not(target_os = "linux"))]
                Store::Platform(store) => store.set(account, secret).await,
                #[cfg(test)]
                Store::Memory(store) => store.set(account, secret),
            }
        })
        .await
    }

    /// Deletes the secret of an account; that there is none is no error.
    ///
    /// # Errors
    /// `keychain_unavailable` or `keychain_locked`.
    pub(crate) async fn delete(&self, account: Account) -> Result<(), Reason> {
        within(KEYCHAIN, async {
            match &*self.store {
                #[cfg(target_os = "linux")]
                Store::SecretService(store) => store.delete(account).await,
                #[cfg(target_os = "linux")]
                Store::Kernel(store) => store.delete(account),
                #[cfg(not(target_os = "linux"))]
                Store::Platform(store) => store.delete(account).await,
                #[cfg(test)]
                Store::Memory(store) => store.delete(account),
            }
        })
        .await
    }
}

async fn within<T>(
    limit: Duration,
    act: impl Future<Output = Result<T, Reason>>,
) -> Result<T, Reason> {
    timeout(limit, act).await.unwrap_or(Err(Reason::KeychainUnavailable))
}
