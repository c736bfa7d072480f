//! Against a real `gnome-keyring-daemon` on a private bus.

use std::time::{Duration, Instant};

use authority_core::custody::Account;
use authority_core::{Reason, Secret};
use companion_settings::KeychainBackend;
use secret_service::{EncryptionType, SecretService};

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
    let begun = Instant::now();
    assert_eq!(keychain.ready().await, Err(reason));
    assert_eq!(read(keychain, Account::AccessToken).await, Err(reason));
    let write = keychain.set(Account::AccessToken, &secret("x")).await;
    assert_eq!(write, Err(reason));
    assert_eq!(keychain.delete(Account::AccessToken).await, Err(reason));
    assert!(begun.elapsed() < 4 * LIMIT);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_keyring_is_keychain_unavailable_within_ten_seconds_and_comes_back() {
    let mut bus = Bus::start().await;
    bus.start_keyring(Some(PASSWORD)).await;
    let keychain = keychain(&bus, "mine");
    keychain.set(Account::AccessToken, &secret("kept")).await.unwrap();
    bus.freeze(true);
    let begun = Instant::now();
    let answers = tokio::join!(keychain.ready(), read(&keychain, Account::AccessToken));
    assert_eq!(answers, (Err(Reason::KeychainUnavailable), Err(Reason::KeychainUnavailable)));
    assert!(begun.elapsed() < LIMIT);
    bus.freeze(false);
    assert_eq!(read(&keychain, Account::AccessToken).await.unwrap().as_deref(), Some("kept"));
}
