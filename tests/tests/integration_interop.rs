//! Sign-in at authorization servers that others wrote: registration, PKCE, `iss`, rotation, reuse
//! and revocation as they do it (contract 6). Each server is a real one, with its own pages.

use anyhow::{Context, Result};
use promises::{Abroad, Asked, MetadataPlace, ServerOptions, Software};

/// One second more than the margin: the access token is valid for one second, then due.
const SOON_DUE: ServerOptions =
    ServerOptions { path: "/oauth/tenant", metadata: MetadataPlace::Inserted, access_token_s: 31 };

const LONG: ServerOptions = ServerOptions { access_token_s: 3600, ..SOON_DUE };

/// Neither in the logs nor in a file of the companion.
fn is_written_nowhere(abroad: &Abroad, tokens: &[String]) -> Result<()> {
    let mut written = abroad.world.state_files()?;
    written.push(("the log".to_owned(), abroad.world.log().into_bytes()));
    for (place, bytes) in &written {
        for token in tokens {
            assert_eq!(memchr::memmem::find(bytes, token.as_bytes()), None, "{place}");
        }
    }
    Ok(())
}

async fn renews_and_rotates(software: Software) -> Result<()> {
    let abroad = Abroad::signed_in(software, SOON_DUE).await?;
    let first = abroad.refresh_token().await?;
    assert_eq!(abroad.introspect(&first).await?["active"], true);
    abroad.world.session_when("refresh").await?;

    let models = ["models"];
    let all = futures_util::future::join_all((0..4).map(|_| abroad.world.ctl(&models))).await;
    for answer in all {
        answer?.expect_success();
    }
    let second = abroad.refresh_token().await?;
    assert_ne!(second, first, "not rotated");
    assert_eq!(abroad.introspect(&first).await?["active"], false);
    assert_eq!(abroad.introspect(&second).await?["active"], true);
    is_written_nowhere(&abroad, &[first, second, abroad.access_token().await?])
}

async fn a_spent_token_used_elsewhere_ends_the_session(software: Software) -> Result<()> {
    let mut abroad = Abroad::signed_in(software, SOON_DUE).await?;
    let first = abroad.refresh_token().await?;
    abroad.world.session_when("refresh").await?;
    abroad.world.ctl(&["models"]).await?.expect_success();
    let second = abroad.refresh_token().await?;
    let said = abroad.introspect(&second).await?;
    let client_id = said["client_id"].as_str().context("no client_id")?;

    let stolen = abroad.refresh_elsewhere(client_id, &first).await?;
    assert_eq!(stolen, (400, "invalid_grant".into()));
    assert_eq!(abroad.introspect(&second).await?["active"], false);
    // A verified catalog is good for a minute without asking; after a restart none is.
    abroad.world.restart().await?;
    let refused = abroad.world.ctl(&["models"]).await?;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(abroad.world.ctl_json(&["session"]).await?["session"], "signed_out");
    assert_eq!(abroad.world.keychain_items("companion.refreshToken").await?, 0);
    Ok(())
}

async fn a_stolen_token_is_noticed_at_the_next_renewal(software: Software) -> Result<()> {
    let abroad = Abroad::signed_in(software, SOON_DUE).await?;
    let token = abroad.refresh_token().await?;
    let said = abroad.introspect(&token).await?;
    let client_id = said["client_id"].as_str().context("no client_id")?;
    assert_eq!(abroad.refresh_elsewhere(client_id, &token).await?.0, 200);

    abroad.world.session_when("refresh").await?;
    assert_eq!(abroad.world.ctl(&["models"]).await?.status.code(), Some(1));
    assert_eq!(abroad.world.ctl_json(&["session"]).await?["session"], "signed_out");
    Ok(())
}

async fn sign_out_leaves_nothing_active(software: Software) -> Result<()> {
    let abroad = Abroad::signed_in(software, LONG).await?;
    let tokens = [abroad.refresh_token().await?, abroad.access_token().await?];
    for token in &tokens {
        assert_eq!(abroad.introspect(token).await?["active"], true);
    }
    assert_eq!(abroad.world.ctl_json(&["sign-out"]).await?["revoked"], true);
    for token in &tokens {
        assert_eq!(abroad.introspect(token).await?["active"], false);
    }
    assert_eq!(abroad.world.ctl_json(&["session"]).await?["session"], "signed_out");
    Ok(())
}

async fn is_found_at(
    software: Software,
    path: &'static str,
    metadata: MetadataPlace,
) -> Result<()> {
    let abroad = Abroad::signed_in(software, ServerOptions { path, metadata, ..LONG }).await?;
    abroad.world.ctl(&["models"]).await?.expect_success();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_at_oidc_provider_is_renewed_once_and_its_token_rotates() -> Result<()> {
    renews_and_rotates(Software::OidcProvider).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_refresh_token_ends_the_grant_at_oidc_provider_and_the_session_here() -> Result<()>
{
    a_spent_token_used_elsewhere_ends_the_session(Software::OidcProvider).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_stolen_from_oidc_provider_is_noticed_at_the_next_renewal() -> Result<()> {
    a_stolen_token_is_noticed_at_the_next_renewal(Software::OidcProvider).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_leaves_no_active_token_at_oidc_provider() -> Result<()> {
    sign_out_leaves_nothing_active(Software::OidcProvider).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidc_provider_is_found_below_its_path_and_without_a_path() -> Result<()> {
    is_found_at(Software::OidcProvider, "/oauth/tenant", MetadataPlace::Appended).await?;
    is_found_at(Software::OidcProvider, "", MetadataPlace::Inserted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidc_provider_takes_a_client_it_knows_at_any_port_and_its_id_token_is_taken() -> Result<()>
{
    for asked in [Asked::AccessAsKnownClient, Asked::AccessAndIdToken] {
        let abroad = Abroad::start(Software::OidcProvider, LONG, asked).await?;
        abroad.world.sign_in().await?;
        abroad.world.ctl(&["models"]).await?.expect_success();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_at_authlib_is_renewed_once_and_its_token_rotates() -> Result<()> {
    renews_and_rotates(Software::Authlib).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_refresh_token_ends_the_grant_at_authlib_and_the_session_here() -> Result<()> {
    a_spent_token_used_elsewhere_ends_the_session(Software::Authlib).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_stolen_from_authlib_is_noticed_at_the_next_renewal() -> Result<()> {
    a_stolen_token_is_noticed_at_the_next_renewal(Software::Authlib).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_leaves_no_active_token_at_authlib() -> Result<()> {
    sign_out_leaves_nothing_active(Software::Authlib).await
}

#[tokio::test(flavor = "multi_thread")]
async fn authlib_is_found_below_its_path_and_without_a_path() -> Result<()> {
    is_found_at(Software::Authlib, "/oauth/tenant", MetadataPlace::Appended).await?;
    is_found_at(Software::Authlib, "", MetadataPlace::Inserted).await
}
