//! macOS Keychain and Windows Credential Manager, by the keyring crate: local to this device and
//! this user. The launcher refuses to start on these platforms until their confinement is
//! written.

use authority_core::custody::Account;
use authority_core::{Reason, Secret};
use companion_settings::KeychainBackend;
use keyring::{Entry, Error};

/// The accounts of one service name.
pub(super) struct PlatformStore {
    service: String,
    /// The kernel keyring is Linux's own.
    offered: bool,
}

impl PlatformStore {
    pub(super) fn new(service: String, backend: KeychainBackend) -> Self {
        Self { service, offered: backend == KeychainBackend::System }
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
        if !self.offered {
            return Err(Reason::KeychainUnavailable);
        }
        let service = self.service.clone();
        tokio::task::spawn_blocking(move || Entry::new(&service, account.name()).and_then(act))
            .await
            .map_err(|_| Reason::KeychainUnavailable)
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
