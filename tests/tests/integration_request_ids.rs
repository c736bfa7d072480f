//! Which process writes what about a request (docs/endpoint.md): all of them log to one place.

use anyhow::Result;
use promises::{World, get, post};

const SHORT: &str = r#"{"prompt":"Once upon a canary","max_tokens":2,"temperature":0}"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_line_that_any_process_writes_about_a_request_has_the_id_of_its_answer() -> Result<()>
{
    let world = World::ready().await?;
    let (address, token) = world.endpoint_and_token().await?;
    let before = world.log();
    for _ in 0..3 {
        let served = post(&address, "/v1/completions", &token, SHORT).await?;
        assert_eq!(served.status, 200);
        assert!(served.header("x-request-id").is_some());
        assert_eq!(get(&address, "/v1/models", None).await?.status, 401);
        assert_eq!(get(&address, "/nowhere", Some(&token)).await?.status, 404);
        assert_eq!(post(&address, "/v1/completions", &token, "[[").await?.status, 400);
    }
    assert_eq!(world.log(), before, "of what was served or refused no process writes anything");

    world.ctl(&["stop"]).await?;
    world.status_when(|status| status["lifecycle"] == "stopped").await?;
    let stopped = world.log();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let refused = post(&address, "/v1/completions", &token, SHORT).await?;
        assert_eq!((refused.status, refused.code()?.as_str()), (503, "not_ready"));
        ids.push(refused.header("x-request-id").expect("an id").to_owned());
    }
    let log = world.log();
    let lines: Vec<_> = log.strip_prefix(&stopped).expect("it only grows").lines().collect();
    assert_eq!(lines.len(), ids.len(), "{lines:?}");
    for (line, id) in lines.iter().zip(ids) {
        assert!(line.contains(&id) && line.contains("frontdoor"), "{id} in {line}");
    }
    assert!(!log.contains("canary"));
    Ok(())
}
