//! A second companion of the same user.

use std::fs;
use std::os::unix::fs::DirBuilderExt;

use anyhow::{Result, ensure};
use devstack::companion::{Companion, CompanionOptions};

use super::World;

impl World {
    /// Another companion beside this one, signed in: a profile, sockets and state of its own, and
    /// the same store.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn neighbour(&self) -> Result<Companion> {
        let dir = self.dir.path().join("n");
        fs::DirBuilder::new().mode(0o700).create(&dir)?;
        let config = dir.join("config.toml");
        self.stack.write_config(&config, &[("", "profile", "neighbour".into())])?;
        let options = CompanionOptions {
            config: Some(config),
            dbus_address: Some(self.bus.address().to_owned()),
            dir: Some(dir),
            data_dir: Some(self.companion.data_dir()),
            ..CompanionOptions::default()
        };
        let companion = Companion::up(&self.stack, options).await?;
        let signed_in = companion.sign_in().await?;
        ensure!(signed_in.status.success(), "{signed_in:?}");
        Ok(companion)
    }
}
