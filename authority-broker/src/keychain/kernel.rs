//! The kernel keyring, where it is chosen explicitly: memory only, gone at reboot, and readable
//! by other programs of the same user.

use std::sync::Arc;

use authority_core::custody::Account;
use authority_core::{Reason, Secret};
use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Error};
use linux_keyutils::{KeyRing, KeyRingIdentifier};
use linux_keyutils_keyring_store::Store;

/// Makes sure that this process possesses a session keyring: without one, as in a container or
/// under a service manager, the kernel denies what it was given. The values themselves are linked
/// to the user's persistent keyring, where the next broker finds them.
///
/// A session keyring belongs to the thread that joins it and to those it starts: to be called
/// while there is one.
pub(crate) fn join_session() {
    let joined = KeyRing::from_special_id(KeyRingIdentifier::Session, true);
    if joined.is_err() || !possesses_a_session() {
        tracing::warn!("there is no session keyring: the kernel keyring will not be available");
    }
}

/// Without a session keyring of its own a process is shown the user's, which it does not possess:
/// the kernel would take a value, deny it, and keep it.
fn possesses_a_session() -> bool {
    KeyRing::from_special_id(KeyRingIdentifier::Session, false)
        .and_then(|session| session.metadata())
        .is_ok_and(|session| !session.get_description().starts_with("_uid_ses."))
}

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

    pub(super) fn set(&self, account: Account, secret: &Secret) -> Result<(), Reason> {
        self.entry(account)?
            .set_secret(secret.expose_bytes())
            .map_err(|_| Reason::KeychainUnavailable)
    }

    pub(super) fn delete(&self, account: Account) -> Result<(), Reason> {
        match self.entry(account)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(_) => Err(Reason::KeychainUnavailable),
        }
    }

    fn entry(&self, account: Account) -> Result<Entry, Reason> {
        let possessed = self.store.as_ref().filter(|_| possesses_a_session());
        let store = possessed.ok_or(Reason::KeychainUnavailable)?;
        store.build(&self.service, account.name(), None).map_err(|_| Reason::KeychainUnavailable)
    }
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
