//! A client's leaving, seen at the real runtime: it stops computing (contract 4, 5). Measured by
//! the processor time that the kernel counts for it, which an idle `llama-server` does not use.
//! Each client names a conversation: a stream that `llama-server` is told so of goes on without it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use promises::World;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Tokens that take far longer than [`STOP_LIMIT`] to make.
const LONG: &str = r#"{"prompt":"Count:","max_tokens":3500,"ignore_eos":true,"stream":STREAM}"#;
/// Without a tick for so long it is idle.
const QUIET: Duration = Duration::from_millis(500);
/// However busy the machine is.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// The quickest of so many counts, so that a busy machine does not.
const TRIES: usize = 5;
const WORK_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_a_stream_stops_the_runtime() -> Result<()> {
    stops_when_the_client_leaves("true", Duration::from_millis(100)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_a_whole_answer_stops_the_runtime() -> Result<()> {
    stops_when_the_client_leaves("false", Duration::from_secs(1)).await
}

/// While a prompt is read no token comes: `llama-server` looks once a second whether its client is
/// there, and then ends the batch that it has begun. By its own log it reads no further.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_its_prompt_is_read_leaves_the_rest_of_it_unread() -> Result<()>
{
    const READ: &str = "stop processing: n_tokens = ";
    // One thread, so that a fast machine has not read it all before the first look.
    let world = World::ready_with_config(&[("runtime", "threads", 1)]).await?;
    let (address, token) = world.endpoint_and_token().await?;
    let runtime = world.pid_of("runtime").await?;
    let prompt = "one two three four ".repeat(900);
    let body = format!(r#"{{"prompt":"{prompt}","max_tokens":1,"stream":true}}"#);
    let mut client = TcpStream::connect(&address).await?;
    client.write_all(request(&address, &token, &body).as_bytes()).await?;
    until_it_computes(runtime).await?;
    drop(client);
    let began = Instant::now();
    let read = loop {
        let log = world.ctl(&["logs"]).await?.stdout;
        if let Some((_, rest)) = log.rsplit_once(READ) {
            let digits = rest.split(',').next().context("no number")?;
            break digits.parse::<u32>()?;
        }
        ensure!(began.elapsed() < WORK_LIMIT, "it goes on:\n{log}");
        sleep(QUIET).await;
    };
    eprintln!("read of more than 3600 tokens: {read}");
    ensure!(read < 3600, "it read all of the prompt, for nobody: {read}");
    world.stop().await
}

async fn stops_when_the_client_leaves(stream: &str, within: Duration) -> Result<()> {
    let world = World::ready().await?;
    let (address, token) = world.endpoint_and_token().await?;
    let runtime = world.pid_of("runtime").await?;
    let request = request(&address, &token, &LONG.replace("STREAM", stream));
    let mut took = Vec::new();
    while took.len() < TRIES && took.last().is_none_or(|last| *last > within) {
        let mut client = TcpStream::connect(&address).await?;
        client.write_all(request.as_bytes()).await?;
        until_it_computes(runtime).await?;
        drop(client);
        took.push(until_it_is_quiet(runtime).await?);
        world.status_when(|status| status["in_flight"] == 0 && status["available"] == true).await?;
    }
    eprintln!("stream {stream}: from the client's leaving to the last tick: {took:?}");
    ensure!(took.last().is_some_and(|last| *last <= within), "each took longer: {took:?}");
    Ok(())
}

fn request(address: &str, token: &str, body: &str) -> String {
    format!(
        "POST /v1/completions HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         X-Conversation-Id: mine\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn until_it_computes(runtime: u32) -> Result<()> {
    let before = ticks(runtime)?;
    let began = Instant::now();
    while ticks(runtime)? < before + 30 {
        ensure!(began.elapsed() < WORK_LIMIT, "the runtime does not compute");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// How long it still computed.
async fn until_it_is_quiet(runtime: u32) -> Result<Duration> {
    let left = Instant::now();
    let (mut known, mut last) = (ticks(runtime)?, left);
    while last.elapsed() < QUIET {
        let now = ticks(runtime)?;
        if now != known {
            (known, last) = (now, Instant::now());
        }
        let computing = last - left;
        ensure!(computing < STOP_LIMIT, "it still computes, {computing:?} after its client left");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(last - left)
}

/// Processor time of a process, user and system, in clock ticks (proc_pid_stat(5)).
fn ticks(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no name in it")?;
    let fields: Vec<_> = fields.split(' ').collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}
