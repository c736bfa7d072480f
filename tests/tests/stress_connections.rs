//! Thousands of connections that want nothing good, and one program that does (contract 4).

use anyhow::{Context, Result, ensure};
use promises::{World, get, post};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const WANTED: u64 = 10_000;
/// Descriptors that this test needs for itself.
const OWN: u64 = 300;
const PLACES: usize = 256;
/// Of each place, with what one request head may take; and of the whole, what an allocator keeps.
const PLACE_KB: u64 = 40;
const KEPT_KB: u64 = 4000;

/// They stay open on the client's side. A good request is sent after each hundred, on a connection
/// of its own; each is served.
#[tokio::test]
async fn ten_thousand_connections_take_bounded_memory_and_keep_no_good_client_out() -> Result<()> {
    let count = may_open(WANTED + OWN)? - OWN;
    let config = [("frontdoor", "rate_limit_requests", 100_000)];
    let world = World::ready_with_a_recording_runtime(&config).await?;
    let (address, token) = world.endpoint_and_token().await?;
    let front_door = world.pid_of("frontdoor").await?;
    let said = [
        String::new(),
        format!("GET /v1/models HTTP/1.1\r\nHost: {address}\r\n"),
        format!("GET /v1/models HTTP/1.1\r\nHost: {address}\r\nX: {}", "y".repeat(12_000)),
        format!("GET /v1/models HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer x\r\n\r\n"),
        format!("POST /tokenize HTTP/1.1\r\nHost: {address}\r\nContent-Length: 9\r\n\r\n{{"),
    ];
    let before = resident_kb(front_door)?;
    let mut held = Vec::new();
    let mut most = 0;
    for n in 0..count {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(said[n as usize % said.len()].as_bytes()).await?;
        held.push(stream);
        if n % 100 == 0 {
            let answer = post(&address, "/v1/completions", &token, "{}").await;
            let answer = answer.with_context(|| format!("after {n} connections"))?;
            assert_eq!(answer.status, 200, "after {n} connections");
            most = most.max(resident_kb(front_door)?);
        }
    }
    let open = std::fs::read_dir(format!("/proc/{front_door}/fd"))?.count();
    ensure!(open < PLACES + 50, "{open} descriptors are open");
    let grown = most.saturating_sub(before);
    eprintln!("{count} connections: {grown} kB more than the {before} kB before");
    ensure!(grown < PLACES as u64 * PLACE_KB + KEPT_KB, "{grown} kB more than before");
    let models = get(&address, "/v1/models", Some(&token)).await?;
    let asked: serde_json::Value = serde_json::from_slice(&models.body)?;
    let wanted = serde_json::json!(count.div_ceil(100));
    assert_eq!(asked["asked"]["POST /v1/completions"], wanted, "and nothing else came there");
    assert_eq!(asked["asked"]["POST /tokenize"], serde_json::Value::Null);
    drop(held);
    world.status_when(|status| status["in_flight"] == 0 && status["available"] == true).await?;
    Ok(())
}

/// Raises this process's own limit; how many descriptors it may have, at most so many.
fn may_open(wanted: u64) -> Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(wanted).min(wanted);
    limit.current = Some(limit.current.unwrap_or(most).max(most));
    setrlimit(Resource::Nofile, limit).context("more descriptors")?;
    Ok(most)
}

fn resident_kb(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
