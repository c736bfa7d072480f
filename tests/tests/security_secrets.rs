//! No secret in any output, file, argument or environment over a whole life, and none in the
//! memory of a process that may not have it (contract Pk, architecture 3 promise 4).

use anyhow::{Context, Result};
use devstack::gateway::{
    AuthorizeFault, GatewaySwitches, IssParameter, MetadataFault, StateParameter, TokenFault,
};
use promises::{Broker, Canaries, Events, MODEL_ID, Mischief, RUNTIME_ID, World};
use serde_json::Value;

/// What the development server says in places whose words are shown to nobody.
const FREE_TEXT: &str = "free text";
const UNKNOWN_ERROR: &str = "development_error_no_rfc_names";
const OTHER_ISSUER: &str = "attacker.example";

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_anywhere_from_sign_in_to_sign_out() -> Result<()> {
    let world = World::start().await?;
    world.sign_in().await?;
    for id in [RUNTIME_ID, MODEL_ID] {
        world.ctl_events(&["pull", id]).await?.expect_success();
    }
    world.ctl_events(&["start", MODEL_ID]).await?.expect_success();
    let (address, token) = world.endpoint_and_token().await?;
    let prompt = "zebra-canary-prompt-4711";
    let body = format!(r#"{{"prompt":"{prompt}","max_tokens":8}}"#);
    assert_eq!(promises::post(&address, "/v1/completions", &token, &body).await?.status, 200);
    let (wrong_token, wrong_id) = ("wrong-token-canary-4712", "no-such-id-canary-4713");
    promises::get(&address, "/v1/models", Some(wrong_token)).await?;
    world.ctl_events(&["pull", wrong_id]).await?.expect_refusal("unknown_artifact");

    let canaries = Canaries::of(&world, [token.as_str(), prompt, wrong_token, wrong_id]);
    canaries.absent_from_processes(&world).await?;
    // Open files and mappings show by their paths what of the store is in use.
    let (digest, url) = (world.model_sha256(), world.model_url());
    let of_the_model = Canaries::of(&world, [&digest, &url]);
    for pid in world.pids().await? {
        for file in ["cmdline", "environ"] {
            of_the_model.absent_from(file, &std::fs::read(format!("/proc/{pid}/{file}"))?);
        }
    }
    for role in ["launcher", "supervisor", "runtime"] {
        let memory = promises::memory_of(world.pid_of(role).await?)?;
        let found = memchr::memmem::find(&memory, token.as_bytes());
        assert!(found.is_none(), "the loopback token is in the memory of {role}");
    }
    // The search can find: this test itself holds the token.
    let own = promises::memory_of(std::process::id())?;
    assert!(memchr::memmem::find(&own, token.as_bytes()).is_some());
    world.ctl(&["sign-out"]).await?.expect_success();
    world.ctl(&["stop"]).await?.expect_success();

    of_the_model.absent_from("the log", world.log().as_bytes());
    canaries.absent_from_files(&world)
}

type Fault = fn(&mut GatewaySwitches);

/// Everything that ends a sign-in, with the reason of its refusal.
const SIGN_INS: [(&str, Fault); 24] = [
    ("discovery_failed", |it| it.metadata = MetadataFault::Missing),
    ("issuer_mismatch", |it| it.metadata = MetadataFault::WrongIssuer),
    ("discovery_failed", |it| it.metadata = MetadataFault::TokenEndpointElsewhere),
    ("discovery_failed", |it| it.metadata = MetadataFault::PlainHttp),
    ("unsupported_pkce_method", |it| it.metadata = MetadataFault::PlainPkceOnly),
    ("registration_failed", |it| it.refuse_registration = true),
    ("authorization_server_error", |it| it.authorize = AuthorizeFault::AccessDenied),
    ("authorization_server_error", |it| it.authorize = AuthorizeFault::UnknownError),
    ("missing_code", |it| it.authorize = AuthorizeFault::NoCode),
    ("malformed_input", |it| it.authorize = AuthorizeFault::RepeatedCode),
    ("issuer_mismatch", |it| it.iss = IssParameter::Wrong),
    ("issuer_mismatch", |it| it.iss = IssParameter::Absent),
    ("state_mismatch", |it| it.state = StateParameter::Wrong),
    ("state_missing", |it| it.state = StateParameter::Absent),
    ("token_exchange_failed", |it| it.token = TokenFault::ServerError),
    ("token_exchange_failed", |it| it.token = TokenFault::Unavailable),
    ("token_exchange_failed", |it| it.token = TokenFault::InvalidGrant),
    ("token_exchange_failed", |it| it.token = TokenFault::InvalidGrantAs401),
    ("token_exchange_failed", |it| it.token = TokenFault::Redirect),
    ("invalid_token_response", |it| it.token = TokenFault::Garbage),
    ("invalid_token_response", |it| it.token = TokenFault::WrongTokenType),
    ("invalid_token_response", |it| it.token = TokenFault::ZeroLifetime),
    ("invalid_token_response", |it| it.token = TokenFault::Oversized),
    ("token_exchange_failed", |it| it.token = TokenFault::ServeThenStall),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_anywhere_after_each_sign_in_that_fails() -> Result<()> {
    let world = World::start().await?;
    let mut said = Vec::new();
    for (reason, fault) in SIGN_INS {
        world.at_gateway(|it| *it = GatewaySwitches::default());
        world.at_gateway(fault);
        let events = world.try_sign_in().await?;
        events.expect_refusal(reason);
        collect(&events, &mut said);
    }
    world.at_gateway(|it| *it = GatewaySwitches::default());
    let canaries = Canaries::of(&world, [FREE_TEXT, UNKNOWN_ERROR, OTHER_ISSUER]);
    canaries.absent_from("what companionctl said", &said);
    canaries.absent_from_processes(&world).await?;
    canaries.absent_from_files(&world)
}

/// Everything that keeps a session from being renewed, with the reason of its refusal.
const RENEWALS: [(&str, Fault); 10] = [
    ("token_exchange_failed", |it| it.token = TokenFault::ServerError),
    ("token_exchange_failed", |it| it.token = TokenFault::Unavailable),
    ("token_exchange_failed", |it| it.token = TokenFault::Redirect),
    ("token_exchange_failed", |it| it.token = TokenFault::ServeThenStall),
    ("invalid_token_response", |it| it.token = TokenFault::Garbage),
    ("invalid_token_response", |it| it.token = TokenFault::WrongTokenType),
    ("invalid_token_response", |it| it.token = TokenFault::ZeroLifetime),
    ("invalid_token_response", |it| it.token = TokenFault::Oversized),
    ("not_signed_in", |it| it.token = TokenFault::InvalidGrant),
    ("not_signed_in", |it| it.token = TokenFault::InvalidGrantAs401),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_anywhere_after_each_renewal_or_catalog_that_fails() -> Result<()> {
    let world = World::start().await?;
    let mut said = Vec::new();
    for (reason, fault) in RENEWALS {
        due(&world).await?;
        world.at_gateway(fault);
        catalog_is_refused(&world, reason, &mut said).await?;
    }
    // A refresh token that a thief used, and an access token that the gateway does not take.
    due(&world).await?;
    world.spend_refresh_token_elsewhere()?;
    catalog_is_refused(&world, "not_signed_in", &mut said).await?;
    world.sign_in().await?;
    world.at_gateway(|it| it.hidden_metadata = ["timestamp.json".to_owned()].into());
    catalog_is_refused(&world, "catalog_unreachable", &mut said).await?;
    world.at_gateway(|it| {
        it.hidden_metadata.clear();
        it.refuse_revocation = true;
    });
    world.sign_in().await?;
    world.ctl(&["sign-out"]).await?.expect_success();

    let canaries = Canaries::of(&world, [FREE_TEXT, UNKNOWN_ERROR]);
    canaries.absent_from("what companionctl said", &said);
    canaries.absent_from_processes(&world).await?;
    canaries.absent_from_files(&world)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_anywhere_when_the_keychain_the_catalog_or_a_process_is_lost() -> Result<()>
{
    let world = World::start_with(Mischief::ForeignCatalogKey).await?;
    let mut said = Vec::new();
    world.sign_in().await?;
    catalog_is_refused(&world, "manifest_untrusted", &mut said).await?;

    // An attempt that is given up for the next one.
    let broker = Broker::of(&world);
    let given_up = broker.begin_sign_in().await?.map_err(anyhow::Error::msg)?.0;
    world.sign_in().await?;
    assert_eq!(given_up.outcome().await?, "sign_in_cancelled");

    // Tokens that came and cannot be kept.
    let (attempt, url) = broker.begin_sign_in().await?.map_err(anyhow::Error::msg)?;
    world.lock_keychain().await?;
    world.follow(&url).await?;
    assert_eq!(attempt.outcome().await?, "keychain_locked");
    for arguments in [["sign-in"], ["models"], ["env"]] {
        let events = world.ctl_events(&arguments).await?;
        events.expect_refusal("keychain_locked");
        collect(&events, &mut said);
    }
    world.lose_keychain().await?;
    for arguments in [["sign-in"], ["models"], ["env"]] {
        let events = world.ctl_events(&arguments).await?;
        events.expect_refusal("keychain_unavailable");
        collect(&events, &mut said);
    }
    world.restore_keychain().await?;
    world.session_when("valid").await?;
    world.lose_broker().await?;
    world.session_when("valid").await?;

    let (_, token) = world.endpoint_and_token().await?;
    let canaries = Canaries::of(&world, [token.as_str(), FREE_TEXT]);
    canaries.absent_from("what companionctl said", &said);
    canaries.absent_from_processes(&world).await?;
    canaries.absent_from_files(&world)
}

/// What the gateway's catalog, and then the model host, may be refused for.
const PULLS: [(Mischief, &str); 5] = [
    (Mischief::ExpiredCatalog, "manifest_untrusted"),
    (Mischief::CatalogOnModelHost, "manifest_untrusted"),
    (Mischief::WrongSize, "size_mismatch"),
    (Mischief::FlipByte { offset: 0 }, "digest_mismatch"),
    (Mischief::RedirectElsewhere, "source_not_allowed"),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_anywhere_after_each_catalog_or_file_that_is_refused() -> Result<()> {
    for (mischief, reason) in PULLS {
        let world = World::start_with(mischief).await?;
        world.sign_in().await?;
        let events = world.ctl_events(&["pull", MODEL_ID]).await?;
        events.expect_refusal(reason);
        let mut said = Vec::new();
        collect(&events, &mut said);
        let canaries = Canaries::of(&world, [FREE_TEXT]);
        canaries.absent_from("what companionctl said", &said);
        canaries.absent_from_processes(&world).await?;
        canaries.absent_from_files(&world)?;
    }
    Ok(())
}

/// `companionctl` waits for the whole of a sign-in and is never given what it brings.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_that_waits_for_a_sign_in_never_holds_a_credential() -> Result<()> {
    let world = World::start().await?;
    world.sign_in().await?;
    let waiting = world.waiting_sign_in().await?;
    world.ctl(&["models"]).await?.expect_success();
    let canaries = Canaries::of(&world, [FREE_TEXT]);
    canaries.absent_from_process("companionctl", waiting.id().context("it has ended")?)?;
    Ok(())
}

/// Signed in, with an access token that has to be renewed before it is used.
async fn due(world: &World) -> Result<()> {
    world.at_gateway(|it| *it = GatewaySwitches { expires_in: 30, ..GatewaySwitches::default() });
    world.sign_in().await?;
    world.at_gateway(|it| it.expires_in = GatewaySwitches::default().expires_in);
    Ok(())
}

async fn catalog_is_refused(world: &World, reason: &str, said: &mut Vec<u8>) -> Result<()> {
    let events = world.ctl_events(&["models"]).await?;
    events.expect_refusal(reason);
    collect(&events, said);
    world.at_gateway(|it| it.token = TokenFault::None);
    Ok(())
}

/// Everything a command said, but the one line that may carry `state`.
fn collect(events: &Events, said: &mut Vec<u8>) {
    let told = events.lines.iter().filter(|line| line["event"] != "authorize");
    said.extend(told.map(Value::to_string).collect::<String>().into_bytes());
    said.extend_from_slice(events.stderr.as_bytes());
}
