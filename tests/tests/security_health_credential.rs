//! The front door's own credential for its health probes: good for `GET /health` alone, and gone
//! with the process that made it (contract 5, 6). It is read where it passes: in the real process's
//! system calls, traced from outside.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use promises::World;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_frontdoor_that_died_takes_its_health_credential_with_it() -> Result<()> {
    promises::need_root()?;
    let world = World::ready_with_config(&[("runtime", "health_interval_s", 1)]).await?;
    let (address, _) = world.endpoint_and_token().await?;
    let dead = world.pid_of("frontdoor").await?;
    let old = credential_of(dead).await?;
    let health = promises::get(&address, "/health", Some(&old)).await?;
    ensure!(health.status == 200, "it is not the credential: {}", health.status);
    refuses(&address, "/v1/models", &old).await?;

    promises::kill(dead)?;
    promises::gone(dead).await?;
    refuses(&address, "/health", &old).await?;
    let is_back = |status: &serde_json::Value| {
        status["available"] == true && status["pids"]["frontdoor"] != dead
    };
    world.status_when(is_back).await?;
    let new = credential_of(world.pid_of("frontdoor").await?).await?;
    ensure!(new != old, "the next one has the same");
    let health = promises::get(&address, "/health", Some(&new)).await?;
    ensure!(health.status == 200, "it is not the credential: {}", health.status);
    world.stop().await
}

async fn refuses(address: &str, path: &str, token: &str) -> Result<()> {
    let answer = promises::get(address, path, Some(token)).await?;
    ensure!((answer.status, answer.code()?.as_str()) == (401, "invalid_token"), "{path} is open");
    Ok(())
}

/// What the next probe of this process shows to its own listener.
async fn credential_of(frontdoor: u32) -> Result<String> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-s", "512", "-e", "trace=write,writev,sendto,sendmsg", "-p"]);
    strace.arg(frontdoor.to_string()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut strace = strace.spawn().context("strace: `cargo xtask setup` installs it")?;
    let mut calls = BufReader::new(strace.stderr.take().context("no output")?).lines();
    let seen = timeout(LIMIT, async {
        while let Some(call) = calls.next_line().await? {
            let bearer = call.contains("GET /health ").then(|| call.split_once("Bearer "));
            if let Some((_, credential)) = bearer.flatten() {
                let end = credential.find('\\').context("it is cut off")?;
                return Ok(credential[..end].to_owned());
            }
        }
        anyhow::bail!("strace ended")
    });
    let credential = seen.await.context("no probe seen")?;
    // It lets go of the process; its pipe stays open until then.
    strace.start_kill()?;
    strace.wait().await?;
    credential
}
