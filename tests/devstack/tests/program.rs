//! The program `devstack`: one line when ready, and an end by TERM or by its starter's death.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use devstack::programs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(60);

/// A running program and what it said when it was ready.
async fn up(dir: &Path, stdin: Stdio) -> Result<(Child, Value)> {
    let file = dir.join("file");
    std::fs::write(&file, b"bytes")?;
    let mut program = Command::new(programs::find("devstack")?)
        .args(["up", "--json", "--session-bus", "--dir"])
        .arg(dir.join("stack"))
        .arg("--llama-server")
        .arg(&file)
        .arg("--model")
        .arg(&file)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = program.stdout.take().context("no standard output")?;
    let mut line = String::new();
    tokio::time::timeout(LIMIT, BufReader::new(stdout).read_line(&mut line)).await??;
    Ok((program, serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?))
}

#[tokio::test]
async fn it_says_where_everything_is_and_ends_by_term() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut program, ready) = up(dir.path(), Stdio::null()).await?;
    assert_eq!(ready["event"], "ready");
    let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
    assert!(text("issuer").starts_with(&text("gateway")));
    assert_eq!(text("catalog"), format!("{}/companion/catalog/", text("gateway")));
    assert!(text("dbus_address").starts_with("unix:path="));
    for file in ["trust_root", "ca_file", "config"] {
        assert!(Path::new(&text(file)).is_file(), "{file}");
    }
    let config: toml::Table = std::fs::read_to_string(text("config"))?.parse()?;
    assert_eq!(config["gateway"]["issuer"].as_str(), Some(text("issuer").as_str()));
    assert_eq!(config["models"]["hosts"][0].as_str(), Some(text("model_host").as_str()));

    let metadata = format!("{}/.well-known/oauth-authorization-server", text("issuer"));
    let page = Command::new(programs::find("devstack")?)
        .args(["follow", "--json", "--ca", &text("ca_file"), &metadata])
        .output()
        .await?;
    assert!(page.status.success(), "{page:?}");
    let page: Value = serde_json::from_slice(&page.stdout)?;
    assert!(page["body"].as_str().is_some_and(|body| body.contains(&text("issuer"))));

    let pid = Pid::from_raw(i32::try_from(program.id().context("it ended")?)?);
    kill(pid, Signal::SIGTERM)?;
    assert!(tokio::time::timeout(LIMIT, program.wait()).await??.success());
    Ok(())
}

#[tokio::test]
async fn it_ends_when_the_pipe_at_its_standard_input_does() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut program, _) = up(dir.path(), Stdio::piped()).await?;
    drop(program.stdin.take());
    assert!(tokio::time::timeout(LIMIT, program.wait()).await??.success());
    Ok(())
}
