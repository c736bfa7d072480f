//! Against the real kernel. Each test is a user of its own, whom nobody else is: its keys, its
//! persistent keyring and its quota are nobody's but the test's.

use std::sync::atomic::{AtomicU32, Ordering};

use authority_core::custody::Account;
use authority_core::{Reason, Secret};
use linux_keyutils::{Key, KeyError, KeyRing, KeyRingIdentifier, KeySerialId};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use super::{KernelStore, join_session, persistent_keyring};

const SERVICE: &str = "companion/kernel-test";
const ACCOUNT: Account = Account::RefreshToken;
const UNAVAILABLE: Reason = Reason::KeychainUnavailable;
/// Longest payload of a key of type `user`.
const LONGEST: usize = 32_767;

/// A user of this test's own.
fn somebody() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    20_000 + (std::process::id() * 8 + NEXT.fetch_add(1, Ordering::Relaxed)) % 40_000
}

/// Acts as a program of that user: a thread, to which the kernel gives credentials of its own.
fn as_user<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
    let program = || {
        let uid = Some(Uid::from_raw(uid));
        set_thread_res_uid(uid, uid, uid).expect("this test acts as other users: run it as root");
        act()
    };
    std::thread::scope(|scope| scope.spawn(program).join().unwrap())
}

/// Acts as the broker of a new user, and removes what it left.
fn as_broker(act: impl FnOnce(u32, &KernelStore) + Send) {
    let uid = somebody();
    as_user(uid, || {
        join_session();
        act(uid, &KernelStore::new(SERVICE.to_owned()));
        join_session();
        persistent_keyring().unwrap().clear().unwrap();
    });
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec()).unwrap()
}

fn read(store: &KernelStore) -> Result<Option<String>, Reason> {
    let secret = store.get(ACCOUNT)?;
    Ok(secret.map(|secret| secret.expose_text().unwrap().to_owned()))
}

fn holds(store: &KernelStore, value: &str) {
    assert_eq!(read(store), Ok(Some(value.to_owned())));
}

/// The key itself, as any program finds it that possesses the persistent keyring.
fn key(store: &KernelStore) -> Key {
    persistent_keyring().unwrap().search(&store.description(ACCOUNT)).unwrap()
}

/// What the kernel shows the calling thread of these keys.
fn keys_shown() -> usize {
    let keys = std::fs::read_to_string("/proc/keys").unwrap();
    keys.lines().filter(|line| line.contains(SERVICE)).count()
}

/// Of an ordinary user's quota, two of the longest values take the most: what is deleted must be
/// off it at once.
#[test]
fn each_account_is_kept_replaced_and_deleted_and_two_services_do_not_meet() {
    as_broker(|_, store| {
        let other = KernelStore::new("companion/kernel-test-2".to_owned());
        for account in Account::ALL {
            for value in ["canary", "x", &"y".repeat(8192)] {
                store.set(account, &secret(value)).unwrap();
                assert!(store.get(account).unwrap().unwrap().equals(value.as_bytes()));
            }
            assert!(other.get(account).unwrap().is_none());
            store.delete(account).unwrap();
            store.delete(account).unwrap();
            assert!(store.get(account).unwrap().is_none());
        }
    });
}

#[test]
fn without_a_session_keyring_a_value_is_refused_before_the_kernel_has_it() {
    as_user(somebody(), || {
        let store = KernelStore::new(SERVICE.to_owned());
        let is_refused = || {
            assert_eq!(store.set(ACCOUNT, &secret("canary")), Err(UNAVAILABLE));
            assert_eq!(read(&store), Err(UNAVAILABLE));
            assert_eq!(store.delete(ACCOUNT), Err(UNAVAILABLE));
        };
        // Whoever runs this test may have one, which this program inherits; else it has none.
        if persistent_keyring().is_err() {
            is_refused();
        }
        join_session();
        session().revoke().unwrap();
        is_refused();
        join_session();
        assert_eq!((read(&store), keys_shown()), (Ok(None), 0), "left behind");
    });
}

/// The session keyring of the calling thread, as a key.
fn session() -> Key {
    Key::from_id(KeySerialId::new(KeyRingIdentifier::Session as i32))
}

#[test]
fn a_session_keyring_that_is_replaced_loses_nothing() {
    as_broker(|uid, store| {
        store.set(ACCOUNT, &secret("kept")).unwrap();
        join_session();
        holds(store, "kept");
        // So does the next broker, whose session has nothing to do with this one's.
        as_user(uid, || {
            join_session();
            holds(store, "kept");
        });
    });
}

/// What hangs on an inherited keyring hangs there for every program of the person's session.
#[test]
fn the_session_keyring_is_of_this_process_alone() {
    let session = || KeyRing::from_special_id(KeyRingIdentifier::Session, false).unwrap();
    as_broker(|uid, _| {
        let mine = session();
        as_user(uid, || {
            assert_eq!(session(), mine, "a program starts in the session of who started it");
            join_session();
            assert_ne!(session(), mine);
        });
    });
}

#[test]
fn a_key_that_was_revoked_expired_or_removed_is_no_secret_and_is_set_anew() {
    type End = fn(Key) -> Result<(), KeyError>;
    let ends: [(&str, End); 4] = [
        ("revoked", |key| key.revoke()),
        ("expired", |key| key.set_timeout(1)),
        ("removed", |key| persistent_keyring().unwrap().unlink_key(key)),
        ("invalidated", |key| key.invalidate()),
    ];
    as_broker(|_, store| {
        for (case, end) in ends {
            for _ in 0..2 {
                store.set(ACCOUNT, &secret("kept")).unwrap();
                holds(store, "kept");
                end(key(store)).unwrap();
                // The clock of the kernel has whole seconds.
                while read(store) == Ok(Some("kept".to_owned())) && case == "expired" {
                    std::thread::yield_now();
                }
                assert_eq!(read(store), Ok(None), "{case}");
            }
            store.delete(ACCOUNT).unwrap();
            assert_eq!(read(store), Ok(None), "{case}");
        }
    });
}

/// An ordinary user has 20,000 bytes of keys: see /proc/key-users.
#[test]
fn a_quota_that_is_used_up_refuses_a_new_value_and_keeps_the_one_before() {
    as_broker(|_, store| {
        store.set(ACCOUNT, &secret("before")).unwrap();
        let ring = persistent_keyring().unwrap();
        let mut filling = Vec::new();
        for length in [4096, 1, 1] {
            let mut next = || {
                let name = format!("filling-{length}-{}", filling.len());
                ring.add_key(&name, &vec![b'x'; length]).map(|key| filling.push(key))
            };
            let full = (0..10_000).find_map(|_| next().err());
            assert_eq!(full, Some(KeyError::QuotaExceeded));
        }
        let longer = secret(&"after".repeat(1000));
        assert_eq!(store.set(ACCOUNT, &longer), Err(UNAVAILABLE));
        holds(store, "before");
        assert_eq!(store.set(Account::AccessToken, &longer), Err(UNAVAILABLE));
        assert!(store.get(Account::AccessToken).unwrap().is_none(), "left behind");
        // What is there can be given up, and then there is room again.
        store.delete(ACCOUNT).unwrap();
        filling.iter().for_each(|key| key.invalidate().unwrap());
        while store.set(ACCOUNT, &longer).is_err() {
            // The kernel takes dead keys off the quota in its own time.
            std::thread::yield_now();
        }
    });
}

#[test]
fn a_value_longer_than_any_of_the_brokers_is_invalid_and_can_be_replaced() {
    let uid = somebody();
    as_user(uid, || {
        join_session();
        let store = KernelStore::new(SERVICE.to_owned());
        let ring = persistent_keyring().unwrap();
        for length in [8193, 19_000] {
            ring.add_key(&store.description(ACCOUNT), &vec![b'x'; length]).unwrap();
            assert_eq!(read(&store), Err(Reason::InvalidSecret), "{length}");
            store.set(ACCOUNT, &secret("mine")).unwrap();
            holds(&store, "mine");
        }
        let too_long = ring.add_key(&store.description(ACCOUNT), &vec![b'x'; LONGEST + 1]);
        assert_eq!(too_long, Err(KeyError::InvalidArguments), "the kernel's own limit");
        ring.clear().unwrap();
    });
}

#[test]
fn another_user_and_a_program_that_takes_no_keyring_are_kept_out_even_by_a_keys_number() {
    let (uid, store) = (somebody(), KernelStore::new(SERVICE.to_owned()));
    let key = as_user(uid, || {
        join_session();
        store.set(ACCOUNT, &secret("kept")).unwrap();
        assert_eq!(keys_shown(), 1, "its possessor is shown it");
        key(&store)
    });
    for other in [somebody(), uid] {
        as_user(other, || is_kept_out(&store, key));
    }
    as_user(uid, || {
        join_session();
        holds(&store, "kept");
        persistent_keyring().unwrap().clear().unwrap();
    });
}

/// A program in a session of its own tries the key by its number and by its name.
fn is_kept_out(store: &KernelStore, key: Key) {
    confine::join_own_session_keyring().unwrap();
    let denied = Some(KeyError::AccessDenied);
    assert_eq!(key.read_to_vec().err(), denied);
    assert_eq!(key.update(b"other").err(), denied);
    assert_eq!(key.revoke().err(), denied);
    assert_eq!(key.invalidate().err(), denied);
    assert_eq!(key.set_timeout(1).err(), denied);
    assert_eq!(key.metadata().err(), denied);
    let session = KeyRing::from_special_id(KeyRingIdentifier::Session, false).unwrap();
    assert_eq!(session.link_key(key).err(), denied);
    assert_eq!(session.search(&store.description(ACCOUNT)).err(), Some(KeyError::KeyDoesNotExist));
    assert_eq!(keys_shown(), 0);
}

/// The limit that the threat model names: the kernel gives a user's persistent keyring to any
/// program of that user that asks. What it then does to a key is seen.
#[test]
fn a_program_of_the_same_user_that_takes_the_persistent_keyring_reads_and_replaces() {
    as_broker(|uid, store| {
        store.set(ACCOUNT, &secret("kept")).unwrap();
        as_user(uid, || {
            join_session();
            let ring = persistent_keyring().unwrap();
            assert_eq!(key(store).read_to_vec().unwrap(), b"kept");
            ring.add_key(&store.description(ACCOUNT), b"planted").unwrap();
        });
        holds(store, "planted");
        store.set(ACCOUNT, &secret("again")).unwrap();
        holds(store, "again");
    });
}
