//! What a power cut leaves (contract 8): bytes are on the disk before they get a name in the store,
//! and the name is before anybody hears of it. No test cuts the power, and a kill loses nothing that
//! was written: what is looked at is the order of the system calls, traced from outside.

use super::child::{Disk, Scene};
use super::unpacking_kills::release;
use super::*;

const FILE: [&str; 3] = ["its bytes", "its name", "the store"];
const UNPACKED: [&str; 3] = ["the unpacked files", "their name", "the store"];

#[test]
fn bytes_are_on_the_disk_before_their_name_and_the_name_before_the_pull_ends() {
    child::with_a_child(async {
        for (kind, then) in
            [(Kind::Model, &[][..]), (Kind::Runtime, &[]), (Kind::Archive, &UNPACKED)]
        {
            let scene = Scene::of(World::serving(release()), SEGMENT);
            let traces = tempfile::tempdir().unwrap();
            let trace = traces.path().join("trace");
            let test =
                "synced::bytes_are_on_the_disk_before_their_name_and_the_name_before_the_pull_ends";
            let said = child::said(scene.child(test, kind, &Disk::Traced(trace.clone())));
            assert!(said.contains("pulled ok"), "{said}");
            let trace = std::fs::read_to_string(trace).unwrap();
            let mut acts: Vec<_> =
                trace.lines().filter_map(|call| scene.world.act_of(call)).collect();
            acts.dedup();
            assert_eq!(acts, [&FILE[..], then, &["the end is told"]].concat(), "{kind:?} {trace}");
        }
    });
}

impl World {
    /// What a traced call puts on the disk, names, or tells.
    fn act_of(&self, call: &str) -> Option<&'static str> {
        let store = self.dir.path().display();
        let digest = self.artifact().sha256;
        let (_, call) = call.split_once(' ')?;
        let call = call.trim_start();
        let is = |name: &str| call.starts_with(name);
        if is("write(1<") && call.contains("pulled ok") {
            return Some("the end is told");
        }
        let is_sync = is("fsync(") || is("fdatasync(");
        let acts = [
            (is_sync, format!("<{store}/{digest}.partial>"), "its bytes"),
            (is_sync, format!("<{store}/{digest}.unpacking/"), "the unpacked files"),
            (is_sync, format!("<{store}>"), "the store"),
            (is("rename"), format!("\"{digest}\""), "its name"),
            (is("rename"), format!("\"{digest}.files\""), "their name"),
        ];
        acts.into_iter().find(|(is, place, _)| *is && call.contains(place)).map(|it| it.2)
    }
}
