//! A runtime that takes more memory than it may.

use super::*;

/// Contract 9: a drain for resources. The memory is really taken, past what `RLIMIT_DATA` binds.
#[tokio::test]
async fn a_runtime_over_its_memory_is_drained_and_stays_stopped_with_the_reason() {
    let world = world();
    let facts = world.ready().await;
    world.runtime.report(Report::Joined).await;
    kill_process(pid_of(&facts), Signal::USR1).unwrap();

    let draining = world.when(|facts| !is_ready(facts)).await;
    assert_eq!(draining.lifecycle(), v1::Lifecycle::Draining);
    assert!(draining.resources.unwrap().ram_bytes > MAX_RAM_BYTES, "{draining:?}");
    assert_eq!(draining.last_failure, "ram_over_limit");
    world.runtime.report(Report::InFlight(1)).await;
    let late = world.start(world.job("serves")).await;
    assert_eq!(late, [Progress::Failed(Reason::AlreadyRunning)]);
    assert!(!is_gone(pid_of(&facts)));

    world.runtime.report(Report::InFlight(0)).await;
    let stopped = world.when(|facts| facts.lifecycle() == v1::Lifecycle::Stopped).await;
    assert!(is_gone(pid_of(&facts)));
    // The owner takes commands in order: a restart on its way would still hold the job.
    assert!(!world.runtime.uses(world.job("serves").model.digest()).await);
    assert_eq!((stopped.generation, stopped.crash_loop), (1, false));
    assert_eq!(world.facts().last_failure, "ram_over_limit");

    let again = world.ready().await;
    assert_eq!((again.generation, again.last_failure.as_str()), (2, ""));
}

/// Nothing reaches it before, so nothing is drained.
#[tokio::test]
async fn a_runtime_that_is_healthy_only_over_its_memory_never_becomes_ready() {
    let world = world();
    let progress = world.start(world.job("hoards")).await;
    assert_eq!(progress, [Progress::Starting, Progress::Failed(Reason::RamOverLimit)]);
    let facts = world.facts();
    assert_eq!((facts.lifecycle(), facts.generation), (v1::Lifecycle::Stopped, 1));
    assert_eq!(facts.last_failure, "ram_over_limit");
}
