//! The real `llama-server`, packed as its releases are: pulled, unpacked, started in the same jail,
//! asked (contract 8).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use devstack::assets::Assets;
use promises::{RUNTIME_ID, World, post};
use serde_json::Value;

/// A `tar.gz` of one directory with the program, a link to it by another name, and its licence.
fn packed(program: &Path, dir: &Path) -> Result<PathBuf> {
    let release = dir.join("llama-b1");
    std::fs::create_dir(&release)?;
    std::fs::copy(program, release.join("llama-server"))?;
    std::fs::write(release.join("LICENSE"), "MIT")?;
    std::os::unix::fs::symlink("llama-server", release.join("server"))?;
    let archive = dir.join("llama-b1.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(&archive).arg("-C").arg(dir).arg("llama-b1");
    ensure!(tar.status().context("tar")?.success(), "not packed");
    Ok(archive)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_runtime_that_comes_as_an_archive_starts_and_answers() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let archive = packed(&Assets::find()?.llama_server, dir.path())?;
    let world = World::ready_with_runtime(archive).await?;
    let (address, token) = world.endpoint_and_token().await?;
    let body = r#"{"max_tokens":8,"messages":[{"role":"user","content":"Say one word."}]}"#;
    let answer = post(&address, "/v1/chat/completions", &token, body).await?;
    let said: Value = serde_json::from_slice(&answer.body)?;
    let text = said["choices"][0]["message"]["content"].as_str();
    ensure!(text.is_some_and(|text| !text.is_empty()), "{} {said}", answer.status);

    let verified = world.ctl(&["models", "--verify"]).await?;
    ensure!(verified.status.success(), "{verified:?}");
    ensure!(world.ctl(&["stop"]).await?.status.success(), "not stopped");
    let removed = world.ctl(&["rm", RUNTIME_ID]).await?;
    ensure!(removed.status.success(), "{removed:?}");
    ensure!(world.stored_artifacts()?.len() == 1, "more than the model is left");
    world.stop().await
}
