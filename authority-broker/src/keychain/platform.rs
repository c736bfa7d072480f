//! macOS Keychain and Windows Credential Manager, by the keyring project's stores: of this device
//! and this user. Written for those platforms and not yet exercised there: the launcher refuses
//! to start until their confinement is written.

use std::collections::HashMap;
use std::sync::Arc;

use authority_core::custody::Account;
use authority_core::{Reason, Secret};
use companion_settings::KeychainBackend;
use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Error};

/// The keychain that only a signed program has: never synchronised, read while the device is
/// unlocked, on this device alone.
#[cfg(target_os = "macos")]
use apple_native_keyring_store::protected::Store;
#[cfg(target_os = "macos")]
const OF_THIS_DEVICE: (&str, &str) = ("access-policy", "when-unlocked-this-device-only");

/// Sealed for this user by DPAPI; without the modifier it would roam with the user's profile.
#[cfg(target_os = "windows")]
use windows_native_keyring_store::Store;
#[cfg(target_os = "windows")]
const OF_THIS_DEVICE: (&str, &str) = ("persistence", "local");

/// The accounts of one service name.
pub(super) struct PlatformStore {
    service: String,
    /// `None` where there is none, and for the kernel keyring, which is Linux's own.
    store: Option<Arc<Store>>,
}

impl PlatformStore {
    pub(super) fn new(service: String, backend: KeychainBackend) -> Self {
        let store = match backend {
            KeychainBackend::System => Store::new().ok(),
            KeychainBackend::Kernel => None,
        };
        Self { service, store }
    }

    pub(super) async fn get(&self, account: Account) -> Result<Option<Secret>, Reason> {
        match self.blocking(account, |entry| entry.get_secret()).await? {
            Ok(bytes) => Secret::new(bytes).map(Some),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(reason_of(&error)),
        }
    }

    pub(super) async fn set(&self, account: Account, secret: &Secret) -> Result<(), Reason> {
        let secret = secret.duplicate();
        let stored =
            self.blocking(account, move |entry| entry.set_secret(secret.expose_bytes())).await?;
        stored.map_err(|error| reason_of(&error))
    }

    pub(super) async fn delete(&self, account: Account) -> Result<(), Reason> {
        match self.blocking(account, |entry| entry.delete_credential()).await? {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(reason_of(&error)),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        account: Account,
        act: impl FnOnce(Entry) -> Result<T, Error> + Send + 'static,
    ) -> Result<Result<T, Error>, Reason> {
        let store = self.store.clone().ok_or(Reason::KeychainUnavailable)?;
        let service = self.service.clone();
        let acting = move || {
            let modifiers = HashMap::from([OF_THIS_DEVICE]);
            store.build(&service, account.name(), Some(&modifiers)).and_then(act)
        };
        tokio::task::spawn_blocking(acting).await.map_err(|_| Reason::KeychainUnavailable)
    }
}

/// Two of the crate's errors print the secret they could not read: none is ever printed here.
fn reason_of(error: &Error) -> Reason {
    match error {
        Error::NoStorageAccess(_) => Reason::KeychainLocked,
        Error::BadEncoding(_) | Error::BadDataFormat(..) | Error::Ambiguous(_) => {
            Reason::InvalidSecret
        }
        _ => Reason::KeychainUnavailable,
    }
}
