//! The real `llama-server` under a ceiling that it cannot keep (contract 9): its start is refused,
//! and nobody else pays for it.

use std::fs;

use anyhow::{Result, ensure};
use promises::{MODEL_ID, World, is_alive};

/// It needs about 340 MiB of private memory with this model (VmData); this is less.
const CEILING: i64 = 240 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_runtime_past_its_memory_ceiling_is_refused_and_nothing_else_is_killed() -> Result<()>
{
    let world = World::provisioned_with_config(&[("runtime", "max_ram_bytes", CEILING)]).await?;
    let others = world.pids().await?;
    let killed = out_of_memory_kills();
    let start = world.ctl_events(&["start", MODEL_ID]).await?;
    ensure!(!start.status.success(), "{start:?}");
    let failed = start.named("failed");
    ensure!(failed.len() == 1 && failed[0]["reason"] == "health_failed", "{start:?}");
    let status = world.status().await?;
    ensure!(status["lifecycle"] == "stopped" && status["available"] == false, "{status}");
    ensure!(status["last_failure"] == "health_failed", "{status}");
    ensure!(others.iter().all(|pid| is_alive(*pid)), "{others:?}");
    ensure!(world.pids().await? == others, "a process was started anew");
    ensure!(out_of_memory_kills() == killed, "the kernel had to kill");
    world.stop().await
}

/// Of the whole machine (`/proc/vmstat`).
fn out_of_memory_kills() -> Option<u64> {
    let text = fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|n| n.parse().ok())
}
