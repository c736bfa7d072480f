//! The kernel keyring, where it is chosen explicitly: memory only, gone at reboot, and within
//! reach of other programs of the same user that ask the kernel for it.
//!
//! The keys lie in the user's persistent keyring (persistent-keyring(7)), where the next broker
//! finds them. Their possessor may do anything with them, and nobody else so much as see them:
//! neither another user, nor a program of this one that has not taken the persistent keyring.

use authority_core::custody::Account;
use authority_core::{Reason, Secret};
use linux_keyutils::{
    Key, KeyError, KeyPermissions, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission,
};

/// Gives this process a session keyring of its own: what a process is to possess must hang on
/// one, and on an inherited one it would hang for every program of the person's session.
///
/// A session keyring belongs to the thread that joins it and to those it starts: to be called
/// while there is one.
pub(crate) fn join_session() {
    if confine::join_own_session_keyring().is_err() || persistent_keyring().is_err() {
        tracing::warn!("the kernel gives no keyring: the keychain will not be available");
    }
}

/// The accounts of one service name.
pub(super) struct KernelStore {
    service: String,
}

impl KernelStore {
    pub(super) fn new(service: String) -> Self {
        Self { service }
    }

    pub(super) fn get(&self, account: Account) -> Result<Option<Secret>, Reason> {
        match self.find(account)?.map(|key| key.read_to_vec()) {
            Some(Ok(bytes)) => Secret::new(bytes).map(Some),
            Some(Err(error)) => absent(error).map(|()| None),
            None => Ok(None),
        }
    }

    /// A key that is there is changed in place; one that is dead is replaced.
    pub(super) fn set(&self, account: Account, secret: &Secret) -> Result<(), Reason> {
        let stored = persistent_keyring()?
            .add_key(&self.description(account), secret.expose_bytes())
            .and_then(|key| {
                key.set_perms(possessor_alone()).or_else(|error| {
                    key.invalidate()?;
                    Err(error)
                })
            });
        stored.map_err(unavailable)
    }

    /// The kernel takes a dead key off the quota in its own time, its bytes at once.
    pub(super) fn delete(&self, account: Account) -> Result<(), Reason> {
        let emptied = |key: Key| key.update(b"-").and_then(|()| key.invalidate());
        match self.find(account)?.map(emptied) {
            Some(Err(error)) => absent(error),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn find(&self, account: Account) -> Result<Option<Key>, Reason> {
        match persistent_keyring()?.search(&self.description(account)) {
            Ok(key) => Ok(Some(key)),
            Err(error) => absent(error).map(|()| None),
        }
    }

    fn description(&self, account: Account) -> String {
        format!("{}:{}", self.service, account.name())
    }
}

/// The user's persistent keyring, linked to this process's session keyring; each call puts off
/// its expiry.
///
/// Without a session keyring of its own a process is shown the user's, which it does not possess:
/// the kernel would take a value, deny it, and keep it.
fn persistent_keyring() -> Result<KeyRing, Reason> {
    KeyRing::from_special_id(KeyRingIdentifier::Session, false)
        .and_then(|session| session.metadata())
        .ok()
        .filter(|session| !session.get_description().starts_with("_uid_ses."))
        .ok_or(Reason::KeychainUnavailable)?;
    KeyRing::get_persistent(KeyRingIdentifier::Session).map_err(unavailable)
}

fn possessor_alone() -> KeyPermissions {
    KeyPermissionsBuilder::builder().posessor(Permission::ALL).build()
}

/// A key that is missing or dead is no secret; anything else is no answer.
fn absent(error: KeyError) -> Result<(), Reason> {
    match error {
        KeyError::KeyDoesNotExist | KeyError::KeyRevoked | KeyError::KeyExpired => Ok(()),
        other => Err(unavailable(other)),
    }
}

fn unavailable(_: KeyError) -> Reason {
    Reason::KeychainUnavailable
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
