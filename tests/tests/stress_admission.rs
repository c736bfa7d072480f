//! Requests at and past both bounds of admission, against the real runtime (contract 5).

use anyhow::Result;
use promises::{World, post};

/// Two slots and a queue of two: of eight at once, four answer and four are refused at once
/// with `queue_full`; afterwards nothing is held.
#[tokio::test(flavor = "multi_thread")]
async fn past_both_bounds_the_rest_is_refused_and_every_slot_comes_back() -> Result<()> {
    let world = World::ready_with_config(&[
        ("frontdoor", "max_in_flight", 2),
        ("frontdoor", "queue_bound", 2),
    ])
    .await?;
    let (address, token) = world.endpoint_and_token().await?;
    let body = r#"{"prompt":"Once upon a time","max_tokens":96,"temperature":0,"ignore_eos":true}"#;
    let answers = futures_util::future::join_all(
        (0..8).map(|_| post(&address, "/v1/completions", &token, body)),
    )
    .await;
    let mut served = 0;
    let mut refused = 0;
    for answer in answers {
        let answer = answer?;
        match answer.status {
            200 => served += 1,
            503 => {
                assert_eq!(answer.code()?, "queue_full");
                assert!(answer.header("retry-after").is_some());
                refused += 1;
            }
            other => panic!("unexpected status {other}"),
        }
    }
    assert_eq!((served, refused), (4, 4));
    let quiet =
        world.status_when(|status| status["in_flight"] == 0 && status["queued"] == 0).await?;
    assert_eq!(quiet["available"], true);
    assert_eq!(post(&address, "/v1/completions", &token, body).await?.status, 200);
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
    let endless = r#"{"prompt":"Count:","max_tokens":4000,"stream":true,"ignore_eos":true}"#;
    for _ in 0..4 {
        let stream = promises::open_stream(&address, "/v1/completions", &token, endless).await?;
        world.status_when(|status| status["in_flight"] == 1).await?;
        drop(stream);
        world.status_when(|status| status["in_flight"] == 0).await?;
    }
    Ok(())
}
