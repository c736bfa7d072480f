//! The model host of a world: how fast it is, and what was asked of it.

use anyhow::Result;
use devstack::model_host::ModelHostCounts;

use super::World;

impl World {
    /// From now on it sends so many bytes a second, to everybody together.
    pub fn model_host_sends(&self, bytes_a_second: Option<u64>) {
        self.stack.model_host.switch(|host| host.pace = bytes_a_second);
    }

    /// What was asked of it.
    #[must_use]
    pub fn model_host_counts(&self) -> ModelHostCounts {
        self.stack.model_host.counts()
    }

    /// Waits until what was asked of it is as wanted.
    ///
    /// # Errors
    /// When it does not become so in time.
    pub async fn until_model_host(
        &self,
        wanted: impl FnMut(&ModelHostCounts) -> bool,
    ) -> Result<()> {
        self.stack.model_host.until(wanted).await
    }
}
