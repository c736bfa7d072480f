//! A machine without a way to the gateway: what was verified before still starts, for as long as
//! its catalog is unexpired (contract 8).

use anyhow::Result;
use promises::{MODEL_ID, World};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_a_restarted_companion_starts_what_was_verified_before() -> Result<()> {
    let mut world = World::provisioned().await?;
    world.lose_gateway().await?;
    world.restart().await?;
    world.ctl_events(&["start", MODEL_ID]).await?.expect_success();
    assert_eq!(world.status().await?["available"], true);
    assert_eq!(world.ctl_json(&["session"]).await?["session"], "valid");
    // The copy on disk is what speaks for it: without that, nothing does.
    world.ctl(&["stop"]).await?.expect_success();
    world.damage_catalog_copy()?;
    world.restart().await?;
    world.ctl_events(&["start", MODEL_ID]).await?.expect_refusal("catalog_unreachable");
    Ok(())
}
