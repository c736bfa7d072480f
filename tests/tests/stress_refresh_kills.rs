//! A broker killed at any moment of a refresh leaves a session that is what it says: it can be
//! renewed, or a person has to sign in again (contract 6, promise 6).

use std::time::Duration;

use anyhow::{Result, ensure};
use promises::{Canaries, Mischief, World, kill};
use serde_json::Value;

/// Due for renewal from the first moment on.
const DUE: Mischief = Mischief::AccessTokenLifetime { seconds: 30 };

/// Kills the broker while `companionctl models` waits for it, once `moment` has come.
async fn kill_during_a_refresh(
    world: &World,
    moment: impl Future<Output = Result<()>>,
) -> Result<()> {
    let dead = world.pid_of("broker").await?;
    let models = ["models"];
    let (asked, killed) = tokio::join!(world.ctl(&models), async {
        moment.await?;
        kill(dead)
    });
    asked?;
    killed?;
    world
        .status_when(|status| {
            status["pids"]["broker"].as_u64().is_some_and(|pid| pid != u64::from(dead))
                && status["session"].is_string()
        })
        .await?;
    Ok(())
}

async fn session(world: &World) -> Result<Value> {
    Ok(world.ctl_json(&["session"]).await?["session"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_before_the_server_rotates_renews_afterwards() -> Result<()> {
    let world = World::start_with(DUE).await?;
    world.sign_in().await?;
    world.misbehave(Mischief::TokenEndpointStall);
    // The code was exchanged there: the refresh is the second request.
    kill_during_a_refresh(&world, world.gateway_until(|it| it.token_requests >= 2)).await?;
    world.behave();
    assert_eq!(session(&world).await?, "refresh");
    world.ctl(&["models"]).await?.expect_success();
    assert_eq!(world.refreshes_seen(), 1);
    Canaries::show_nowhere(&world).await
}

/// The rotated token was on its way and is lost; the old one is spent, and using it ends the
/// session at the server. That is found out by asking, and then said.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_after_the_server_rotated_ends_in_a_new_sign_in() -> Result<()> {
    let world = World::start_with(DUE).await?;
    world.sign_in().await?;
    world.misbehave(Mischief::TokenEndpointServesThenStalls);
    kill_during_a_refresh(&world, world.gateway_until(|it| it.refreshes >= 1)).await?;
    world.behave();
    assert_eq!(session(&world).await?, "refresh");
    assert_eq!(world.ctl(&["models"]).await?.status.code(), Some(1));
    assert_eq!(session(&world).await?, "signed_out");
    assert_eq!(world.keychain_items("companion.refreshToken").await?, 0);
    world.sign_in().await?;
    world.ctl(&["models"]).await?.expect_success();
    Canaries::show_nowhere(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_at_any_moment_of_a_refresh_never_claims_a_session_it_has_not() -> Result<()>
{
    let world = World::start_with(DUE).await?;
    world.sign_in().await?;
    for round in 0..8 {
        let moment = async {
            tokio::time::sleep(Duration::from_millis(5 * round)).await;
            Ok(())
        };
        kill_during_a_refresh(&world, moment).await?;
        match session(&world).await?.as_str() {
            Some("refresh") => {
                let models = world.ctl(&["models"]).await?;
                let now = session(&world).await?;
                let renewed = models.status.success() && now == "refresh";
                let ended = !models.status.success() && now == "signed_out";
                ensure!(renewed || ended, "round {round}: {models:?}, {now}");
            }
            Some("reauth" | "signed_out") => {}
            other => anyhow::bail!("round {round}: {other:?}"),
        }
        if session(&world).await? != "refresh" {
            world.sign_in().await?;
        }
    }
    Canaries::show_nowhere(&world).await
}
