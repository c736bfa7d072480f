//! A runtime that gives up at once, or talks too much.

use super::*;

#[tokio::test]
async fn a_runtime_that_gives_up_at_its_first_start_is_not_tried_again() {
    let world = world();
    for (conduct, reason) in [
        ("exits", Reason::HealthFailed),
        ("leaves", Reason::HealthFailed),
        ("refused", Reason::SpawnFailed),
    ] {
        let progress = world.start(world.job(conduct)).await;
        assert_eq!(progress, [Progress::Starting, Progress::Failed(reason)]);
        let facts = world.facts();
        assert_eq!(facts.lifecycle(), v1::Lifecycle::Stopped);
        assert_eq!(facts.last_failure, reason.as_str());
    }
    assert_eq!(world.facts().generation, 3);
    assert_eq!(world.output.lines_from(0).0, ["error loading model"]);
}

/// Twenty megabytes before it serves: it is read, so that the runtime is never held up, and
/// little of it is kept.
#[tokio::test]
async fn a_runtime_that_floods_its_output_becomes_ready_and_fills_no_memory() {
    let world = world();
    let progress = world.start(world.job("floods")).await;
    assert_eq!(progress, [Progress::Starting, Progress::Ready]);
    let (lines, next) = world.output.lines_from(0);
    let kept: usize = lines.iter().map(String::len).sum();
    assert!(next >= 4_000 && kept <= crate::limits::OUTPUT_BYTES, "{next} {kept}");
    world.runtime.stop().await;
}

/// Without an end: whoever reads it still hears a stop.
#[tokio::test]
async fn a_runtime_that_never_stops_talking_is_ready_is_observed_and_stops() {
    let world = world();
    let progress = world.start(world.job("chatters")).await;
    assert_eq!(progress, [Progress::Starting, Progress::Ready]);
    let facts = world.facts();
    let sampled = world.when(|now| now.resources != facts.resources).await;
    assert!(is_ready(&sampled));
    tokio::time::timeout(LIMIT, world.runtime.stop()).await.unwrap();
    assert!(is_gone(pid_of(&facts)));
    let kept: usize = world.output.lines_from(0).0.iter().map(String::len).sum();
    assert!(kept <= crate::limits::OUTPUT_BYTES, "{kept}");
}
