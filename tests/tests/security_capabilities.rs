//! `companionctl capabilities`: each process tries its row of the table, live (contract 11).

use anyhow::{Context, Result};
use promises::World;
use serde_json::Value;

/// In the order of the matrix, with the fewest attempts that each must have made.
const PROCESSES: [(&str, usize); 5] =
    [("launcher", 10), ("broker", 35), ("supervisor", 35), ("frontdoor", 35), ("runtime", 20)];

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_matrix_is_as_expected_while_a_model_runs_and_disturbs_nothing() -> Result<()> {
    let world = World::ready().await?;
    let before = world.status().await?;
    // Two people at once: their trials take turns.
    let (matrix, again) =
        tokio::join!(world.ctl_json(&["capabilities"]), world.ctl_json(&["capabilities"]));
    let matrix = matrix?;
    for told in [&matrix, &again?] {
        assert_eq!(told["as_expected"], true, "{told:#}");
        for (index, (process, fewest)) in PROCESSES.iter().enumerate() {
            let told = &told["processes"][index];
            assert_eq!(told["process"], *process);
            assert_eq!(told["failure"], Value::Null);
            let trials = told["trials"].as_array().context("trials")?;
            assert!(trials.len() >= *fewest, "{process}: {}", trials.len());
        }
    }
    // What is behind the word, in the rows that the house stands on.
    for (process, attempt, happened) in [
        ("launcher", "read a file of the machine", "not refused"),
        ("broker", "be connected to the session bus", "granted"),
        ("broker", "make an internet socket", "refused (EPERM)"),
        ("supervisor", "be connected to the session bus", "refused (destination_not_allowed)"),
        ("supervisor", "be connected to the runtime", "granted"),
        ("supervisor", "be given the runtime's figures", "granted"),
        ("supervisor", "execute a foreign file", "refused (EACCES)"),
        ("frontdoor", "be connected to the runtime", "granted"),
        ("frontdoor", "connect a handed socket by MSG_FASTOPEN", "refused (EPERM)"),
        ("runtime", "connect to a socket by its path", "refused (EPERM)"),
        ("runtime", "read a file of the machine", "refused (EACCES)"),
        ("runtime", "write its own directory", "not refused"),
    ] {
        assert_eq!(outcome(&matrix, process, attempt)?, happened, "{process}: {attempt}");
    }
    let after = world.status().await?;
    assert_eq!(after["available"], true);
    assert_eq!(after["pids"], before["pids"]);
    assert!(!world.runtime_dir().join("runtime/probe").exists(), "the probe left its directory");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_the_same_before_anybody_signed_in_or_started_a_model() -> Result<()> {
    let world = World::start().await?;
    let ran = world.ctl(&["capabilities"]).await?;
    ran.expect_success();
    assert!(ran.stdout.contains("all of them as expected."), "{}", ran.stdout);
    Ok(())
}

fn outcome<'a>(matrix: &'a Value, process: &str, attempt: &str) -> Result<&'a str> {
    let told = matrix["processes"].as_array().context("processes")?;
    let told = told.iter().find(|told| told["process"] == process).context("the process")?;
    let mut trials = told["trials"].as_array().context("trials")?.iter();
    let trial = trials.find(|trial| trial["attempt"] == attempt);
    let trial = trial.with_context(|| format!("{process} did not try to {attempt}"))?;
    trial["happened"].as_str().context("what happened")
}

/// On a machine without a graphics card: a sandbox that may open one opens nothing else, and the
/// runtime computes without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_with_room_for_a_graphics_card_tells_the_same() -> Result<()> {
    let world = World::ready_with_config(&[("runtime", "gpu", true)]).await?;
    assert_eq!(world.status().await?["available"], true);
    let ran = world.ctl(&["capabilities"]).await?;
    assert!(ran.status.success(), "{ran:?}");
    Ok(())
}
