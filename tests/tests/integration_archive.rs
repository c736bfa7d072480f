//! The real `llama-server`, packed as its releases are: pulled, unpacked, started in the same jail,
//! asked (contract 8).

use anyhow::{Result, ensure};
use devstack::assets::Assets;
use promises::{RUNTIME_ID, World, packed, say_one_word};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_runtime_that_comes_as_an_archive_starts_and_answers() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let archive = packed(&Assets::find()?.llama_server, dir.path())?;
    let world = World::ready_with_runtime(archive).await?;
    let (address, token) = world.endpoint_and_token().await?;
    say_one_word(&address, &token).await?;

    let verified = world.ctl(&["models", "--verify"]).await?;
    ensure!(verified.status.success(), "{verified:?}");
    ensure!(world.ctl(&["stop"]).await?.status.success(), "not stopped");
    let removed = world.ctl(&["rm", RUNTIME_ID]).await?;
    ensure!(removed.status.success(), "{removed:?}");
    ensure!(world.stored_artifacts()?.len() == 1, "more than the model is left");
    world.stop().await
}
