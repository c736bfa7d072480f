//! The private bus carries a real Secret Service that can be locked, lost and frozen.

use std::process::Stdio;

use anyhow::{Context, Result};
use devstack::session_bus::SessionBus;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const ATTRIBUTES: [&str; 4] = ["service", "companion/test", "account", "canary"];

async fn started() -> Result<(SessionBus, TempDir)> {
    let dir = tempfile::Builder::new().prefix("bus").tempdir()?;
    Ok((SessionBus::start(dir.path()).await?, dir))
}

/// `secret-tool`, as somebody else's program.
fn secret_tool(bus: &SessionBus, arguments: &[&str]) -> Command {
    let mut command = Command::new("secret-tool");
    command
        .args(arguments)
        .args(ATTRIBUTES)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn store(bus: &SessionBus, secret: &str) -> Result<()> {
    let mut tool = secret_tool(bus, &["store", "--label=canary"]).spawn()?;
    let mut stdin = tool.stdin.take().context("no standard input")?;
    stdin.write_all(secret.as_bytes()).await?;
    drop(stdin);
    let output = tool.wait_with_output().await?;
    assert!(output.status.success(), "{output:?}");
    Ok(())
}

async fn lookup(bus: &SessionBus) -> Result<String> {
    let output = secret_tool(bus, &["lookup"]).output().await?;
    assert!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn another_program_stores_and_reads_a_secret_which_the_test_sees_too() -> Result<()> {
    let (bus, _dir) = started().await?;
    let attributes = [("service", "companion/test"), ("account", "canary")];
    assert_eq!(bus.count(&attributes).await?, 0);
    assert_eq!(bus.secret(&attributes).await?, None);
    store(&bus, "s3cret-4711").await?;
    assert_eq!(lookup(&bus).await?, "s3cret-4711");
    assert_eq!(bus.count(&attributes).await?, 1);
    assert_eq!(bus.secret(&attributes).await?.as_deref(), Some(&b"s3cret-4711"[..]));
    let items = bus.items().await?;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["account"], "canary");
    Ok(())
}

#[tokio::test]
async fn a_locked_keyring_keeps_its_items_and_unlocks_without_asking() -> Result<()> {
    let (bus, _dir) = started().await?;
    store(&bus, "s3cret-4712").await?;
    assert!(!bus.is_locked().await?);
    bus.lock().await?;
    assert!(bus.is_locked().await?);
    assert_eq!(bus.count(&[("account", "canary")]).await?, 1);
    assert_eq!(bus.secret(&[("account", "canary")]).await?, None);
    bus.unlock().await?;
    assert_eq!(lookup(&bus).await?, "s3cret-4712");
    Ok(())
}

#[tokio::test]
async fn a_lost_keyring_comes_back_with_what_it_held() -> Result<()> {
    let (bus, _dir) = started().await?;
    store(&bus, "s3cret-4713").await?;
    bus.stop_keyring().await?;
    assert!(bus.count(&[("account", "canary")]).await.is_err());
    bus.start_keyring().await?;
    assert_eq!(lookup(&bus).await?, "s3cret-4713");
    Ok(())
}

#[tokio::test]
async fn a_bus_without_a_keyring_answers_that_there_is_none() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("bus").tempdir()?;
    let bus = SessionBus::start_without_keyring(dir.path()).await?;
    assert!(bus.is_locked().await.is_err());
    bus.start_keyring().await?;
    assert!(!bus.is_locked().await?);
    Ok(())
}

#[tokio::test]
async fn a_frozen_keyring_keeps_its_name_and_goes_on_where_it_was() -> Result<()> {
    let (bus, _dir) = started().await?;
    let keyring = bus.pids().await.pop().context("no keyring")?;
    bus.freeze().await?;
    let stat = std::fs::read_to_string(format!("/proc/{keyring}/stat"))?;
    assert!(stat.contains(") T "), "{stat}");
    bus.thaw().await?;
    assert!(!bus.is_locked().await?);
    Ok(())
}

#[tokio::test]
async fn nothing_of_it_outlives_it() -> Result<()> {
    let (bus, _dir) = started().await?;
    let mut daemons = Vec::new();
    for pid in bus.pids().await {
        let pid = Pid::from_raw(i32::try_from(pid)?).context("pid 0")?;
        daemons.push(pidfd_open(pid, PidfdFlags::empty())?);
    }
    assert_eq!(daemons.len(), 2);
    drop(bus);
    for daemon in daemons {
        // A pidfd is readable when its process has ended: now, not soon.
        let mut ended = [PollFd::new(&daemon, PollFlags::IN)];
        assert_eq!(poll(&mut ended, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?, 1);
    }
    Ok(())
}
