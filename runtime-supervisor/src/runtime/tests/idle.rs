//! A runtime that nobody asks anything is unloaded, and comes back for the next request.

use super::*;

/// Longer than any test takes: it goes by when the test says so.
const IDLE: Duration = Duration::from_secs(3600);

/// Several times what the stand-in takes to start. Too short on a slow machine, a test that should
/// fail may pass, and none that should pass fails.
const LONG_ENOUGH_TO_WAKE: Duration = Duration::from_millis(500);

fn drowsy() -> World {
    world_of(LIMIT, Runtime { idle_unload_s: IDLE.as_secs(), ..Runtime::default() })
}

fn is_stopped(facts: &v1::RuntimeFacts) -> bool {
    facts.lifecycle() == v1::Lifecycle::Stopped
}

impl World {
    async fn says(&self, report: Report) {
        self.runtime.report(report).await;
        // The owner takes commands in order: it has heard that.
        self.runtime.uses(validate_spec(&"a".repeat(64), 1).unwrap().digest()).await;
    }

    /// Ready, and called idle when that is believed.
    async fn asleep(&self) -> v1::RuntimeFacts {
        let facts = self.ready().await;
        let idle = Report::Idle { generation: facts.generation };
        self.says(idle).await;
        assert!(!self.facts().asleep, "whoever calls it idle at once is not believed");
        goes_by(IDLE).await;
        self.says(idle).await;
        self.when(|facts| facts.asleep).await;
        facts
    }
}

/// The clock of the test jumps.
async fn goes_by(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn an_idle_runtime_ends_and_the_same_one_comes_back_when_it_is_wanted() {
    let world = drowsy();
    let ran = world.asleep().await;
    let sleeps = world.when(is_stopped).await;
    assert!(is_gone(pid_of(&ran)));
    assert!(sleeps.asleep && !sleeps.model_verified && !sleeps.resources.unwrap().observed);
    assert_eq!((sleeps.model_id.as_str(), sleeps.runtime_pid), ("serves", 0));
    assert_eq!(sleeps.last_failure, "");
    assert!(world.runtime.uses(world.job("serves").model.digest()).await, "it may not be removed");

    world.says(Report::Wanted { generation: ran.generation + 1 }).await;
    world.says(Report::Idle { generation: ran.generation }).await;
    let mut facts = world.runtime.facts();
    let disturbed = facts.wait_for(|facts| *facts != sleeps);
    let disturbed = tokio::time::timeout(LONG_ENOUGH_TO_WAKE, disturbed).await;
    assert!(disturbed.is_err(), "neither is about the one that sleeps: {disturbed:?}");

    world.says(Report::Wanted { generation: ran.generation }).await;
    let back = world.when(is_ready).await;
    assert!(!back.asleep && back.model_verified);
    assert_eq!((back.model_id.as_str(), back.generation), ("serves", ran.generation + 1));
}

#[tokio::test]
async fn what_is_in_flight_ends_first_and_who_comes_meanwhile_is_not_lost() {
    let world = drowsy();
    world.runtime.report(Report::Joined).await;
    let ran = world.asleep().await;
    let draining = world.facts();
    assert!(draining.lifecycle() == v1::Lifecycle::Draining && draining.asleep);
    world.says(Report::InFlight(1)).await;
    world.says(Report::Wanted { generation: ran.generation }).await;
    assert!(!is_gone(pid_of(&ran)));
    world.says(Report::InFlight(0)).await;
    let back = world.when(is_ready).await;
    assert_eq!((back.generation, back.asleep), (ran.generation + 1, false));
}

#[tokio::test]
async fn without_the_setting_nothing_is_unloaded_and_nothing_is_started_by_a_front_door() {
    let world = world();
    world.says(Report::Wanted { generation: 0 }).await;
    assert!(is_stopped(&world.facts()));
    let ran = world.ready().await;
    for _ in 0..10 {
        world.says(Report::Idle { generation: ran.generation }).await;
    }
    assert!(is_ready(&world.facts()) && !is_gone(pid_of(&ran)));
}

#[tokio::test]
async fn a_person_stops_or_starts_what_sleeps() {
    let world = drowsy();
    world.asleep().await;
    world.when(is_stopped).await;
    let other = world.start(world.job("deaf")).await;
    assert_eq!(other, [Progress::Failed(Reason::AlreadyRunning)]);
    assert_eq!(world.start(world.job("serves")).await, [Progress::Starting, Progress::Ready]);

    let ran = world.asleep().await;
    world.runtime.stop().await;
    let stopped = world.facts();
    assert!(is_stopped(&stopped) && !stopped.asleep);
    assert_eq!((stopped.model_id.as_str(), stopped.runtime_id.as_str()), ("", ""));
    world.says(Report::Wanted { generation: ran.generation }).await;
    assert_eq!(world.facts(), stopped, "what was stopped stays so");
}

#[tokio::test]
async fn files_that_changed_while_it_slept_are_not_started() {
    let world = drowsy();
    let ran = world.asleep().await;
    world.when(is_stopped).await;
    let model = world.dir.path().join(world.job("serves").model.digest().file_name());
    std::fs::write(model, b"exitss as a model").unwrap();
    world.says(Report::Wanted { generation: ran.generation }).await;
    let ended = world.when(|facts| !facts.asleep).await;
    assert!(is_stopped(&ended) && ended.model_id.is_empty());
    assert_eq!((ended.last_failure.as_str(), ended.generation), ("digest_mismatch", 1));
}

#[tokio::test]
async fn a_shutdown_ends_one_that_sleeps() {
    let world = drowsy();
    world.asleep().await;
    world.runtime.shut_down().await;
    tokio::time::timeout(LIMIT, world.owner).await.unwrap().unwrap();
}
