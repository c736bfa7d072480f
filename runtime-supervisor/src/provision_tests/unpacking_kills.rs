//! Killed while it unpacks a runtime: what lies there is whole, or a start unpacks it anew.

use std::fs;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::child::Scene;
use super::kills::below;
use super::*;

const TEST: &str =
    "unpacking_kills::a_kill_while_an_archive_is_unpacked_leaves_it_whole_or_to_be_unpacked_anew";
const KILLS: usize = 20;
const PROGRAM: &[u8] = b"as if it were a program";
const LIBRARIES: usize = 20;

/// A release with enough libraries to be killed among them.
pub(super) fn release() -> Vec<u8> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, name, bytes).unwrap();
    };
    add("b1/llama-server", PROGRAM);
    for number in 0..LIBRARIES {
        let bytes: Vec<u8> = (0..5_000).map(|at| (at * (number + 3) % 251) as u8).collect();
        add(&format!("b1/lib{number}.so"), &bytes);
    }
    archive.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_kill_while_an_archive_is_unpacked_leaves_it_whole_or_to_be_unpacked_anew() {
    child::with_a_child(async {
        let scene = Scene::of(World::serving(release()), SEGMENT);
        let size = scene.world.host.bytes().len();
        let unpacking = scene.time_from_the_last_byte(TEST, |_| Kind::Archive).await;
        let mut half = 0;
        for _ in 0..KILLS {
            let child = scene.child_after(TEST, Kind::Archive, size).await;
            scene.kill(child, below(unpacking));
            half += usize::from(scene.names().contains(&"X.unpacking".to_owned()));
            scene.is_whole_or_unpacked_anew();
            scene.next_pull_ends_right(Kind::Archive).await;
        }
        println!(
            "{KILLS} kills within {unpacking} µs of the last byte: {half} left it half unpacked"
        );
    });
}

impl Scene {
    fn is_whole_or_unpacked_anew(&self) {
        let known = ["", ".partial", ".origin", ".verified", ".lock", ".unpacking", ".files"];
        for name in self.names() {
            let ending = name.strip_prefix('X').unwrap();
            assert!(known.contains(&ending) || ending == ".files.json", "{name}");
        }
        let dir = self.world.dir.path();
        let store = Store::open(dir).unwrap();
        let opened = store.open_runtime(self.spec(), Kind::Archive);
        if !dir.join(self.name()).exists() {
            assert_eq!(opened.unwrap_err(), Reason::NotProvisioned);
            return;
        }
        opened.unwrap();
        let files = dir.join(format!("{}.files/b1", self.name()));
        assert_eq!(fs::read_dir(&files).unwrap().count(), LIBRARIES + 1);
        assert_eq!(fs::metadata(files.join("llama-server")).unwrap().len(), PROGRAM.len() as u64);
        assert!(!self.names().contains(&"X.unpacking".to_owned()));
    }
}
