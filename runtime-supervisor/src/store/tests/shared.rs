//! Several companions of one user, and several uses within one, share the store.

use super::*;

/// Two companions, or two pulls, of one artifact: one works, the other waits.
#[tokio::test]
async fn one_digest_has_one_writer_over_every_process_that_shares_the_store() {
    let world = world();
    let other = world.restarted();
    let digest = world.spec.digest();
    let held = world.store.lock(digest).await.unwrap();
    assert!(other.try_lock(digest).unwrap().is_none());
    assert!(other.try_lock(spec_of(b"another").digest()).unwrap().is_some());
    let waiting = tokio::spawn(async move { other.lock(digest).await.map(|_| ()) });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(held);
    waiting.await.unwrap().unwrap();
    assert_eq!(world.names(), Vec::<String>::new());
}

/// Contract 9: never remove what runs.
#[test]
fn what_one_companion_runs_no_other_removes() {
    let world = world();
    let (other, digest) = (world.restarted(), world.spec.digest());
    world.provision(Kind::Model);
    let (first, second) = (world.store.use_of(digest).unwrap(), other.use_of(digest).unwrap());
    for store in [&world.store, &other] {
        assert_eq!(store.remove(digest), Err(Reason::InUse));
    }
    drop(first);
    assert_eq!(world.store.remove(digest), Err(Reason::InUse), "the second still runs it");
    assert_eq!(world.names(), ["X", "X.used", "X.verified"]);
    drop(second);
    assert_eq!(world.names(), ["X", "X.verified"]);
    world.store.remove(digest).unwrap();
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn a_file_that_fails_when_a_person_asks_is_deleted_unless_it_runs_and_never_started_from() {
    let world = world();
    let verify = || world.store.verify_stored(world.spec, Kind::Model);
    assert_eq!(verify(), Err(Reason::NotProvisioned));
    world.provision(Kind::Model);
    assert_eq!(verify(), Ok(()));
    let lock = world.store.try_lock(world.spec.digest()).unwrap();
    assert_eq!(verify(), Err(Reason::InUse));
    drop(lock);

    let in_use = world.restarted().use_of(world.spec.digest()).unwrap();
    assert_eq!(verify(), Ok(()));
    world.flip_a_bit();
    assert_eq!(verify(), Err(Reason::DigestMismatch));
    assert_eq!(world.names(), ["X", "X.used"]);
    assert_eq!(open(&world.store, world.spec), Err(Reason::DigestMismatch));
    drop(in_use);
    assert_eq!(open(&world.store, world.spec), Err(Reason::DigestMismatch));
    assert_eq!(world.names(), Vec::<String>::new());

    world.provision(Kind::Model);
    world.flip_a_bit();
    assert_eq!(verify(), Err(Reason::DigestMismatch));
    assert_eq!(world.names(), Vec::<String>::new());
}

#[test]
fn a_marker_that_its_holder_left_behind_keeps_nobody_from_anything() {
    let world = world();
    world.provision(Kind::Model);
    fs::write(world.path(".used"), "").unwrap();
    world.store.collect_garbage(SystemTime::now()).unwrap();
    assert_eq!(world.names(), ["X", "X.verified"]);
    fs::write(world.path(".used"), "").unwrap();
    world.store.remove(world.spec.digest()).unwrap();
    assert_eq!(world.names(), [""; 0]);
}
