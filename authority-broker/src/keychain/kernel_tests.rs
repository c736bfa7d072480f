use authority_core::custody::Account;
use authority_core::{Reason, Secret};

use super::{KernelStore, join_session, possesses_a_session};

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec()).unwrap()
}

fn read(store: &KernelStore, account: Account) -> Option<String> {
    let secret = store.get(account).unwrap();
    secret.map(|secret| secret.expose_text().unwrap().to_owned())
}

/// What the kernel shows this user of the keys of a service.
fn keys_of(service: &str) -> usize {
    let keys = std::fs::read_to_string("/proc/keys").unwrap_or_default();
    keys.lines().filter(|line| line.contains(service)).count()
}

/// Where the kernel gives no session keyring, as in some containers, everything is refused.
#[test]
fn with_a_session_keyring_each_account_is_kept_replaced_and_deleted() {
    join_session();
    let service = format!("companion/joined-{}", std::process::id());
    let store = KernelStore::new(service);
    if !possesses_a_session() {
        assert_eq!(store.get(Account::AccessToken).err(), Some(Reason::KeychainUnavailable));
        return;
    }
    for value in ["canary", "x", &"y".repeat(8192)] {
        store.set(Account::AccessToken, &secret(value)).unwrap();
        assert_eq!(read(&store, Account::AccessToken).as_deref(), Some(value));
    }
    assert_eq!(read(&store, Account::RefreshToken), None);
    store.delete(Account::AccessToken).unwrap();
    store.delete(Account::AccessToken).unwrap();
    assert_eq!(read(&store, Account::AccessToken), None);
}

#[test]
fn without_one_a_value_is_refused_before_the_kernel_has_it() {
    let service = format!("companion/alone-{}", std::process::id());
    let store = KernelStore::new(service.clone());
    let stored = store.set(Account::AccessToken, &secret("canary"));
    if possesses_a_session() {
        assert_eq!(stored, Ok(()));
        store.delete(Account::AccessToken).unwrap();
    } else {
        assert_eq!(stored, Err(Reason::KeychainUnavailable));
        assert_eq!(keys_of(&service), 0, "left behind");
    }
}
