//! The real `llama-server` is unloaded when nobody asks it anything, and the next request has it
//! back (`[runtime] idle_unload_s`, docs/states.md).

use std::path::Path;

use anyhow::{Context, Result, ensure};
use promises::{ONE_WORD, World, post, say_one_word};
use serde_json::{Value, json};

/// Shorter than the pause between two health probes, long enough for a start to be seen done.
const IDLE_S: i64 = 3;

fn sleeps(status: &Value) -> bool {
    let is_named = |missing: &Vec<Value>| missing.contains(&json!("asleep"));
    status["missing"].as_array().is_some_and(is_named) && status["lifecycle"] == "stopped"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_model_leaves_memory_and_the_next_request_has_it_back() -> Result<()> {
    let world = World::ready_with_config(&[("runtime", "idle_unload_s", IDLE_S)]).await?;
    let first = world.pid_of("runtime").await?;

    let status = world.status_when(sleeps).await?;
    ensure!(status["available"] == false && status["pids"]["runtime"].is_null(), "{status}");
    ensure!(status["model"].is_string() && status["ram_bytes"] == 0, "{status}");
    ensure!(is_gone(first), "the process is still there");

    let (address, token) = world.endpoint_and_token().await?;
    say_one_word(&address, &token).await?;
    let status = world.status_when(|it| it["available"] == true).await?;
    let second = status["pids"]["runtime"].as_u64().with_context(|| status.to_string())?;
    ensure!(second != u64::from(first), "the same process");

    world.status_when(sleeps).await?;
    let chat = world.ctl(&["chat", "Say one word."]).await?;
    ensure!(chat.status.success(), "a person is served as well: {chat:?}");

    world.status_when(sleeps).await?;
    let stopped = world.ctl(&["stop"]).await?;
    ensure!(stopped.status.success(), "{stopped:?}");
    let status = world.status().await?;
    ensure!(!sleeps(&status) && status["model"].is_null(), "stopped is not asleep: {status}");
    let refused = post(&address, "/v1/chat/completions", &token, ONE_WORD).await?;
    ensure!((refused.status, refused.code()?.as_str()) == (503, "not_ready"), "{refused:?}");
    world.stop().await
}

fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}
