//! A keychain for the tests of this crate, which can be made to lock and to vanish.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authority_core::custody::Account;
use authority_core::{Reason, Secret};
use companion_settings::KeychainBackend;

use super::{Keychain, Store};

#[derive(Clone, Default)]
pub(crate) struct MemoryStore(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    secrets: HashMap<Account, Secret>,
    refusal: Option<Reason>,
    writes: Vec<Account>,
    changes_left: Option<usize>,
    keeps: bool,
}

impl MemoryStore {
    /// A keychain over this store.
    pub(crate) fn keychain(&self) -> Keychain {
        Keychain { store: Arc::new(Store::Memory(self.clone())), backend: KeychainBackend::System }
    }

    /// From now on every call is refused so; `None`: answers again.
    pub(crate) fn refuse(&self, refusal: Option<Reason>) {
        self.state().refusal = refusal;
    }

    /// After so many more changes nothing is changed any more: whoever made them was killed.
    /// `None`: changes are made again.
    pub(crate) fn die_after(&self, changes: Option<usize>) {
        self.state().changes_left = changes;
    }

    /// From now on nothing is deleted: a person would have to allow it.
    pub(crate) fn keep_everything(&self) {
        self.state().keeps = true;
    }

    /// The accounts that were written, in their order.
    pub(crate) fn writes(&self) -> Vec<Account> {
        self.state().writes.clone()
    }

    /// What is stored, whether locked or not.
    pub(crate) fn text(&self, account: Account) -> Option<String> {
        let state = self.state();
        state.secrets.get(&account).and_then(|secret| secret.expose_text().ok()).map(str::to_owned)
    }

    /// Puts a value there from outside.
    pub(crate) fn put(&self, account: Account, text: &str) {
        let secret = Secret::new(text.as_bytes().to_vec()).unwrap();
        self.state().secrets.insert(account, secret);
    }

    pub(super) fn ready(&self) -> Result<(), Reason> {
        self.state().refusal.map_or(Ok(()), Err)
    }

    pub(super) fn get(&self, account: Account) -> Result<Option<Secret>, Reason> {
        self.ready()?;
        Ok(self.state().secrets.get(&account).map(Secret::duplicate))
    }

    pub(super) fn set(&self, account: Account, secret: &Secret) -> Result<(), Reason> {
        self.change()?;
        let mut state = self.state();
        state.writes.push(account);
        state.secrets.insert(account, secret.duplicate());
        Ok(())
    }

    pub(super) fn delete(&self, account: Account) -> Result<(), Reason> {
        self.change()?;
        if self.state().keeps && self.text(account).is_some() {
            return Err(Reason::KeychainLocked);
        }
        self.state().secrets.remove(&account);
        Ok(())
    }

    fn change(&self) -> Result<(), Reason> {
        self.ready()?;
        match &mut self.state().changes_left {
            Some(0) => Err(Reason::KeychainUnavailable),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
