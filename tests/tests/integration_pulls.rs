//! Several people, or several terminals of one, pull at once: each sees how far it is, the bytes
//! come once, and who leaves takes nothing from the others (contract 8).

use anyhow::{Result, ensure};
use promises::{MODEL_ID, RUNTIME_ID, World};
use serde_json::Value;

/// Bytes a second: the model takes some seconds, so that there is a middle.
const PACE: u64 = 20_000_000;

/// About the middle of the model.
const MIDDLE: u64 = 40_000_000;
/// What came and was not in order yet when a download ends comes twice (docs/operations.md).
const IN_MEMORY: u64 = 17_000_000;
/// The same with what sockets hold on both sides.
const ON_ITS_WAY: u64 = 40_000_000;

fn has_a_rate(line: &Value) -> bool {
    line["bytes_per_second"].as_u64().is_some_and(|rate| rate > 0) && line["seconds_left"].is_u64()
}

fn received(line: &Value) -> u64 {
    line["received"].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_watcher_sees_the_progress_of_one_download_and_the_last_one_ends_it() -> Result<()> {
    let world = World::start().await?;
    world.sign_in().await?;
    world.model_host_sends(Some(PACE));
    let mut first = world.watched(&["pull", MODEL_ID])?;
    first.until(has_a_rate).await?;
    let mut second = world.watched(&["pull", MODEL_ID])?;
    let seen = second.until(has_a_rate).await?;
    ensure!(received(&seen[0]) > 0, "it did not join: {seen:?}");
    first.interrupt().await?;
    second.until(|line| received(line) > MIDDLE).await?;

    // The last one leaves: the host is asked for no more, and what came is kept.
    second.interrupt().await?;
    world.until_model_host(|host| host.open_bodies == 0).await?;
    ensure!(world.stored_artifacts()?.is_empty(), "unfinished, and stored");
    world.model_host_sends(None);
    let mut third = world.watched(&["pull", MODEL_ID])?;
    let seen = third.until(|line| line["event"] == "verified").await?;
    ensure!(received(&seen[0]) + IN_MEMORY > MIDDLE, "it began anew: {:?}", seen[0]);
    let size = seen[0]["total"].as_u64().unwrap_or_default();
    let twice = world.model_host_counts().bytes_sent - size;
    ensure!(twice < ON_ITS_WAY, "{twice} bytes came twice");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_of_another_file_waits_for_its_turn_and_both_are_verified() -> Result<()> {
    let world = World::start().await?;
    world.sign_in().await?;
    world.model_host_sends(Some(PACE));
    let mut model = world.watched(&["pull", MODEL_ID])?;
    model.until(has_a_rate).await?;
    let mut runtime = world.watched(&["pull", RUNTIME_ID])?;
    let waits = runtime.next().await?;
    ensure!(waits.as_ref().is_some_and(|line| line["waiting"] == true), "{waits:?}");
    // The turn goes on when what had it is in the store.
    let turn = runtime.until(|line| received(line) > 0).await?;
    ensure!(world.stored_model().is_ok(), "it did not wait for its turn");
    ensure!(turn.last().is_some_and(|line| line["waiting"] == false), "{turn:?}");
    world.model_host_sends(None);
    let of_the_model = model.until(|line| line["event"] == "verified").await?;
    let of_the_runtime = runtime.until(|line| line["event"] == "verified").await?;
    ensure!(of_the_model.iter().all(|line| line["waiting"] != true), "{of_the_model:?}");
    ensure!(!of_the_runtime.is_empty());
    ensure!(world.stored_artifacts()?.len() == 2);
    world.stop().await
}
