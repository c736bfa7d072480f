//! A stop, or a TERM, while an answer streams: it is given to its end, and nothing new begins
//! (contract 9).

use anyhow::{Result, ensure};
use promises::{ONE_WORD, World, gone, open_stream, post};
use tokio::io::AsyncReadExt;

/// Long enough that the stop comes in its middle, short enough for the time that a drain has.
const LONG: &str = r#"{"prompt":"Count:","max_tokens":150,"ignore_eos":true,"stream":true}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_the_stream_in_flight_end_whole_and_refuses_what_is_new() -> Result<()> {
    let world = World::ready().await?;
    let (address, token) = world.endpoint_and_token().await?;
    let runtime = world.pid_of("runtime").await?;
    let mut stream = open_stream(&address, "/v1/completions", &token, LONG).await?;
    let stopping = world.watched(&["stop"])?;

    let draining = world.status_when(|status| status["lifecycle"] == "draining").await?;
    ensure!(draining["available"] == false && draining["in_flight"] == 1, "{draining}");
    let refused = post(&address, "/v1/chat/completions", &token, ONE_WORD).await?;
    ensure!((refused.status, refused.code()?.as_str()) == (503, "not_ready"), "{refused:?}");

    let mut rest = String::new();
    stream.read_to_string(&mut rest).await?;
    ensure!(rest.contains("data: [DONE]"), "cut: {rest}");
    let status = world.status_when(|status| status["lifecycle"] == "stopped").await?;
    ensure!(status["last_failure"] == "" || status["last_failure"].is_null(), "{status}");
    gone(runtime).await?;
    drop(stopping);
    world.stop().await
}

/// Had the stream not been under way any more, who waits would have been served.
#[tokio::test(flavor = "multi_thread")]
async fn a_term_lets_the_stream_in_flight_end_whole_and_refuses_who_waits_at_once() -> Result<()> {
    let world = World::ready_with_config(&[("frontdoor", "max_in_flight", 1)]).await?;
    let (address, token) = world.endpoint_and_token().await?;
    let mut stream = open_stream(&address, "/v1/completions", &token, LONG).await?;
    let waits =
        tokio::spawn(async move { post(&address, "/v1/chat/completions", &token, ONE_WORD).await });
    world.status_when(|status| status["queued"] == 1).await?;
    let stopping = tokio::spawn(world.stop());

    let refused = waits.await??;
    ensure!((refused.status, refused.code()?.as_str()) == (503, "not_ready"), "{refused:?}");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await?;
    ensure!(rest.contains("data: [DONE]"), "cut: {rest}");
    stopping.await?
}
