//! Kill any process at any moment: nothing orphaned, back to service by itself (promise 6).

use anyhow::Result;
use promises::{World, is_alive, kill};

async fn comes_back_after_the_death_of(role: &str) -> Result<()> {
    let world = World::ready().await?;
    let dead = world.pid_of(role).await?;
    let runtime = world.pid_of("runtime").await?;
    kill(dead)?;
    world
        .status_when(|status| {
            status["available"] == true
                && status["pids"][role].as_u64().is_some_and(|pid| pid != u64::from(dead))
        })
        .await?;
    if role == "supervisor" {
        promises::gone(runtime).await?;
    }
    let (address, token) = world.endpoint_and_token().await?;
    assert_eq!(promises::get(&address, "/v1/models", Some(&token)).await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_comes_back() -> Result<()> {
    comes_back_after_the_death_of("broker").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_frontdoor_comes_back_on_the_same_listener() -> Result<()> {
    comes_back_after_the_death_of("frontdoor").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_runtime_comes_back() -> Result<()> {
    comes_back_after_the_death_of("runtime").await
}

/// The runtime dies with its supervisor, and the model the person had started is started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_takes_its_runtime_with_it_and_comes_back() -> Result<()> {
    comes_back_after_the_death_of("supervisor").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_launcher_takes_everything_with_it_and_a_new_start_works() -> Result<()> {
    let mut world = World::ready().await?;
    let pids = world.pids().await?;
    kill(world.pid_of("launcher").await?)?;
    for pid in pids {
        promises::gone(pid).await?;
    }
    assert!(world.stored_artifacts()?.len() >= 2);
    world.restart().await?;
    world.ctl_events(&["start", promises::MODEL_ID]).await?.expect_success();
    assert_eq!(world.status().await?["available"], true);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_companion_of_the_same_profile_is_refused() -> Result<()> {
    let world = World::start().await?;
    let second = world.second_launcher().await?;
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(second.stderr.contains("already"), "{second:?}");
    assert!(is_alive(world.pid_of("launcher").await?));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_no_process_and_no_socket() -> Result<()> {
    let world = World::ready().await?;
    let pids = world.pids().await?;
    let runtime_dir = world.runtime_dir();
    let _files = world.stop_keeping_files().await?;
    assert!(runtime_dir.is_dir());
    assert!(pids.into_iter().all(|pid| !is_alive(pid)));
    assert_eq!(promises::sockets_in(&runtime_dir)?, Vec::<String>::new());
    Ok(())
}
