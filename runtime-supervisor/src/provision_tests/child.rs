//! A pull in a process of its own, which can be killed, or kept from writing: the test starts
//! its own program again, told by the environment to pull and do nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

use super::World;
use super::host::{AUTHORITY, artifact_of, dialling, trusting};
use crate::progress::Progress;
use crate::provision::{Wanted, provision};
use crate::store::{Kind, Store};

/// Tells the child what to do: address of the host, the store, a directory with the host's
/// certificate and the bytes, the kind of the file, and the bytes of a segment.
const ORDER: &str = "COMPANION_TEST_PULL";

/// The disk as the child finds it.
pub(super) enum Disk {
    Roomy,
    /// Every file that it writes is bounded to so many blocks of 512 bytes.
    Blocks(u32),
    /// The store cannot be written to. As an ordinary user that takes a user namespace.
    ReadOnly,
    /// The store is a file system of its own, of so many bytes; the same goes for that.
    Of(u32),
    /// With the system calls that matter for what is on it noted in this file.
    Traced(PathBuf),
}

impl Disk {
    /// A shell script that gives the child such a disk; its arguments are the store and the child.
    fn script(&self) -> String {
        match self {
            Self::Roomy => "shift; exec \"$@\"".to_owned(),
            Self::Blocks(blocks) => {
                format!("trap '' XFSZ; ulimit -f {blocks}; shift; exec \"$@\"")
            }
            Self::ReadOnly => {
                mounted("mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"")
            }
            Self::Of(bytes) => {
                mounted(&format!("mount -t tmpfs -o size={bytes},mode=700 store \"$0\""))
            }
            Self::Traced(file) => {
                let calls = "trace=fsync,fdatasync,rename,renameat,renameat2,write";
                format!("shift; exec strace -f -y -e {calls} -o '{}' \"$@\"", file.display())
            }
        }
    }
}

/// In a mount namespace of the child's own.
fn mounted(mount: &str) -> String {
    let user = if rustix::process::geteuid().is_root() { "" } else { "-r" };
    format!("exec unshare -m {user} sh -c '{mount} && exec \"$@\"' \"$@\"")
}

/// Runs a test that starts its own program again; there, pulls instead.
pub(super) fn with_a_child(test: impl Future<Output = ()>) {
    if !took_over() {
        let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        executor.block_on(test);
    }
}

/// A world whose store a child can pull into.
pub(super) struct Scene {
    pub(super) world: World,
    facts: TempDir,
    segment: u64,
}

impl Scene {
    pub(super) fn with(segment: u64) -> Self {
        Self::of(World::in_segments_of(segment), segment)
    }

    pub(super) fn of(world: World, segment: u64) -> Self {
        let facts = tempfile::tempdir().unwrap();
        world.host.describe_in(facts.path());
        Self { world, facts, segment }
    }

    /// Starts the test of this name as a child that pulls.
    pub(super) fn child(&self, test: &str, kind: Kind, disk: &Disk) -> Child {
        let (address, store) = (self.world.host.address, self.world.dir.path());
        let (facts, segment) = (self.facts.path().display(), self.segment);
        Command::new("sh")
            .args(["-c", &disk.script(), "sh"])
            .arg(store)
            .arg(std::env::current_exe().unwrap())
            .args([&format!("provision_tests::{test}"), "--exact", "--nocapture"])
            .env(ORDER, format!("{address} {} {facts} {kind:?} {segment}", store.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// What a child said, to its end.
pub(super) fn said(child: Child) -> String {
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

/// In a child: pulls, and prints `pulled REASON`.
fn took_over() -> bool {
    let Ok(order) = std::env::var(ORDER) else { return false };
    let mut words = order.split(' ');
    let mut word = || words.next().unwrap();
    let address: SocketAddr = word().parse().unwrap();
    let (store, facts) = (PathBuf::from(word()), PathBuf::from(word()));
    let kind = match word() {
        "Model" => Kind::Model,
        "Runtime" => Kind::Runtime,
        "Archive" => Kind::Archive,
        other => panic!("{other}"),
    };
    let segment = word().parse().unwrap();
    let certificate = CertificateDer::from(std::fs::read(facts.join("certificate")).unwrap());
    let artifact = artifact_of(&std::fs::read(facts.join("bytes")).unwrap(), kind);
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = executor.block_on(async {
        let store = Arc::new(Store::open(&store).unwrap());
        let fetcher = dialling(address, trusting(&certificate)).in_segments_of(segment);
        let wanted = Wanted::judge(&artifact, &[AUTHORITY.to_owned()]).unwrap();
        let progress = Progress::new(wanted.spec.size(), |_| ());
        println!("begins");
        provision(&store, &fetcher, &wanted, &progress).await
    });
    println!("pulled {}", outcome.map_or_else(|reason| reason.as_str(), |()| "ok"));
    true
}
