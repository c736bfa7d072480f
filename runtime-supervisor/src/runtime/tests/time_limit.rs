//! A runtime that takes longer to start than it may.

use super::*;

/// It is alive and answers, only never well: nothing but the time limit ends it.
#[tokio::test]
async fn a_runtime_that_never_becomes_healthy_is_ended_at_the_limit_and_not_tried_again() {
    let world = world_with(Duration::from_secs(1));
    let begun = std::time::Instant::now();
    let mut followed = world.runtime.start(world.job("loads")).await;
    assert_eq!(followed.recv().await, Some(Progress::Starting));
    let pid = pid_of(&world.when(|facts| facts.runtime_pid != 0).await);
    let end = tokio::time::timeout(LIMIT, followed.recv()).await.unwrap();
    assert_eq!(end, Some(Progress::Failed(Reason::HealthFailed)));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(is_gone(pid));
    let facts = world.facts();
    assert_eq!((facts.lifecycle(), facts.generation), (v1::Lifecycle::Stopped, 1));
    assert_eq!((facts.last_failure.as_str(), facts.crash_loop), ("health_failed", false));
}
