//! The kernel keyring as the keychain of a machine without a Secret Service (contract 7): what it
//! keeps, what it says when another program of the user meddles with it, and what it leaves.

use anyhow::{Context, Result};
use promises::{Canaries, KernelKeys, Mischief, World};

const ACCESS: &str = "companion.accessToken";
const REFRESH: &str = "companion.refreshToken";
const META: &str = "companion.sessionMeta";
const LOOPBACK: &str = "companion.loopbackToken";

#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_keyring_keeps_a_session_over_restarts_and_nothing_else_does() -> Result<()> {
    let keys = KernelKeys::of("kept");
    let mut world = World::start_with(Mischief::KernelKeyring { world: "kept" }).await?;
    world.sign_in().await?;
    world.ctl(&["models"]).await?.expect_success();
    assert!(world.ctl(&["doctor"]).await?.stdout.contains("gone at reboot"));
    world.ctl(&["capabilities"]).await?.expect_success();

    world.restart().await?;
    world.session_when("valid").await?;
    let (_, token) = world.endpoint_and_token().await?;
    world.lose_broker().await?;
    world.session_when("valid").await?;
    assert_eq!(world.endpoint_and_token().await?.1, token);

    let canaries = Canaries::of(&world, [token.as_str()]);
    canaries.absent_from_processes(&world).await?;
    canaries.absent_from_files(&world)?;
    world.ctl(&["sign-out"]).await?.expect_success();
    for account in [ACCESS, REFRESH, META] {
        assert_eq!(keys.read(account)?, None, "{account}");
    }
    assert!(keys.read(LOOPBACK)?.is_some());
    Ok(())
}

/// The limit that the threat model names: such a program reads what it likes. What it changes
/// makes no session, and no token that the companion did not make.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_program_does_to_the_kernel_keyring_is_said_and_never_believed() -> Result<()>
{
    let keys = KernelKeys::of("changed");
    let world = World::start_with(Mischief::KernelKeyring { world: "changed" }).await?;
    world.sign_in().await?;
    let read = keys.read(REFRESH)?.context("no key")?;
    assert!(world.issued_secrets().contains(&read), "the documented limit");

    keys.revoke(ACCESS)?;
    world.session_when("refresh").await?;
    world.ctl(&["models"]).await?.expect_success();
    world.session_when("valid").await?;
    assert_ne!(keys.read(REFRESH)?, Some(read), "not rotated");

    keys.replace(META, "planted")?;
    world.session_when("reauth").await?;
    world.sign_in().await?;
    keys.replace(ACCESS, &"x".repeat(9000))?;
    world.session_when("refresh").await?;
    keys.revoke(REFRESH)?;
    world.session_when("reauth").await?;
    keys.revoke(META)?;
    world.session_when("signed_out").await?;
    world.sign_in().await?;

    let (_, token) = world.endpoint_and_token().await?;
    keys.replace(LOOPBACK, "planted-planted-planted")?;
    let (_, after) = world.endpoint_and_token().await?;
    assert_ne!(after, token);
    assert!(!after.contains("planted"));
    keys.revoke(LOOPBACK)?;
    assert_ne!(world.endpoint_and_token().await?.1, after);
    Ok(())
}
