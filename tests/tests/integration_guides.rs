//! The guides of `docs/guides.md`, typed into a shell as they stand there (contract 11).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use promises::World;

const GUIDES: &str = include_str!("../../docs/guides.md");
/// What each guide shows at the end, in their order.
const SHOWS: [&str; 3] = [promises::MODEL_ID, "data: [DONE]", ""];

#[tokio::test(flavor = "multi_thread")]
async fn every_guide_runs_as_it_is_written() -> Result<()> {
    let python = std::env::var("COMPANION_TEST_PYTHON")
        .context("COMPANION_TEST_PYTHON names a Python with `openai`: run `cargo xtask test`")?;
    let world = World::ready().await?;
    let bin = world.dir().join("guide-bin");
    fs::create_dir(&bin)?;
    // A person has `companionctl` on the PATH and one installation: so has this shell.
    let wrapper = bin.join("companionctl");
    fs::write(&wrapper, format!("#!/bin/sh\nexec {} \"$@\"\n", world.companionctl()?))?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o700))?;
    let python3 = bin.join("python3");
    fs::write(&python3, format!("#!/bin/sh\nexec '{python}' \"$@\"\n"))?;
    fs::set_permissions(&python3, fs::Permissions::from_mode(0o700))?;

    let guides: Vec<&str> = GUIDES.split("```sh\n").skip(1).filter_map(until_fence).collect();
    ensure!(guides.len() == SHOWS.len(), "a guide was added or taken away: {}", guides.len());
    for (guide, shows) in guides.into_iter().zip(SHOWS) {
        let output = tokio::process::Command::new("/bin/sh")
            .args(["-euc", guide])
            .current_dir(world.dir())
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()))
            .env("HOME", world.dir())
            .stdin(Stdio::null())
            .output()
            .await?;
        let told = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{guide}\n{told}\n{complained}");
        assert!(!told.trim().is_empty() && told.contains(shows), "{guide}\n{told}");
    }
    Ok(())
}

fn until_fence(text: &str) -> Option<&str> {
    text.split_once("```").map(|(guide, _)| guide)
}
