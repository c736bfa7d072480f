//! The failing branches: each refused with its reason of contract 3, nothing spawned, nothing
//! left in the store.

use anyhow::Result;
use promises::{MODEL_ID, Mischief, RUNTIME_ID, World};

/// The world after the refusal: no runtime was ever spawned and the store holds nothing of it.
async fn nothing_happened(world: &World, reason: &str) -> Result<()> {
    let status = world.status().await?;
    assert_eq!(status["available"], false, "{reason}");
    assert_eq!(status["lifecycle"], "stopped", "{reason}");
    assert_eq!(status["pids"]["runtime"], serde_json::Value::Null, "{reason}");
    assert_eq!(world.stored_artifacts()?, Vec::<String>::new(), "{reason}: left in the store");
    Ok(())
}

async fn pull_is_refused(world: &World, reason: &str) -> Result<()> {
    let pulled = world.ctl_events(&["pull", MODEL_ID]).await?;
    pulled.expect_refusal(reason);
    assert!(pulled.named("verified").is_empty());
    nothing_happened(world, reason).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_byte_at_the_model_host_is_a_digest_mismatch() -> Result<()> {
    for offset in [0, 49_181_216, 98_362_431] {
        let world = World::start_with(Mischief::FlipByte { offset }).await?;
        world.sign_in().await?;
        pull_is_refused(&world, "digest_mismatch").await?;
        world.ctl_events(&["start", MODEL_ID]).await?.expect_any_refusal();
        nothing_happened(&world, "digest_mismatch").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_size_in_the_catalog_is_a_size_mismatch() -> Result<()> {
    let world = World::start_with(Mischief::WrongSize).await?;
    world.sign_in().await?;
    pull_is_refused(&world, "size_mismatch").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_signed_by_another_key_is_untrusted() -> Result<()> {
    let world = World::start_with(Mischief::ForeignCatalogKey).await?;
    world.sign_in().await?;
    pull_is_refused(&world, "manifest_untrusted").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_catalog_is_untrusted() -> Result<()> {
    let world = World::start_with(Mischief::ExpiredCatalog).await?;
    world.sign_in().await?;
    pull_is_refused(&world, "manifest_untrusted").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_whose_files_lie_on_its_own_host_is_untrusted() -> Result<()> {
    let world = World::start_with(Mischief::CatalogOnModelHost).await?;
    world.sign_in().await?;
    pull_is_refused(&world, "manifest_untrusted").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_from_outside_the_allowed_sources_is_refused() -> Result<()> {
    let world = World::start_with(Mischief::RedirectElsewhere).await?;
    world.sign_in().await?;
    pull_is_refused(&world, "source_not_allowed").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_iss_ends_the_sign_in() -> Result<()> {
    sign_in_is_refused(Mischief::WrongIss, "issuer_mismatch").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_iss_ends_the_sign_in() -> Result<()> {
    sign_in_is_refused(Mischief::AbsentIss, "issuer_mismatch").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_state_ends_the_sign_in() -> Result<()> {
    sign_in_is_refused(Mischief::WrongState, "state_mismatch").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_authorization_server_ends_the_sign_in() -> Result<()> {
    sign_in_is_refused(Mischief::AccessDenied, "authorization_server_error").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_token_endpoint_ends_the_sign_in() -> Result<()> {
    sign_in_is_refused(Mischief::TokenEndpointFault, "token_exchange_failed").await?;
    sign_in_is_refused(Mischief::TokenEndpointGarbage, "invalid_token_response").await
}

async fn sign_in_is_refused(mischief: Mischief, reason: &str) -> Result<()> {
    let world = World::start_with(mischief).await?;
    world.try_sign_in().await?.expect_refusal(reason);
    assert_eq!(world.status().await?["session"], "signed_out", "{reason}");
    assert_eq!(world.keychain_items("companion.accessToken").await?, 0);
    assert_eq!(world.keychain_items("companion.refreshToken").await?, 0);
    world.ctl_events(&["pull", MODEL_ID]).await?.expect_refusal("not_signed_in");
    nothing_happened(&world, reason).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_keychain_refuses_and_available_follows_it() -> Result<()> {
    let world = World::ready().await?;
    assert_eq!(world.status().await?["available"], true);
    let (address, token) = world.endpoint_and_token().await?;

    world.lock_keychain().await?;
    let missing = world.status_when(|status| status["available"] == false).await?;
    assert!(missing["missing"].to_string().contains("token_digest_unset"), "{missing}");
    let refused = promises::get(&address, "/v1/models", Some(&token)).await?;
    assert_eq!((refused.status, refused.code()?.as_str()), (401, "invalid_token"));
    world.try_sign_in().await?.expect_refusal("keychain_locked");

    world.unlock_keychain().await?;
    world.status_when(|status| status["available"] == true).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_keychain_nothing_is_authorised_and_the_reason_is_said() -> Result<()> {
    let world = World::start_with(Mischief::NoSecretService).await?;
    world.try_sign_in().await?.expect_refusal("keychain_unavailable");
    let env = world.ctl(&["env"]).await?;
    assert_eq!(env.status.code(), Some(1));
    assert!(env.stderr.contains("keychain_unavailable"), "{env:?}");
    nothing_happened(&world, "keychain_unavailable").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_id_and_a_model_that_was_not_pulled_are_refused() -> Result<()> {
    let world = World::start().await?;
    world.sign_in().await?;
    world.ctl_events(&["pull", "no-such-model"]).await?.expect_refusal("unknown_artifact");
    world.ctl_events(&["start", MODEL_ID]).await?.expect_refusal("not_provisioned");
    nothing_happened(&world, "not_provisioned").await
}

/// Contract 8: an interrupted download resumes; what is on disk is hashed again.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_download_says_so_and_the_next_pull_resumes_it() -> Result<()> {
    let world = World::start_with(Mischief::CutAfter { bytes: 40_000_000 }).await?;
    world.sign_in().await?;
    world.ctl_events(&["pull", MODEL_ID]).await?.expect_refusal("download_truncated");
    assert_eq!(world.stored_artifacts()?, Vec::<String>::new());

    world.behave();
    let again = world.ctl_events(&["pull", MODEL_ID]).await?;
    again.expect_success();
    let first = again.named("progress").first().map(|line| line["received"].as_u64());
    assert!(first.flatten().is_some_and(|bytes| bytes >= 30_000_000), "not resumed: {again:?}");
    world.ctl_events(&["pull", RUNTIME_ID]).await?.expect_success();
    world.ctl_events(&["start", MODEL_ID]).await?.expect_success();
    Ok(())
}
