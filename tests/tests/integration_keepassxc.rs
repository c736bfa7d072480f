//! The keychain of a second implementation: KeePassXC itself, with a database of its own. Locked,
//! lost, and waiting for a person, it gives a reason within 10 s (contract 7).

use std::time::{Duration, Instant};

use anyhow::Result;
use promises::{Canaries, Events, Keyring, Mischief, World};

/// Longest a reason may take (contract 7).
const REASON_LIMIT: Duration = Duration::from_secs(10);

const OF_A_SESSION: [&str; 3] =
    ["companion.accessToken", "companion.refreshToken", "companion.sessionMeta"];

async fn world(asks: bool) -> Result<World> {
    World::start_with(Mischief::OtherKeyring(Keyring::KeePassXc { asks })).await
}

/// Tries to sign in; the reason must come in time, and a question beside it at once.
async fn refused_in_time(world: &World, reason: &str) -> Result<()> {
    let asked = Instant::now();
    let attempt = async {
        let events: Events = world.try_sign_in().await?;
        Ok::<_, anyhow::Error>((events, asked.elapsed()))
    };
    let beside = async {
        world.status().await?;
        Ok::<_, anyhow::Error>(asked.elapsed())
    };
    let (attempt, beside) = tokio::join!(attempt, beside);
    let ((events, took), beside) = (attempt?, beside?);
    events.expect_refusal(reason);
    assert!(took < REASON_LIMIT, "{reason} after {took:?}");
    assert!(beside < REASON_LIMIT, "status after {beside:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keepassxc_keeps_a_session_over_restarts_of_both_and_gives_it_up() -> Result<()> {
    let mut world = world(false).await?;
    world.sign_in().await?;
    world.ctl(&["models"]).await?.expect_success();
    let token = world.secret("companion.refreshToken").await?;

    world.restart().await?;
    world.session_when("valid").await?;
    world.lock_keychain().await?;
    world.lose_keychain().await?;
    world.restore_keychain().await?;
    world.session_when("valid").await?;
    assert_eq!(world.secret("companion.refreshToken").await?, token);
    world.ctl(&["models"]).await?.expect_success();

    world.ctl(&["sign-out"]).await?.expect_success();
    for account in OF_A_SESSION {
        assert_eq!(world.keychain_items(account).await?, 0, "{account}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_keepassxc_database_authorises_nothing_and_says_so_in_time() -> Result<()> {
    let world = world(false).await?;
    world.sign_in().await?;
    world.lock_keychain().await?;
    refused_in_time(&world, "keychain_locked").await?;
    let env = world.ctl(&["env"]).await?;
    assert_eq!(env.status.code(), Some(1), "{env:?}");

    world.unlock_keychain().await?;
    world.session_when("valid").await?;
    world.endpoint_and_token().await?;
    Canaries::show_nowhere(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keepassxc_that_crashes_is_an_unavailable_keychain_until_it_is_back() -> Result<()> {
    let world = world(false).await?;
    world.sign_in().await?;
    // What it has not written yet, a crash would lose: locking writes.
    world.lock_keychain().await?;
    world.lose_keychain().await?;
    refused_in_time(&world, "keychain_unavailable").await?;

    world.restore_keychain().await?;
    world.session_when("valid").await?;
    Canaries::show_nowhere(&world).await
}

/// As KeePassXC is set up at first: to a program that comes to an earlier one's secrets they are
/// locked, each by itself, until a person allows it. The broker does not ask that person.
#[tokio::test(flavor = "multi_thread")]
async fn a_keepassxc_that_wants_a_person_to_confirm_is_a_locked_keychain_after_a_restart()
-> Result<()> {
    let mut world = world(true).await?;
    world.sign_in().await?;
    world.restart().await?;
    refused_in_time(&world, "keychain_locked").await?;
    let env = world.ctl(&["env"]).await?;
    assert_eq!(env.status.code(), Some(1), "{env:?}");
    assert!(env.stderr.contains("keychain_locked"), "{env:?}");
    Canaries::show_nowhere(&world).await
}

/// As it is set up at first, too, for a database without a recycle bin: it asks a person before it
/// deletes anything. A renewal and a second sign-in delete nothing; a sign-out ends the session and
/// says in time that something is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_keepassxc_that_wants_deletions_confirmed_renews_a_session_and_ends_it() -> Result<()> {
    let world = world(true).await?;
    world.at_gateway(|it| it.expires_in = 31);
    world.sign_in().await?;
    world.session_when("refresh").await?;
    world.at_gateway(|it| it.expires_in = 3600);
    world.ctl(&["models"]).await?.expect_success();
    world.session_when("valid").await?;
    assert_eq!(world.refreshes_seen(), 1);

    let asked = Instant::now();
    world.ctl_events(&["sign-out"]).await?.expect_refusal("keychain_locked");
    assert!(asked.elapsed() < REASON_LIMIT, "after {:?}", asked.elapsed());
    world.session_when("reauth").await?;
    world.ctl_events(&["models"]).await?.expect_refusal("not_signed_in");
    world.sign_in().await?;
    world.session_when("valid").await?;
    Canaries::show_nowhere(&world).await
}
