//! Requests at and past both bounds of admission, against the real runtime (contract 5).

use anyhow::Result;
use promises::{World, post};

/// Answers without end: holds its slot until its client goes.
const ENDLESS: &str = r#"{"prompt":"Count:","max_tokens":4000,"stream":true,"ignore_eos":true}"#;
const SHORT: &str = r#"{"prompt":"Once upon a time","max_tokens":4,"temperature":0}"#;

/// Two slots and a queue of two: two hold their slots, two wait, every further one is refused at
/// once; when the two go, the waiting ones are served, and afterwards nothing is held.
#[tokio::test(flavor = "multi_thread")]
async fn past_both_bounds_the_rest_is_refused_and_every_slot_comes_back() -> Result<()> {
    let world = World::ready_with_config(&[
        ("frontdoor", "max_in_flight", 2),
        ("frontdoor", "queue_bound", 2),
        ("frontdoor", "queue_timeout_s", 600),
    ])
    .await?;
    let (address, token) = world.endpoint_and_token().await?;
    let first = promises::open_stream(&address, "/v1/completions", &token, ENDLESS).await?;
    let second = promises::open_stream(&address, "/v1/completions", &token, ENDLESS).await?;
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let (address, token) = (address.clone(), token.clone());
            tokio::spawn(async move { post(&address, "/v1/completions", &token, SHORT).await })
        })
        .collect();
    let full = world.status_when(|status| status["queued"] == 2).await?;
    assert_eq!(full["in_flight"], 2, "{full}");
    for _ in 0..4 {
        let refused = post(&address, "/v1/completions", &token, SHORT).await?;
        assert_eq!((refused.status, refused.code()?.as_str()), (503, "queue_full"));
        assert!(refused.header("retry-after").is_some());
    }
    drop((first, second));
    for answer in waiting {
        assert_eq!(answer.await??.status, 200);
    }
    let quiet =
        world.status_when(|status| status["in_flight"] == 0 && status["queued"] == 0).await?;
    assert_eq!(quiet["available"], true);
    assert_eq!(post(&address, "/v1/completions", &token, SHORT).await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_frees_its_slot() -> Result<()> {
    let world = World::ready_with_config(&[
        ("frontdoor", "max_in_flight", 1),
        ("frontdoor", "queue_bound", 1),
    ])
    .await?;
    let (address, token) = world.endpoint_and_token().await?;
    for _ in 0..4 {
        let stream = promises::open_stream(&address, "/v1/completions", &token, ENDLESS).await?;
        world.status_when(|status| status["in_flight"] == 1).await?;
        drop(stream);
        world.status_when(|status| status["in_flight"] == 0).await?;
    }
    Ok(())
}
