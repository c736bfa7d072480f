//! Rotation makes old tokens inert; a broker restarted within one start keeps its token
//! (contract 7, 9).

use anyhow::Result;
use promises::World;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_companion_has_a_new_port_and_token_and_the_old_one_is_inert() -> Result<()> {
    let mut world = World::ready().await?;
    let (left, old) = world.endpoint_and_token().await?;
    // Who still holds the other end keeps the old port from being given out again by chance.
    let _held = TcpStream::connect(&left).await?;
    world.restart().await?;
    let (address, new) = world.endpoint_and_token().await?;
    assert_ne!(left, address);
    assert_ne!(old, new);
    let refused = promises::get(&address, "/v1/models", Some(&old)).await?;
    assert_eq!((refused.status, refused.code()?.as_str()), (401, "invalid_token"));
    let known = promises::get(&address, "/v1/models", Some(&new)).await?;
    assert_eq!((known.status, known.code()?.as_str()), (503, "not_ready"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_keeps_the_token_within_one_start() -> Result<()> {
    let world = World::ready().await?;
    let (address, token) = world.endpoint_and_token().await?;
    let broker = world.pid_of("broker").await?;
    promises::kill(broker)?;
    world
        .status_when(|status| {
            status["available"] == true && status["pids"]["broker"].as_u64() != Some(broker.into())
        })
        .await?;
    assert_eq!(world.endpoint_and_token().await?, (address, token));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_changed_after_verification_is_not_spawned() -> Result<()> {
    let world = World::provisioned().await?;
    let model = world.stored_model()?;
    let mut bytes = std::fs::read(&model)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&model, bytes)?;
    world.ctl_events(&["start", promises::MODEL_ID]).await?.expect_refusal("digest_mismatch");
    assert_eq!(world.status().await?["lifecycle"], "stopped");
    Ok(())
}
