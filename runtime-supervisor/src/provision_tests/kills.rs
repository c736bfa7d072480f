//! Killed at any moment, the store holds the verified file or none, and the next pull ends right
//! (contract 8; architecture, promise 6). SIGKILL, to a process of its own that pulls.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::PermissionsExt;
use std::process::Child;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::child::{Disk, Scene};
use super::*;

const TEST: &str =
    "kills::a_kill_at_any_moment_leaves_the_verified_file_or_none_and_the_next_pull_ends_right";
/// Kills while bytes arrive, and as many after the last byte: one connection, then several.
const KILLS: usize = 50;
/// Longest a child may take to get where it is killed.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_kill_at_any_moment_leaves_the_verified_file_or_none_and_the_next_pull_ends_right() {
    child::with_a_child(async {
        for segment in [SEGMENT, SMALL_SEGMENT] {
            let scene = Scene::with(segment);
            let size = scene.world.host.bytes().len();
            for number in 0..KILLS {
                let child = scene.child_after(TEST, kind_of(number), below(size)).await;
                scene.kill(child, below(3_000));
                let stored = scene.holds_the_file_or_none(kind_of(number));
                assert!(!stored, "stored without its last byte");
                scene.next_pull_ends_right(kind_of(number)).await;
            }
            let verifying = scene.time_from_the_last_byte(TEST, kind_of).await;
            let mut stored = 0;
            for number in 0..KILLS {
                let child = scene.child_after(TEST, kind_of(number), size).await;
                scene.kill(child, below(verifying));
                stored += usize::from(scene.holds_the_file_or_none(kind_of(number)));
                scene.next_pull_ends_right(kind_of(number)).await;
            }
            println!(
                "{KILLS} kills before the last byte; {KILLS} within {verifying} µs of it: {stored} left the file"
            );
        }
    });
}

/// Two companions of one user share the store: the second waits, sees how far the first is, and
/// goes on from there when the first one dies.
#[test]
fn a_lock_dies_with_its_holder_and_who_waited_goes_on() {
    child::with_a_child(async {
        let scene = Scene::with(SEGMENT);
        let mut child = scene
            .child_after(
                "kills::a_lock_dies_with_its_holder_and_who_waited_goes_on",
                Kind::Model,
                200_000,
            )
            .await;
        scene.world.host.conducts(Conduct::Serve);
        let store = Arc::new(Store::open(scene.world.dir.path()).unwrap());
        let wanted = Wanted::judge(&scene.world.artifact(), &[AUTHORITY.to_owned()]).unwrap();
        let (shows, mut shown) = watch::channel(0);
        let waiting = tokio::spawn({
            let fetcher = scene.world.fetcher.clone();
            async move {
                let progress = Progress::new(wanted.spec.size(), move |now| {
                    shows.send_replace(now.received);
                });
                provision(&store, &fetcher, &wanted, &progress).await
            }
        });
        let shown = shown.wait_for(|received| *received == 200_000);
        tokio::time::timeout(LIMIT, shown).await.unwrap().unwrap();
        assert!(!waiting.is_finished());
        assert_eq!(scene.world.host.heads().len(), 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(tokio::time::timeout(LIMIT, waiting).await.unwrap().unwrap(), Ok(()));
        assert!(scene.world.host.heads()[1].contains("range: bytes=200000-"));
        assert_eq!(scene.names(), ["X", "X.verified"]);
    });
}

/// A runtime takes one more step into the store than a model.
fn kind_of(number: usize) -> Kind {
    if number.is_multiple_of(2) { Kind::Model } else { Kind::Runtime }
}

/// A random number below this one.
pub(super) fn below(bound: usize) -> usize {
    let number = RandomState::new().hash_one(bound);
    usize::try_from(number % u64::try_from(bound).unwrap()).unwrap()
}

impl Scene {
    /// A child that has been sent so many bytes, and gets no more.
    pub(super) async fn child_after(&self, test: &str, kind: Kind, bytes: usize) -> Child {
        self.world.host.conducts(Conduct::HoldAfter(bytes));
        let mut held = self.world.host.held();
        held.mark_unchanged();
        let child = self.child(test, kind, &Disk::Roomy);
        tokio::time::timeout(LIMIT, held.changed()).await.unwrap().unwrap();
        child
    }

    /// Kills it after so many microseconds.
    pub(super) fn kill(&self, mut child: Child, after: usize) {
        std::thread::sleep(Duration::from_micros(after as u64));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Microseconds in which a child gets from the last byte to its end, and half of that.
    pub(super) async fn time_from_the_last_byte(
        &self,
        test: &str,
        kind_of: fn(usize) -> Kind,
    ) -> usize {
        let mut times = Vec::new();
        for number in 0..6 {
            let child =
                self.child_after(test, kind_of(number), self.world.host.bytes().len()).await;
            let begun = Instant::now();
            let said = child.wait_with_output().unwrap().stdout;
            times.push(begun.elapsed());
            assert!(String::from_utf8(said).unwrap().contains("pulled ok"));
            self.next_pull_ends_right(kind_of(number)).await;
        }
        times.sort_unstable();
        usize::try_from(times[3].as_micros()).unwrap() * 3 / 2
    }

    /// Whether it is the file.
    fn holds_the_file_or_none(&self, kind: Kind) -> bool {
        let (spec, path) = (self.spec(), self.world.dir.path().join(self.name()));
        for name in self.names() {
            let known = ["X", "X.partial", "X.origin", "X.verified", "X.lock"];
            assert!(known.contains(&name.as_str()), "{name}");
        }
        let partial = path.with_extension("partial");
        if let Ok(left) = fs::metadata(&partial) {
            assert_eq!(left.permissions().mode() & 0o777, 0o600, "its owner must be able to go on");
            let (kept, whole) = (fs::read(&partial).unwrap(), self.world.host.bytes());
            assert!(whole.starts_with(&kept), "bytes that never came");
        }
        let store = Store::open(self.world.dir.path()).unwrap();
        let opened = store.open_verified(spec, kind);
        if path.exists() {
            opened.unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
            assert!(fs::read(&path).unwrap() == self.world.host.bytes(), "other bytes");
            return true;
        }
        assert_eq!(opened.unwrap_err(), Reason::NotProvisioned);
        false
    }

    pub(super) async fn next_pull_ends_right(&self, kind: Kind) {
        self.world.host.conducts(Conduct::Serve);
        let store = Arc::new(Store::open(self.world.dir.path()).unwrap());
        let artifact = artifact_of(self.world.host.bytes(), kind);
        let wanted = Wanted::judge(&artifact, &[AUTHORITY.to_owned()]).unwrap();
        let progress = Progress::new(wanted.spec.size(), |_| ());
        let outcome = provision(&store, &self.world.fetcher, &wanted, &progress).await;
        assert_eq!(outcome, Ok(()));
        store.open_runtime(wanted.spec, kind).unwrap();
        match kind {
            Kind::Model | Kind::Runtime => assert_eq!(self.names(), ["X", "X.verified"]),
            Kind::Archive => {
                assert_eq!(self.names(), ["X", "X.files", "X.files.json", "X.verified"]);
            }
        }
        store.remove(wanted.spec.digest()).unwrap();
        assert_eq!(self.names(), Vec::<String>::new());
    }

    pub(super) fn spec(&self) -> runtime_core::Spec {
        Wanted::judge(&self.world.artifact(), &[AUTHORITY.to_owned()]).unwrap().spec
    }

    pub(super) fn name(&self) -> String {
        self.world.artifact().sha256
    }

    /// Names in the store, with X for the digest.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.world.dir.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.replace(&self.name(), "X"))
            .collect();
        names.sort();
        names
    }
}
