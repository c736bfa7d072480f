//! A stop at a moment when nothing is ready.

use super::*;

#[tokio::test]
async fn a_stop_while_it_starts_ends_it_and_tells_whoever_waits_for_it() {
    let world = world();
    let mut first = world.runtime.start(world.job("loads")).await;
    assert_eq!(first.recv().await, Some(Progress::Starting));
    let pid = pid_of(&world.when(|facts| facts.runtime_pid != 0).await);
    let mut second = world.runtime.start(world.job("loads")).await;
    assert_eq!(second.recv().await, Some(Progress::Starting));
    tokio::time::timeout(LIMIT, world.runtime.stop()).await.unwrap();
    for followed in [&mut first, &mut second] {
        assert_eq!(followed.recv().await, Some(Progress::Failed(Reason::Stopped)));
        assert_eq!(followed.recv().await, None);
    }
    assert!(is_gone(pid));
    let facts = world.facts();
    assert_eq!((facts.lifecycle(), facts.last_failure.as_str()), (v1::Lifecycle::Stopped, ""));
    assert_eq!(world.ready().await.generation, 2);
}

#[tokio::test]
async fn a_stop_between_a_crash_and_the_restart_is_the_end_of_it() {
    let world = world();
    let facts = world.ready().await;
    kill_process(pid_of(&facts), Signal::KILL).unwrap();
    world.when(|facts| facts.last_failure == "runtime_crashed").await;
    tokio::time::timeout(LIMIT, world.runtime.stop()).await.unwrap();
    let facts = world.facts();
    assert_eq!((facts.lifecycle(), facts.last_failure.as_str()), (v1::Lifecycle::Stopped, ""));
    assert_eq!((facts.runtime_pid, facts.model_id.as_str()), (0, ""));
    assert!(!world.runtime.uses(world.job("serves").model.digest()).await, "it would come back");
}
