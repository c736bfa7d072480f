//! Which call of the broker is allowed in which standing of the session, asked of the real broker
//! over its real socket, against the table that people read (contract 6, `docs/states.md`).

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use authority_api::v1::SessionState;
use promises::{Broker, Mischief, World};
use prost::Message;
use prost_types::FileDescriptorSet;

const STATES: &str = include_str!("../../docs/states.md");
const STANDINGS: [SessionState; 4] =
    [SessionState::Valid, SessionState::Refresh, SessionState::Reauth, SessionState::SignedOut];

/// The calls of the table, in an order in which the one that ends a session comes last, each with
/// its words for: a session; none, with a catalog at hand; none, without.
fn table() -> Vec<(&'static str, [&'static str; 3])> {
    let rows = STATES.lines().skip_while(|line| !line.starts_with("| call |")).skip(2);
    let cells = rows.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [call, with, at_hand, without] = cells[..] else { panic!("{line}") };
        (call, [with, at_hand, without])
    });
    let mut table: Vec<_> = cells.collect();
    table.sort_by_key(|(call, _)| *call == "SignOut");
    table
}

fn allowed(words: &str) -> bool {
    match words {
        "allowed" => true,
        "`not_signed_in`" => false,
        other => panic!("what is {other}?"),
    }
}

/// What the call answers where it is allowed; `at_hand`: there is a catalog, else it is hidden.
fn in_phase(call: &str, at_hand: bool) -> &'static str {
    match (call, at_hand) {
        ("ListCatalog" | "Pull" | "Start" | "Remove" | "Verify", false) => "catalog_unreachable",
        ("Pull" | "Start" | "Remove" | "Verify", true) => "unknown_artifact",
        _ => "ok",
    }
}

/// Brings the session into a standing, as the gateway's doing would.
async fn stand(world: &World, standing: SessionState) -> Result<()> {
    world.at_gateway(|it| {
        it.expires_in = if standing == SessionState::Valid { 3600 } else { 30 };
        it.refresh_tokens = standing != SessionState::Reauth;
    });
    match standing {
        SessionState::SignedOut => world.ctl(&["sign-out"]).await?.expect_success(),
        _ => world.sign_in().await?,
    }
    Ok(())
}

#[test]
fn the_table_has_a_row_for_every_call_of_the_descriptor() {
    let set = FileDescriptorSet::decode(authority_api::FILE_DESCRIPTOR_SET).expect("a set");
    let services = set.file.iter().flat_map(|file| &file.service);
    let described: BTreeSet<_> =
        services.flat_map(|service| &service.method).map(|method| method.name()).collect();
    assert_eq!(table().into_iter().map(|(call, _)| call).collect::<BTreeSet<_>>(), described);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_in_every_standing_is_answered_as_the_table_says() -> Result<()> {
    let world = World::start().await?;
    let broker = Broker::of(&world);
    let (mut cells, mut out_of_phase) = (0, 0);
    for at_hand in [false, true] {
        world.at_gateway(|it| {
            it.hidden_metadata = if at_hand { BTreeSet::new() } else { hidden() };
        });
        if at_hand {
            stand(&world, SessionState::Valid).await?;
            world.ctl(&["models"]).await?.expect_success();
        }
        for standing in STANDINGS {
            stand(&world, standing).await?;
            for (call, [with, without_at_hand, without]) in table() {
                ensure!(broker.state().await? == standing, "not {standing:?} before {call}");
                let words = match (standing, at_hand) {
                    (SessionState::Valid | SessionState::Refresh, _) => with,
                    (_, true) => without_at_hand,
                    (_, false) => without,
                };
                let wanted = if allowed(words) { in_phase(call, at_hand) } else { "not_signed_in" };
                let said = broker.call(call).await.context(call)?;
                assert_eq!(said, wanted, "{call} while {standing:?}, at hand: {at_hand}");
                (cells, out_of_phase) = (cells + 1, out_of_phase + u32::from(!allowed(words)));
            }
        }
    }
    assert_eq!((cells, out_of_phase), (80, 14));
    Ok(())
}

/// The gateway has no catalog for anybody.
fn hidden() -> BTreeSet<String> {
    ["timestamp.json".to_owned()].into()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_session_is_asked_for_every_call_is_allowed() -> Result<()> {
    let world = World::start_with(Mischief::NoAccount).await?;
    let broker = Broker::of(&world);
    for (call, _) in table() {
        let wanted = if call == "SignIn" { "account_not_configured" } else { in_phase(call, true) };
        assert_eq!(broker.call(call).await.context(call)?, wanted, "{call}");
    }
    Ok(())
}

/// What cannot be read authorises nothing: only what needs no keychain is still done.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_locked_keychain_every_call_that_needs_it_says_so() -> Result<()> {
    let world = World::start().await?;
    world.sign_in().await?;
    world.lock_keychain().await?;
    let broker = Broker::of(&world);
    for (call, _) in table() {
        let wanted = if matches!(call, "GetSession" | "Stop") { "ok" } else { "keychain_locked" };
        assert_eq!(broker.call(call).await.context(call)?, wanted, "{call}");
    }
    assert_eq!(broker.state().await?, SessionState::SignedOut);
    world.unlock_keychain().await?;
    assert_eq!(broker.state().await?, SessionState::Valid);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_waits_is_ended_by_a_sign_in_or_a_sign_out_and_by_no_other_call()
-> Result<()> {
    let world = World::start().await?;
    let broker = Broker::of(&world);
    let begin = async || broker.begin_sign_in().await?.map_err(anyhow::Error::msg);
    for (call, _) in table() {
        let (attempt, url) = begin().await?;
        broker.call(call).await.context(call)?;
        if matches!(call, "SignIn" | "SignOut") {
            assert_eq!(attempt.outcome().await?, "sign_in_cancelled", "{call}");
        } else {
            world.follow(&url).await?;
            assert_eq!(attempt.outcome().await?, "ok", "{call}");
        }
    }
    Ok(())
}
