//! The guides of `docs/guides.md`, typed into a shell as they stand there (contract 11): clients
//! that others wrote, unmodified, against the real runtime and model.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use promises::World;
use typist::{Block, blocks, same_in_essence};

const GUIDES: &str = include_str!("../../docs/guides.md");
const CLIENTS: [&str; 6] =
    ["curl", "OpenAI's Python SDK", "OpenAI's Node SDK", "LangChain", "The AI SDK", "llm"];
/// Longest it may take to log that.
const STOP_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn every_guide_runs_as_it_is_written() -> Result<()> {
    let world = World::ready_with_a_model_that_knows_tools().await?;
    let person = Person::before(&world)?;
    let found = blocks(GUIDES);
    let guides: Vec<_> = found.chunk_by(|one, next| one.heading == next.heading).collect();
    let headings: Vec<_> = guides.iter().map(|guide| guide[0].heading).collect();
    ensure!(headings == CLIENTS, "a guide was added or taken away: {headings:?}");
    for (before, guide) in guides.into_iter().enumerate() {
        let heading = guide[0].heading;
        person.follows(guide).await.with_context(|| heading.to_owned())?;
        // Each ends by leaving a long answer, at which the runtime stops.
        let stopped = tokio::time::timeout(STOP_LIMIT, has_stopped(&world, before + 1));
        stopped.await.with_context(|| format!("{heading}: the runtime still computes"))??;
    }
    Ok(())
}

async fn has_stopped(world: &World, times: usize) -> Result<()> {
    world.status_when(|status| status["in_flight"] == 0).await?;
    loop {
        let logs = world.ctl(&["logs"]).await?;
        let counted = logs.stdout.lines().filter(|line| stops(line)).count();
        ensure!(counted <= times, "an answer was left too early: {logs:?}");
        if counted == times {
            return Ok(());
        }
    }
}

/// What the runtime logs when it drops an answer that it has not finished: a warning of its
/// function `stop` (the words are withheld, since a request may be quoted in such a line).
fn stops(line: &str) -> bool {
    line.contains(" W srv ") && line.contains(" stop:")
}

/// A person's home, with one installation and the clients on the search path.
struct Person {
    home: PathBuf,
    bin: PathBuf,
}

impl Person {
    fn before(world: &World) -> Result<Self> {
        let person = Self { home: world.dir().join("home"), bin: world.dir().join("guide-bin") };
        fs::create_dir(&person.home)?;
        fs::create_dir(&person.bin)?;
        let python = set_up("COMPANION_TEST_PYTHON")?;
        person.has("companionctl", &world.companionctl()?)?;
        person.has("python3", &format!("'{python}'"))?;
        person.has("llm", &format!("'{python}' -m llm"))?;
        person.has("node", &format!("'{}'", set_up("COMPANION_TEST_NODE")?))?;
        symlink(set_up("COMPANION_TEST_NODE_MODULES")?, person.home.join("node_modules"))?;
        Ok(person)
    }

    fn has(&self, program: &str, command: &str) -> Result<()> {
        let wrapper = self.bin.join(program);
        fs::write(&wrapper, format!("#!/bin/sh\nexec {command} \"$@\"\n"))?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o700))?;
        Ok(())
    }

    /// Saves each block that is a file, runs each that is for the shell, and compares what that
    /// prints with the text beneath.
    async fn follows(&self, guide: &[Block<'_>]) -> Result<()> {
        let mut told = String::new();
        for block in guide {
            match block.language {
                "sh" => told = self.runs(block.text).await?,
                "text" => same_in_essence(block.text, &told)?,
                _ => {
                    let name = block.file_name().with_context(|| format!("{block:?}"))?;
                    fs::write(self.home.join(name), block.text)?;
                }
            }
        }
        ensure!(guide.last().is_some_and(|it| it.language == "text"), "it ends without a look");
        Ok(())
    }

    async fn runs(&self, commands: &str) -> Result<String> {
        let output = tokio::process::Command::new("/bin/sh")
            .args(["-euc", commands])
            .current_dir(&self.home)
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.bin.display()))
            .env("HOME", &self.home)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{commands}\n{told}\n{complained}");
        Ok(told)
    }
}

fn set_up(variable: &str) -> Result<String> {
    std::env::var(variable).with_context(|| format!("{variable}: `cargo xtask test` sets it"))
}
