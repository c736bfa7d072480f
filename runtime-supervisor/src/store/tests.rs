//! Promises of the store, in directories of their own; a crash is a value dropped half-way.

mod archive;
mod shared;
mod tamper;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use runtime_core::validate_spec;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;

const BYTES: &[u8] = b"not a model, but bytes that can be verified";

struct World {
    dir: TempDir,
    store: Store,
    spec: Spec,
}

fn world() -> World {
    let dir = tempfile::Builder::new().permissions(mode(0o700)).tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    World { dir, store, spec: spec_of(BYTES) }
}

fn mode(mode: u32) -> fs::Permissions {
    fs::Permissions::from_mode(mode)
}

fn spec_of(bytes: &[u8]) -> Spec {
    validate_spec(&hex::encode(Sha256::digest(bytes)), bytes.len() as u64).unwrap()
}

impl World {
    fn path(&self, ending: &str) -> PathBuf {
        self.dir.path().join(format!("{}{ending}", self.spec.digest().file_name()))
    }

    fn partial(&self) -> Partial {
        let lock = self.store.try_lock(self.spec.digest()).unwrap().unwrap();
        Partial::resume(&self.store, self.spec, lock).unwrap()
    }

    fn provision(&self, kind: Kind) {
        let mut partial = self.partial();
        partial.append(BYTES).unwrap();
        finish(partial, &self.store, kind).unwrap();
    }

    /// Another life of this process on the same directory.
    fn restarted(&self) -> Store {
        Store::open(self.dir.path()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.replace(&self.spec.digest().file_name(), "X"))
            .collect();
        names.sort();
        names
    }

    fn flip_a_bit(&self) {
        let mut bytes = fs::read(self.path("")).unwrap();
        bytes[7] ^= 1;
        fs::write(self.path(""), bytes).unwrap();
    }
}

fn finish(mut partial: Partial, store: &Store, kind: Kind) -> Result<(), Reason> {
    match partial.verify() {
        Ok(bytes) => partial.admit(bytes, store, kind),
        Err(reason) => {
            assert_eq!(partial.received(), 0);
            partial.discard();
            Err(reason)
        }
    }
}

fn open(store: &Store, spec: Spec) -> Result<(), Reason> {
    store.open_verified(spec, Kind::Model).map(|_| ())
}

#[test]
fn a_verified_artifact_can_be_opened_and_nothing_else_lies_beside_it_but_its_record() {
    let world = world();
    world.provision(Kind::Model);
    let opened = world.store.open_verified(world.spec, Kind::Model).unwrap();
    assert_eq!(opened.confirmed.spec(), world.spec);
    let mut read = Vec::new();
    File::from(opened.descriptor).read_to_end(&mut read).unwrap();
    assert_eq!(read, BYTES);
    assert_eq!(world.names(), ["X", "X.verified"]);
    assert_eq!(fs::metadata(world.path("")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(world.store.list().unwrap(), [world.spec.digest()]);
}

#[test]
fn a_verified_runtime_is_execute_only_and_can_be_verified_anew() {
    let world = world();
    world.provision(Kind::Runtime);
    assert_eq!(fs::metadata(world.path("")).unwrap().permissions().mode() & 0o777, 0o111);
    world.store.open_verified(world.spec, Kind::Runtime).unwrap();
    fs::remove_file(world.path(".verified")).unwrap();
    world.restarted().open_verified(world.spec, Kind::Runtime).unwrap();
    assert_eq!(fs::metadata(world.path("")).unwrap().permissions().mode() & 0o777, 0o111);
}

#[test]
fn a_download_that_was_interrupted_is_resumed_and_its_bytes_are_hashed_again() {
    let world = world();
    let mut partial = world.partial();
    partial.append(&BYTES[..10]).unwrap();
    drop(partial);
    assert_eq!(world.store.list().unwrap(), []);
    assert_eq!(open(&world.store, world.spec), Err(Reason::NotProvisioned));
    assert_eq!(world.store.partial_bytes(world.spec), 10);

    let mut partial = world.partial();
    assert_eq!(partial.received(), 10);
    partial.append(&BYTES[10..]).unwrap();
    finish(partial, &world.store, Kind::Model).unwrap();
    assert_eq!(open(&world.store, world.spec), Ok(()));
}

#[test]
fn a_partial_file_that_was_tampered_with_fails_verification_and_is_deleted() {
    let world = world();
    let mut partial = world.partial();
    partial.append(&BYTES[..10]).unwrap();
    drop(partial);
    fs::write(world.path(".partial"), b"other byte").unwrap();
    let mut partial = world.partial();
    partial.append(&BYTES[10..]).unwrap();
    let refused = finish(partial, &world.store, Kind::Model).unwrap_err();
    assert_eq!(refused, Reason::DigestMismatch);
    assert_eq!(world.names(), Vec::<String>::new());
}

#[test]
fn too_few_bytes_are_not_admitted_and_are_deleted() {
    let world = world();
    let mut partial = world.partial();
    partial.append(&BYTES[1..]).unwrap();
    let refused = finish(partial, &world.store, Kind::Model).unwrap_err();
    assert_eq!(refused, Reason::SizeMismatch);
    assert_eq!(world.names(), Vec::<String>::new());
}

/// A kill between the last acts leaves what its owner can open: only root can write 0111.
#[test]
fn a_runtime_has_its_name_in_the_store_before_it_is_execute_only() {
    let world = world();
    fs::create_dir(world.path("")).unwrap();
    let mut partial = world.partial();
    partial.append(BYTES).unwrap();
    let refused = finish(partial, &world.store, Kind::Runtime).unwrap_err();
    assert_eq!(refused, Reason::StoreUnavailable);
    let left = fs::metadata(world.path(".partial")).unwrap();
    assert_eq!((left.permissions().mode() & 0o777, left.len()), (0o600, BYTES.len() as u64));
}

#[test]
fn a_partial_file_longer_than_the_artifact_is_begun_anew() {
    let world = world();
    fs::write(world.path(".partial"), vec![0; BYTES.len() + 1]).unwrap();
    assert_eq!(world.partial().received(), 0);
    assert_eq!(world.store.partial_bytes(world.spec), 0);
}

/// Killed after the rename, before the record: the bytes vouch for themselves.
#[test]
fn without_a_record_or_with_a_torn_one_the_bytes_are_hashed_at_the_next_start() {
    for torn in [None, Some(&b"{\"sha256\":\""[..]), Some(b"")] {
        let world = world();
        world.provision(Kind::Model);
        match torn {
            None => fs::remove_file(world.path(".verified")).unwrap(),
            Some(text) => fs::write(world.path(".verified"), text).unwrap(),
        }
        assert_eq!(open(&world.restarted(), world.spec), Ok(()));
        assert_eq!(world.names(), ["X", "X.verified"]);

        fs::remove_file(world.path(".verified")).unwrap();
        world.flip_a_bit();
        assert_eq!(open(&world.restarted(), world.spec), Err(Reason::DigestMismatch));
        assert_eq!(world.names(), Vec::<String>::new());
    }
}

/// Contract 8: at spawn the identity of the file is compared with the verified one.
#[test]
fn one_flipped_bit_in_the_store_is_a_digest_mismatch() {
    let world = world();
    world.provision(Kind::Model);
    world.flip_a_bit();
    assert_eq!(open(&world.store, world.spec), Err(Reason::DigestMismatch));
    assert_eq!(open(&world.store, world.spec), Err(Reason::DigestMismatch));
    assert!(!world.store.is_known_and_unchanged(world.spec, Kind::Model));
    assert_eq!(open(&world.restarted(), world.spec), Err(Reason::DigestMismatch));
    assert_eq!(world.names(), Vec::<String>::new());
}

#[test]
fn another_file_of_the_same_bytes_is_a_digest_mismatch_until_verified_anew() {
    let world = world();
    world.provision(Kind::Model);
    let copy = world.path(".copy");
    fs::write(&copy, BYTES).unwrap();
    fs::rename(copy, world.path("")).unwrap();
    assert_eq!(open(&world.store, world.spec), Err(Reason::DigestMismatch));
    let lock = world.store.try_lock(world.spec.digest()).unwrap().unwrap();
    assert!(world.store.verify_anew(world.spec, Kind::Model, &lock).unwrap().is_some());
    assert_eq!(open(&world.store, world.spec), Ok(()));
}

#[test]
fn a_link_or_a_directory_in_an_artifacts_place_is_refused() {
    let world = world();
    let elsewhere = world.dir.path().join("elsewhere");
    fs::write(&elsewhere, BYTES).unwrap();
    symlink(&elsewhere, world.path("")).unwrap();
    assert_eq!(open(&world.store, world.spec), Err(Reason::StoreUnavailable));
    symlink(&elsewhere, world.path(".partial")).unwrap();
    let lock = world.store.try_lock(world.spec.digest()).unwrap().unwrap();
    let refused = Partial::resume(&world.store, world.spec, lock).unwrap_err();
    assert_eq!(refused, Reason::StoreUnavailable);
    fs::remove_file(world.path("")).unwrap();
    fs::create_dir(world.path("")).unwrap();
    assert_eq!(open(&world.store, world.spec), Err(Reason::StoreUnavailable));
}

#[test]
fn a_store_that_others_can_enter_or_that_is_a_link_is_refused() {
    let world = world();
    let beside = tempfile::tempdir().unwrap();
    let link = beside.path().join("link");
    symlink(world.dir.path(), &link).unwrap();
    assert!(Store::open(&link).is_err());
    for open_to_others in [0o755, 0o710, 0o701] {
        fs::set_permissions(world.dir.path(), mode(open_to_others)).unwrap();
        assert_eq!(Store::open(world.dir.path()).unwrap_err(), Reason::StoreUnavailable);
    }
    fs::set_permissions(world.dir.path(), mode(0o700)).unwrap();
    assert!(Store::open(&world.dir.path().join("missing")).is_err());
}

#[test]
fn removing_frees_everything_of_an_artifact_and_not_during_a_download() {
    let world = world();
    world.provision(Kind::Runtime);
    let lock = world.store.try_lock(world.spec.digest()).unwrap().unwrap();
    assert_eq!(world.store.remove(world.spec.digest()), Err(Reason::InUse));
    drop(lock);
    assert!(world.store.remove(world.spec.digest()).unwrap() >= BYTES.len() as u64);
    assert_eq!(world.names(), Vec::<String>::new());
    assert_eq!(world.store.remove(world.spec.digest()), Err(Reason::NotProvisioned));
    assert_eq!(open(&world.store, world.spec), Err(Reason::NotProvisioned));
}

#[test]
fn old_partial_files_and_side_files_of_nothing_are_collected_and_nothing_else() {
    let world = world();
    let (day, now) = (Duration::from_secs(86_400), SystemTime::now());
    let write = |name: &str, days: u32| {
        let file = File::create(world.dir.path().join(name)).unwrap();
        file.set_len(1000).unwrap();
        file.set_modified(now - day * days).unwrap();
    };
    world.provision(Kind::Model);
    let [old, young, held, orphan] = ["a", "b", "c", "d"].map(|c| c.repeat(64));
    for (digest, days) in [(&old, 8), (&young, 6), (&held, 8)] {
        write(&format!("{digest}.partial"), days);
        write(&format!("{digest}.origin"), days);
    }
    for ending in ["verified", "origin", "lock"] {
        write(&format!("{orphan}.{ending}"), 0);
    }
    let foreign = ["notes.partial", "README", "e.lock"];
    foreign.iter().for_each(|name| write(name, 30));
    let lock = world.store.try_lock(Digest::parse(&held).unwrap()).unwrap().unwrap();

    assert_eq!(world.store.collect_garbage(now), Ok(1000));
    let kept = [
        "README".to_owned(),
        "X".to_owned(),
        "X.verified".to_owned(),
        format!("{young}.origin"),
        format!("{young}.partial"),
        format!("{held}.lock"),
        format!("{held}.origin"),
        format!("{held}.partial"),
        "e.lock".to_owned(),
        "notes.partial".to_owned(),
    ];
    assert_eq!(world.names(), kept);
    // Its clock is set back a year: what is written in a time to come is young.
    drop(lock);
    assert_eq!(world.store.collect_garbage(now - day * 365), Ok(0));
    assert_eq!(world.store.collect_garbage(now + day * 2), Ok(2000));
}
