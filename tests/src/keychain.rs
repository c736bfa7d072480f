//! What a world's keychain holds, and what happens to it.

use anyhow::{Context, Result};

use crate::World;

impl World {
    /// How many items the keychain holds of this account.
    ///
    /// # Errors
    /// When the Secret Service does not answer.
    pub async fn keychain_items(&self, account: &str) -> Result<usize> {
        self.bus.count(&attributes(account)).await
    }

    /// The secret of this account, as the keychain stores it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn secret(&self, account: &str) -> Result<String> {
        let secret = self.bus.secret(&attributes(account)).await?.context("no such item")?;
        Ok(String::from_utf8(secret)?)
    }

    /// Locks the keychain, as a screen lock would.
    ///
    /// # Errors
    /// When the Secret Service refuses.
    pub async fn lock_keychain(&self) -> Result<()> {
        self.bus.lock().await
    }

    /// Unlocks it again.
    ///
    /// # Errors
    /// When the Secret Service refuses.
    pub async fn unlock_keychain(&self) -> Result<()> {
        self.bus.unlock().await
    }

    /// Kills the Secret Service as a crash would.
    ///
    /// # Errors
    /// When it does not go away in time.
    pub async fn lose_keychain(&self) -> Result<()> {
        self.bus.stop_keyring().await
    }

    /// Starts the Secret Service again, unlocked, on what it kept.
    ///
    /// # Errors
    /// When it does not come up in time.
    pub async fn restore_keychain(&self) -> Result<()> {
        self.bus.start_keyring().await
    }
}

fn attributes(account: &str) -> [(&str, &str); 2] {
    [("service", "companion/default"), ("account", account)]
}
