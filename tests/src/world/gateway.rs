//! What a world's gateway has seen and issued.

use std::fs;

use anyhow::{Context, Result, ensure};
use devstack::gateway::GatewaySwitches;

use super::{STATE_LIMIT, World};

impl World {
    /// Changes how the gateway behaves from now on.
    pub fn at_gateway(&self, change: impl FnOnce(&mut GatewaySwitches)) {
        self.stack.gateway.switch(change);
    }

    /// Resolves once the gateway has seen what the condition asks for.
    ///
    /// # Errors
    /// When it has not in time.
    pub async fn gateway_until(
        &self,
        condition: impl FnMut(&devstack::gateway::GatewayCounts) -> bool,
    ) -> Result<()> {
        let seen = self.stack.gateway.until(condition);
        tokio::time::timeout(STATE_LIMIT, seen).await.context("not seen in time")?
    }

    /// Takes the gateway off the network: from now on nobody listens where it was.
    ///
    /// # Errors
    /// When somebody still does.
    pub async fn lose_gateway(&self) -> Result<()> {
        let vanished = self.stack.gateway.vanish();
        tokio::time::timeout(STATE_LIMIT, vanished).await.context("it still listens")
    }

    /// Writes something else over the catalog that the broker keeps for when there is no gateway.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn damage_catalog_copy(&self) -> Result<()> {
        let files = self.state_files()?.into_iter().map(|(path, _)| path);
        let copies: Vec<_> = files.filter(|path| path.ends_with("/offline.json")).collect();
        ensure!(copies.len() == 1, "{copies:?}");
        fs::write(&copies[0], "{}")?;
        Ok(())
    }

    /// Refreshes the gateway has granted.
    #[must_use]
    pub fn refreshes_seen(&self) -> u64 {
        self.stack.gateway.counts().refreshes
    }

    /// Revocations the gateway was asked for.
    #[must_use]
    pub fn revocations_seen(&self) -> u64 {
        self.stack.gateway.counts().revocations
    }

    /// Every OAuth secret the gateway has issued.
    #[must_use]
    pub fn issued_secrets(&self) -> Vec<String> {
        self.stack.gateway.secrets()
    }

    /// Uses the session's refresh token as a thief would, who got hold of it.
    ///
    /// # Errors
    /// When there is no live one.
    pub fn spend_refresh_token_elsewhere(&self) -> Result<()> {
        let gateway = &self.stack.gateway;
        let spent =
            gateway.secrets().iter().rev().any(|it| gateway.spend_refresh_token(it).is_ok());
        ensure!(spent, "no live refresh token");
        Ok(())
    }
}
