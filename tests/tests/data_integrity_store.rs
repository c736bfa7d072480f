//! What changes in the store after it was verified is found, and mended by another pull
//! (contract 8).

use std::os::unix::fs::FileExt;

use anyhow::Result;
use promises::{MODEL_ID, Ran, World};
use serde_json::Value;

/// What `companionctl models --verify` says of an id.
fn verdict(ran: &Ran, id: &str) -> Result<Value> {
    let said: Value = serde_json::from_str(&ran.stdout)?;
    let models = said["models"].as_array().cloned().unwrap_or_default();
    Ok(models
        .iter()
        .find(|model| model["id"] == id)
        .map_or(Value::Null, |model| model["verification"].clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_under_a_running_model_is_told_and_never_started_from() -> Result<()> {
    let world = World::ready().await?;
    let verify = ["models", "--verify", "--json"];
    let ran = world.ctl(&verify).await?;
    ran.expect_success();
    assert_eq!(verdict(&ran, MODEL_ID)?, "verified");
    assert_eq!(verdict(&ran, "llama-server")?, "verified");
    assert_eq!(world.status().await?["available"], true, "verified while it runs");

    let model = world.stored_model()?;
    let file = std::fs::File::options().read(true).write(true).open(&model)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, 98_000_000)?;
    file.write_all_at(&[byte[0] ^ 1], 98_000_000)?;
    let ran = world.ctl(&verify).await?;
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert_eq!(verdict(&ran, MODEL_ID)?, "digest_mismatch");
    assert!(model.exists(), "what runs is never removed");

    world.ctl(&["stop"]).await?.expect_success();
    world.ctl_events(&["start", MODEL_ID]).await?.expect_refusal("digest_mismatch");
    assert_eq!(world.status().await?["available"], false);
    world.ctl_events(&["pull", MODEL_ID]).await?.expect_success();
    world.ctl_events(&["start", MODEL_ID]).await?.expect_success();
    world.ctl(&verify).await?.expect_success();
    world.stop().await
}
