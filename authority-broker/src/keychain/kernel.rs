//! The kernel keyring, where it is chosen explicitly: memory only, gone at reboot, and readable
//! by other programs of the same user.

use std::sync::Arc;

use authority_core::custody::Account;
use authority_core::{Reason, Secret};
use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Error};
use linux_keyutils_keyring_store::Store;

/// The accounts of one service name.
pub(super) struct KernelStore {
    service: String,
    store: Option<Arc<Store>>,
}

impl KernelStore {
    pub(super) fn new(service: String) -> Self {
        Self { service, store: Store::new().ok() }
    }

    pub(super) fn get(&self, account: Account) -> Result<Option<Secret>, Reason> {
        match self.entry(account)?.get_secret() {
            Ok(bytes) => Secret::new(bytes).map(Some),
            Err(Error::NoEntry) => Ok(None),
            Err(_) => Err(Reason::KeychainUnavailable),
        }
    }

    /// Without a possessed session keyring the kernel denies access and yet keeps the key that it
    /// was given: what could not be stored properly is taken away again.
    pub(super) fn set(&self, account: Account, secret: &Secret) -> Result<(), Reason> {
        let entry = self.entry(account)?;
        entry.set_secret(secret.expose_bytes()).map_err(|_| {
            let _ = entry.delete_credential();
            Reason::KeychainUnavailable
        })?;
        match self.get(account) {
            Ok(Some(stored)) if stored.equals(secret.expose_bytes()) => Ok(()),
            Ok(_) | Err(_) => {
                let _ = entry.delete_credential();
                Err(Reason::KeychainUnavailable)
            }
        }
    }

    pub(super) fn delete(&self, account: Account) -> Result<(), Reason> {
        match self.entry(account)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(_) => Err(Reason::KeychainUnavailable),
        }
    }

    fn entry(&self, account: Account) -> Result<Entry, Reason> {
        let store = self.store.as_ref().ok_or(Reason::KeychainUnavailable)?;
        store
            .build(&self.service, account.name(), None)
            .map_err(|_| Reason::KeychainUnavailable)
    }
}
