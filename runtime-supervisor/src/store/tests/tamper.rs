//! Whatever is done to a verified file before the spawn, the spawn sees it (contract 8, Pf).

use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

type Tamper = (&'static str, fn(&World));

/// Each leaves a file of the right size, the right bytes, or the right inode where it can.
const TAMPERS: [Tamper; 8] = [
    ("edited in place, its times put back", |world| {
        let path = world.path("");
        let before = fs::metadata(&path).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[BYTES[7] ^ 1], 7).unwrap();
        file.set_times(
            fs::FileTimes::new()
                .set_accessed(before.accessed().unwrap())
                .set_modified(before.modified().unwrap()),
        )
        .unwrap();
    }),
    ("swapped for another of its size", |world| {
        fs::write(world.path(".other"), vec![1; BYTES.len()]).unwrap();
        fs::rename(world.path(".other"), world.path("")).unwrap();
    }),
    ("swapped for a copy", |world| {
        fs::copy(world.path(""), world.path(".other")).unwrap();
        fs::rename(world.path(".other"), world.path("")).unwrap();
    }),
    ("truncated", |world| {
        let file = fs::OpenOptions::new().write(true).open(world.path("")).unwrap();
        file.set_len(BYTES.len() as u64 - 1).unwrap();
    }),
    ("truncated and filled again", |world| fs::write(world.path(""), BYTES).unwrap()),
    ("grown", |world| {
        let file = fs::OpenOptions::new().append(true).open(world.path("")).unwrap();
        file.set_len(BYTES.len() as u64 + 1).unwrap();
    }),
    ("given a second name, by which it can be written", |world| {
        fs::hard_link(world.path(""), world.path(".other")).unwrap();
    }),
    ("moved away, a link to it in its place", |world| {
        fs::rename(world.path(""), world.path(".other")).unwrap();
        symlink(world.path(".other"), world.path("")).unwrap();
    }),
];

#[test]
fn every_change_between_verification_and_spawn_is_caught() {
    for kind in [Kind::Model, Kind::Runtime] {
        for (what, tamper) in TAMPERS {
            let world = world();
            world.provision(kind);
            world.store.open_verified(world.spec, kind).unwrap();
            if !rustix::process::geteuid().is_root() {
                // Root writes to what it likes; anybody else makes a runtime writable first.
                fs::set_permissions(world.path(""), mode(0o600)).unwrap();
            }
            tamper(&world);
            let refused = world.store.open_verified(world.spec, kind).unwrap_err();
            let is_link = what.contains("a link to it");
            let expected = if is_link { Reason::StoreUnavailable } else { Reason::DigestMismatch };
            assert_eq!(refused, expected, "{kind:?} {what}");
            // Nor does a fresh process take it for verified without reading it: only the right
            // bytes pass.
            let bytes_hold = fs::read(world.path("")).unwrap() == BYTES && !is_link;
            let opened = world.restarted().open_verified(world.spec, kind);
            assert_eq!(opened.is_ok(), bytes_hold, "{kind:?} {what}");
        }
    }
}

/// The very bytes that were there: what is written behind the reader's back might be others.
#[test]
fn a_file_that_somebody_writes_to_while_it_is_verified_is_not_taken_for_verified() {
    let bytes = vec![0; 32 << 20];
    let world = World { spec: spec_of(&bytes), ..world() };
    fs::write(world.path(""), &bytes).unwrap();
    let file = fs::OpenOptions::new().write(true).open(world.path("")).unwrap();
    let (is_done, begun) = (AtomicBool::new(false), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            while !is_done.load(Ordering::SeqCst) {
                file.write_all_at(&[0], 0).unwrap();
            }
        });
        begun.wait();
        let opened = world.store.open_verified(world.spec, Kind::Model).map(|_| ());
        is_done.store(true, Ordering::SeqCst);
        assert_eq!(opened, Err(Reason::DigestMismatch));
    });
    assert_eq!(world.names(), [""; 0]);
    fs::write(world.path(""), &bytes).unwrap();
    world.store.open_verified(world.spec, Kind::Model).unwrap();
}
