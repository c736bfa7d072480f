//! Custody of the session over its life: refresh rotation, reuse, sign-out (contract 6).

use anyhow::Result;
use promises::{Broker, MODEL_ID, Mischief, RUNTIME_ID, World};

#[tokio::test(flavor = "multi_thread")]
async fn an_expiring_session_is_refreshed_once_for_many_callers_and_the_token_rotates() -> Result<()>
{
    // 31 s is one more than the margin: the token is valid for one second, then due.
    let world = World::start_with(Mischief::AccessTokenLifetime { seconds: 31 }).await?;
    world.sign_in().await?;
    let first = world.secret("companion.refreshToken").await?;
    world.session_when("refresh").await?;

    let models = ["models"];
    let all = futures_util::future::join_all((0..6).map(|_| world.ctl(&models))).await;
    for answer in all {
        answer?.expect_success();
    }
    assert_eq!(world.refreshes_seen(), 1);
    assert_ne!(world.secret("companion.refreshToken").await?, first, "not rotated in the keychain");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_used_elsewhere_clears_the_session() -> Result<()> {
    let world = World::start_with(Mischief::AccessTokenLifetime { seconds: 31 }).await?;
    world.sign_in().await?;
    world.spend_refresh_token_elsewhere()?;
    world.session_when("refresh").await?;

    let refused = world.ctl(&["models"]).await?;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let session = world.ctl_json(&["session"]).await?;
    assert!(matches!(session["session"].as_str(), Some("signed_out" | "reauth")), "{session}");
    assert_eq!(world.keychain_items("companion.refreshToken").await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_fault_keeps_the_session() -> Result<()> {
    let world = World::start_with(Mischief::AccessTokenLifetime { seconds: 31 }).await?;
    world.sign_in().await?;
    world.misbehave(Mischief::TokenEndpointFault);
    world.session_when("refresh").await?;

    assert_eq!(world.ctl(&["models"]).await?.status.code(), Some(1));
    assert_eq!(world.keychain_items("companion.refreshToken").await?, 1);
    assert_eq!(world.ctl_json(&["session"]).await?["session"], "refresh");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_revokes_and_clears_all_three_accounts() -> Result<()> {
    let world = World::start().await?;
    world.sign_in().await?;
    world.ctl(&["sign-out"]).await?.expect_success();
    for account in ["companion.accessToken", "companion.refreshToken", "companion.sessionMeta"] {
        assert_eq!(world.keychain_items(account).await?, 0, "{account}");
    }
    assert_eq!(world.keychain_items("companion.loopbackToken").await?, 1);
    assert!(world.revocations_seen() >= 1);
    Ok(())
}

/// A screen lock between the address and the answer, as when a person is called away.
#[tokio::test(flavor = "multi_thread")]
async fn a_keychain_locked_and_unlocked_while_a_sign_in_waits_takes_what_it_brings() -> Result<()> {
    let world = World::start().await?;
    let (attempt, url) = Broker::of(&world).begin_sign_in().await?.map_err(anyhow::Error::msg)?;
    world.lock_keychain().await?;
    world.ctl_events(&["models"]).await?.expect_refusal("keychain_locked");
    world.unlock_keychain().await?;
    world.follow(&url).await?;
    assert_eq!(attempt.outcome().await?, "ok");
    world.ctl(&["models"]).await?.expect_success();
    Ok(())
}

/// Contract 12: with an empty issuer nobody signs in, and everything else works.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_account_a_catalog_that_asks_for_none_serves_all_the_same() -> Result<()> {
    let world = World::start_with(Mischief::NoAccount).await?;
    world.ctl_events(&["sign-in"]).await?.expect_refusal("account_not_configured");
    for id in [RUNTIME_ID, MODEL_ID] {
        world.ctl_events(&["pull", id]).await?.expect_success();
    }
    world.ctl_events(&["start", MODEL_ID]).await?.expect_success();
    assert_eq!(world.status().await?["available"], true);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_a_restart_of_the_companion() -> Result<()> {
    let mut world = World::start().await?;
    world.sign_in().await?;
    world.restart().await?;
    assert_eq!(world.ctl_json(&["session"]).await?["session"], "valid");
    world.ctl(&["models"]).await?.expect_success();
    Ok(())
}
