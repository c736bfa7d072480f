//! A disk that is full, read-only or gone: a clear reason, and the store as it was.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use super::child::{Disk, Scene};
use super::watching::{outcome_of, sees, watched};
use super::*;

#[tokio::test]
async fn more_than_the_disk_holds_is_refused_before_the_first_byte() {
    let world = World::new();
    let artifact = v1::Artifact { size_bytes: u64::MAX / 2, ..world.artifact() };
    assert_eq!(world.pull_as(&artifact).await.0, Err(Reason::DiskFull));
    assert_eq!(world.host.heads(), Vec::<String>::new());
    assert_eq!(world.files(), 0);
}

/// A person who runs out of space frees some, and goes on from there.
#[test]
fn a_full_disk_keeps_what_came_and_the_next_pull_goes_on() {
    child::with_a_child(async {
        for segment in [SEGMENT, SMALL_SEGMENT] {
            let scene = Scene::with(segment);
            let test = "disk::a_full_disk_keeps_what_came_and_the_next_pull_goes_on";
            let said = child::said(scene.child(test, Kind::Model, &Disk::Blocks(400)));
            assert!(said.contains("pulled disk_full"), "{said}");
            assert_eq!(scene.world.store.list().unwrap(), []);
            let (outcome, progress) = scene.world.pull().await;
            assert_eq!((outcome, progress[0]), (Ok(()), 400 * 512));
        }
    });
}

/// A file system with room for the file when it is looked at, until somebody else takes the rest:
/// the kernel says so itself (ENOSPC).
#[test]
fn a_disk_that_another_program_fills_meanwhile_is_told_to_be_full() {
    child::with_a_child(async {
        let scene = Scene::with(SEGMENT);
        let world = &scene.world;
        world.host.conducts(Conduct::HoldAfter(200_000));
        let test = "disk::a_disk_that_another_program_fills_meanwhile_is_told_to_be_full";
        let child = scene.child(test, Kind::Model, &Disk::Of(1 << 20));
        world.host.has_held(1).await;
        let its_store = format!("/proc/{}/root{}", child.id(), world.dir.path().display());
        let mut other = File::create(Path::new(&its_store).join("other")).unwrap();
        let full = std::io::copy(&mut std::io::repeat(7), &mut other).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        world.host.release(0);
        let said = child::said(child);
        assert!(said.contains("pulled disk_full"), "{said}");
    });
}

/// A mount that nothing can be written to, in a mount namespace of the child's own.
#[test]
fn a_read_only_store_is_said_to_be_unavailable_and_stays_as_it_is() {
    child::with_a_child(async {
        let scene = Scene::with(SEGMENT);
        let world = &scene.world;
        world.is_refused(Conduct::CutAfter(200_000), Reason::DownloadTruncated).await;
        let before = world.held_bytes();
        let test = "disk::a_read_only_store_is_said_to_be_unavailable_and_stays_as_it_is";
        let said = child::said(scene.child(test, Kind::Model, &Disk::ReadOnly));
        assert!(said.contains("pulled store_unavailable"), "{said}");
        assert_eq!(world.held_bytes(), before);
        assert_eq!(world.host.heads().len(), 1, "nothing is asked for that cannot be kept");
        world.host.conducts(Conduct::Serve);
        let (outcome, progress) = world.pull().await;
        assert_eq!((outcome, progress[0]), (Ok(()), 200_000));
    });
}

#[tokio::test]
async fn a_directory_that_vanishes_during_a_download_is_unavailable_and_not_made_anew() {
    let world = World::new();
    world.host.conducts(Conduct::HoldAfter(200_000));
    let mut watcher = watched(&world);
    sees(&mut watcher, 200_000).await;
    std::fs::remove_dir_all(world.dir.path()).unwrap();
    world.host.release(0);
    assert_eq!(outcome_of(watcher).await, Err(Reason::StoreUnavailable));

    // Nor is another directory taken for it that somebody makes in its place.
    for _ in 0..2 {
        assert_eq!(world.pull().await.0, Err(Reason::StoreUnavailable));
        assert_eq!(world.store.list(), Err(Reason::StoreUnavailable));
        let spec = Wanted::judge(&world.artifact(), &[AUTHORITY.to_owned()]).unwrap().spec;
        let opened = world.store.open_verified(spec, Kind::Model).map(|_| ());
        assert_eq!(opened, Err(Reason::StoreUnavailable));
        let _ = std::fs::create_dir(world.dir.path());
        assert_eq!(world.files(), 0);
    }
    assert_eq!(world.host.heads().len(), 1);
}

impl World {
    /// Every file of the store with its bytes.
    fn held_bytes(&self) -> Vec<(std::ffi::OsString, Vec<u8>)> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap().map(Result::unwrap);
        let mut held: Vec<_> =
            entries.map(|it| (it.file_name(), std::fs::read(it.path()).unwrap())).collect();
        held.sort();
        held
    }
}
