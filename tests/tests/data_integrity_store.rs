//! What changes in the store after it was verified is found, and mended by another pull
//! (contract 8).

use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::Result;
use promises::{MODEL_ID, RUNTIME_ID, Ran, World};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
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

/// No room for more than 40 MB: setrlimit(2) fails the write as a full disk would, which one test
/// cannot make of everybody's. A person frees space, and the next pull goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_ends_the_pull_and_the_next_one_goes_on() -> Result<()> {
    const ROOM: u64 = 40_000_000;
    let world = World::start().await?;
    world.sign_in().await?;
    let supervisor = world.pid_of("supervisor").await?;
    let pid = Pid::from_raw(i32::try_from(supervisor)?);
    let before = getrlimit(Resource::Fsize);
    prlimit(pid, Resource::Fsize, Rlimit { current: Some(ROOM), maximum: before.maximum })?;
    world.ctl_events(&["pull", MODEL_ID]).await?.expect_refusal("disk_full");
    assert_eq!(world.stored_artifacts()?, Vec::<String>::new());
    assert_eq!(world.pid_of("supervisor").await?, supervisor, "it must survive");

    prlimit(pid, Resource::Fsize, before)?;
    let pulled = world.ctl_events(&["pull", MODEL_ID]).await?;
    pulled.expect_success();
    assert_eq!(pulled.named("progress")[0]["received"], ROOM, "it began anew");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_removes_the_beginnings_that_nobody_came_back_for_in_a_week() -> Result<()> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let mut world = World::start().await?;
    let (old, young) =
        (world.leave_partial_file('a', 8 * DAY)?, world.leave_partial_file('b', 6 * DAY)?);
    world.restart().await?;
    world.status_when(|_| !old.exists()).await?;
    assert!(young.exists());
    world.stop().await
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

/// Two launchers, two supervisors, one data directory: the locks are the kernel's, and die with
/// their holder.
#[tokio::test(flavor = "multi_thread")]
async fn two_companions_of_one_user_share_the_store_and_neither_removes_what_the_other_runs()
-> Result<()> {
    let world = World::ready().await?;
    let neighbour = world.neighbour().await?;
    let says = async |arguments: &[&str]| Ok::<_, anyhow::Error>(neighbour.ctl(arguments).await?);
    let stored = world.stored_artifacts()?;
    for id in [MODEL_ID, RUNTIME_ID] {
        let refused = neighbour.ctl_json(&["rm", id]).await?;
        assert_eq!(refused["error"]["reason"], "in_use", "{refused}");
    }
    assert_eq!(world.stored_artifacts()?, stored);
    assert!(says(&["start", MODEL_ID]).await?.status.success(), "both run the same files");
    let model = world.stored_model()?;
    assert!(world.ctl(&["stop"]).await?.status.success());
    assert_eq!(world.ctl(&["rm", MODEL_ID]).await?.status.code(), Some(1));

    // Killed, it keeps nobody from anything.
    let status = neighbour.status().await?;
    let launcher = u32::try_from(status["pids"]["launcher"].as_u64().unwrap_or_default())?;
    let supervisor = u32::try_from(status["pids"]["supervisor"].as_u64().unwrap_or_default())?;
    promises::kill(launcher)?;
    promises::gone(supervisor).await?;
    world.ctl(&["rm", MODEL_ID]).await?.expect_success();
    assert!(!model.exists());
    world.ctl_events(&["pull", MODEL_ID]).await?.expect_success();
    world.ctl_events(&["start", MODEL_ID]).await?.expect_success();
    world.stop().await
}
