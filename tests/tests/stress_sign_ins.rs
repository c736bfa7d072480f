//! Thousands of attempts to sign in, one after another, at the real processes (contract 6).

use std::time::Duration;

use anyhow::{Context, Result};
use promises::{Broker, World};

const ATTEMPTS: usize = 2_000;

/// How an attempt ends that comes faster than the launcher gives out what it needs: a listener, or
/// a connection to the gateway.
const TOO_FAST: [&str; 3] = ["internal", "discovery_failed", "registration_failed"];

/// Connections of the moment: to the gateway, and of this test.
const AT_WORK: usize = 8;

/// Longest the last of them may take to go.
const LIMIT: Duration = Duration::from_secs(20);

/// Most come too fast and are refused; most others are given
/// up for the next one, as by an impatient person; some are seen to their end.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_attempts_leave_no_descriptor_in_broker_or_launcher() -> Result<()> {
    let world = World::start().await?;
    let broker = Broker::of(&world);
    let pids = [world.pid_of("broker").await?, world.pid_of("launcher").await?];
    world.sign_in().await?;
    let before = pids.map(descriptors);
    let (mut begun, mut given_up) = (0, None);
    for round in 0..ATTEMPTS {
        let (attempt, url) = match broker.begin_sign_in().await? {
            Ok(attempt) => attempt,
            Err(reason) => {
                assert!(TOO_FAST.contains(&reason.as_str()), "{round}: {reason}");
                continue;
            }
        };
        begun += 1;
        if begun % 20 == 0 {
            world.follow(&url).await?;
            assert_eq!(attempt.outcome().await?, "ok", "{round}");
        } else {
            given_up = Some(attempt);
        }
    }
    assert!(begun >= 20, "{begun} of {ATTEMPTS}");
    drop(given_up);
    let settled = async {
        while pids.map(descriptors).iter().zip(before).any(|(now, then)| *now > then + AT_WORK) {
            tokio::task::yield_now().await;
        }
    };
    let settled = tokio::time::timeout(LIMIT, settled).await;
    settled.with_context(|| format!("{before:?} before, {:?} after", pids.map(descriptors)))?;
    assert_eq!(pids, [world.pid_of("broker").await?, world.pid_of("launcher").await?], "restarted");
    Ok(())
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(usize::MAX, Iterator::count)
}
