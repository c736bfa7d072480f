//! Against a real `gnome-keyring-daemon` on a private bus.

use std::fmt::Debug;
use std::pin::pin;
use std::time::{Duration, Instant};

use authority_core::custody::Account;
use authority_core::{Reason, Secret};
use companion_settings::KeychainBackend;
use secret_service::{EncryptionType, SecretService};
use tokio::time::timeout;

use super::super::Keychain;
use crate::testing::TestConnections;
use crate::testing_bus::Bus;

const PASSWORD: &str = "correct horse";
/// Contract 7.
const LIMIT: Duration = Duration::from_secs(10);

fn keychain(bus: &Bus, profile: &str) -> Keychain {
    Keychain::new(KeychainBackend::System, profile, bus.connections())
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec()).unwrap()
}

async fn read(keychain: &Keychain, account: Account) -> Result<Option<String>, Reason> {
    let secret = keychain.get(account).await?;
    Ok(secret.map(|secret| secret.expose_text().unwrap().to_owned()))
}

async fn refused_in_time(keychain: &Keychain, reason: Reason) {
    let account = Account::AccessToken;
    let value = secret("x");
    tokio::join!(
        in_time(keychain.ready(), Err(reason)),
        in_time(read(keychain, account), Err(reason)),
        in_time(keychain.set(account, &value), Err(reason)),
        in_time(keychain.delete(account), Err(reason)),
    );
}

async fn in_time<T: PartialEq + Debug>(call: impl Future<Output = T>, expected: T) {
    let begun = Instant::now();
    assert_eq!(call.await, expected);
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}

async fn session(bus: &Bus) -> SecretService<'static> {
    SecretService::connect_with_existing(EncryptionType::Dh, bus.connect().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_account_is_kept_replaced_and_deleted_and_profiles_do_not_meet() {
    let mut bus = Bus::start().await;
    bus.start_keyring(Some(PASSWORD)).await;
    let (mine, other) = (keychain(&bus, "mine"), keychain(&bus, "other"));
    assert_eq!(mine.ready().await, Ok(()));
    let longest = "x".repeat(8192);
    for account in Account::ALL {
        assert_eq!(read(&mine, account).await, Ok(None));
        for value in ["first", &longest, "last"] {
            mine.set(account, &secret(value)).await.unwrap();
            assert_eq!(read(&mine, account).await.unwrap().as_deref(), Some(value));
        }
        assert_eq!(read(&other, account).await, Ok(None));
    }
    let items = session(&bus).await;
    let items = items.get_default_collection().await.unwrap().get_all_items().await.unwrap().len();
    assert_eq!(items, 4, "replacing left values behind");
    mine.delete(Account::AccessToken).await.unwrap();
    mine.delete(Account::AccessToken).await.unwrap();
    assert_eq!(read(&mine, Account::AccessToken).await, Ok(None));
    assert_eq!(read(&mine, Account::RefreshToken).await.unwrap().as_deref(), Some("last"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_item_of_an_account_is_ambiguous_until_it_is_set_anew() {
    let mut bus = Bus::start().await;
    bus.start_keyring(Some(PASSWORD)).await;
    let keychain = keychain(&bus, "mine");
    keychain.set(Account::AccessToken, &secret("mine")).await.unwrap();
    let planted = session(&bus).await;
    let planted = planted.get_default_collection().await.unwrap();
    let mut attributes = std::collections::HashMap::from([
        ("service", "companion/mine"),
        ("account", Account::AccessToken.name()),
        ("more", "attributes"),
    ]);
    planted.create_item("x", attributes.clone(), b"planted", true, "text/plain").await.unwrap();
    assert_eq!(read(&keychain, Account::AccessToken).await, Err(Reason::InvalidSecret));
    keychain.set(Account::AccessToken, &secret("again")).await.unwrap();
    assert_eq!(read(&keychain, Account::AccessToken).await.unwrap().as_deref(), Some("again"));
    attributes.remove("more");
    assert_eq!(planted.search_items(attributes).await.unwrap().len(), 1);
}

/// Another program of the user puts what it likes there; the broker never reads a part of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_no_length_or_too_great_a_one_is_invalid_until_it_is_set_anew() {
    let mut bus = Bus::start().await;
    bus.start_keyring(Some(PASSWORD)).await;
    let keychain = keychain(&bus, "mine");
    let planted = session(&bus).await;
    let planted = planted.get_default_collection().await.unwrap();
    let account = Account::RefreshToken;
    let attributes = [("service", "companion/mine"), ("account", account.name())];
    for length in [0, 8193, 1 << 20] {
        let value = vec![b'x'; length];
        planted.create_item("x", attributes.into(), &value, true, "text/plain").await.unwrap();
        assert_eq!(read(&keychain, account).await, Err(Reason::InvalidSecret), "{length}");
        keychain.set(account, &secret("mine")).await.unwrap();
        assert_eq!(read(&keychain, account).await.unwrap().as_deref(), Some("mine"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_collection_is_keychain_locked_and_nobody_is_prompted() {
    let mut bus = Bus::start().await;
    bus.start_keyring(Some(PASSWORD)).await;
    let keychain = keychain(&bus, "mine");
    keychain.set(Account::AccessToken, &secret("kept")).await.unwrap();
    session(&bus).await.get_default_collection().await.unwrap().lock().await.unwrap();
    refused_in_time(&keychain, Reason::KeychainLocked).await;
    // A daemon that comes back unlocked has what was kept, over a session made anew.
    bus.kill_keyring().await;
    bus.start_keyring(Some(PASSWORD)).await;
    assert_eq!(read(&keychain, Account::AccessToken).await.unwrap().as_deref(), Some("kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_dead_or_never_initialised_keyring_is_keychain_unavailable() {
    let nowhere = Keychain::new(KeychainBackend::System, "mine", TestConnections::nowhere());
    refused_in_time(&nowhere, Reason::KeychainUnavailable).await;
    let mut bus = Bus::start().await;
    let keychain = keychain(&bus, "mine");
    refused_in_time(&keychain, Reason::KeychainUnavailable).await;
    bus.start_keyring(None).await;
    refused_in_time(&keychain, Reason::KeychainUnavailable).await;
    bus.kill_keyring().await;
    refused_in_time(&keychain, Reason::KeychainUnavailable).await;
}

/// One thread drives both: what blocked it would keep the other from going on.
#[tokio::test(flavor = "current_thread")]
async fn a_frozen_keyring_is_keychain_unavailable_in_time_holds_nobody_up_and_comes_back() {
    let mut bus = Bus::start().await;
    bus.start_keyring(Some(PASSWORD)).await;
    let keychain = keychain(&bus, "mine");
    keychain.set(Account::AccessToken, &secret("kept")).await.unwrap();
    bus.freeze(true);
    let mut went_on = 0;
    tokio::select! {
        biased;
        () = refused_in_time(&keychain, Reason::KeychainUnavailable) => {}
        () = async {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                went_on += 1;
            }
        } => {}
    }
    assert!(went_on > 100, "only {went_on} times in about eight seconds");
    bus.freeze(false);
    assert_eq!(read(&keychain, Account::AccessToken).await.unwrap().as_deref(), Some("kept"));
}

/// Each call waits for its answer when the daemon dies under it.
#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_killed_in_the_middle_of_a_call_is_keychain_unavailable_until_the_next_one() {
    const WAITING: Duration = Duration::from_millis(300);
    let mut bus = Bus::start().await;
    bus.start_keyring(Some(PASSWORD)).await;
    let keychain = keychain(&bus, "mine");
    let account = Account::RefreshToken;
    keychain.set(account, &secret("kept")).await.unwrap();
    bus.freeze(true);
    let (value, begun) = (secret("lost"), Instant::now());
    let mut calls = pin!(futures_util::future::join4(
        keychain.ready(),
        read(&keychain, account),
        keychain.set(account, &value),
        keychain.delete(account),
    ));
    assert!(timeout(WAITING, &mut calls).await.is_err(), "none waits");
    bus.kill_keyring().await;
    let gone = Err(Reason::KeychainUnavailable);
    assert_eq!(calls.await, (gone, Err(Reason::KeychainUnavailable), gone, gone));
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    bus.start_keyring(Some(PASSWORD)).await;
    assert_eq!(read(&keychain, account).await.unwrap().as_deref(), Some("kept"));
}

/// Another daemon with another collection: nothing is remembered of the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_that_takes_the_place_of_another_has_nothing_of_it() {
    let mut bus = Bus::start().await;
    bus.start_keyring(Some(PASSWORD)).await;
    let keychain = keychain(&bus, "mine");
    keychain.set(Account::RefreshToken, &secret("of the first")).await.unwrap();
    bus.kill_keyring().await;
    bus.forget_collections();
    bus.start_keyring(Some("another")).await;
    assert_eq!(read(&keychain, Account::RefreshToken).await, Ok(None));
    keychain.set(Account::RefreshToken, &secret("of the second")).await.unwrap();
    let kept = read(&keychain, Account::RefreshToken).await;
    assert_eq!(kept.unwrap().as_deref(), Some("of the second"));
}
