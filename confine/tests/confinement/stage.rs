//! The stage on which the probe acts: directories, a listening service, a victim, and sockets to
//! hand over. As root each test plays twice, as root and as an ordinary user.

#[path = "../../examples/probe/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IoSlice};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socket_with, socketpair,
};

use world::World;
pub(crate) use world::file_beneath;

/// The user and group `nobody` of most systems; any number but zero would do.
const ORDINARY: u32 = 65534;

/// Who the probe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Root,
    Ordinary,
}

/// Root and an ordinary user where the tests run as root, else just this user.
pub(crate) fn everybody() -> Vec<Who> {
    if rustix::process::geteuid().is_root() {
        vec![Who::Root, Who::Ordinary]
    } else {
        vec![Who::Ordinary]
    }
}

pub(crate) struct Stage {
    who: Who,
    world: World,
    victim: Child,
    tcp: TcpListener,
    /// Kept listening.
    _services: [UnixListener; 2],
    _directory: tempfile::TempDir,
}

impl Stage {
    #[expect(clippy::disallowed_methods, reason = "listeners of the test, not of the product")]
    pub(crate) fn new(who: Who) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a TCP listener");
        let port = tcp.local_addr().expect("its address").port();
        let mut world = World::new(directory.path().to_owned(), port, 0);
        furnish(&world);
        let services = [
            UnixListener::bind(world.service()).expect("a path socket"),
            UnixListener::bind_addr(
                &SocketAddr::from_abstract_name(world.abstract_name()).expect("a name"),
            )
            .expect("an abstract socket"),
        ];
        give_to(who, directory.path());
        let victim = victim(who, &world.jail());
        world.victim = victim.id().cast_signed();
        Self { who, world, victim, tcp, _services: services, _directory: directory }
    }

    /// What came of each attempt under this policy.
    pub(crate) fn attempts(&self, policy: &str) -> BTreeMap<String, String> {
        let mut probe = self.probe();
        probe.args([
            "attempts",
            policy,
            &self.world.directory.to_string_lossy(),
            &self.world.port.to_string(),
            &self.world.victim.to_string(),
        ]);
        let (mappings, _far_ends) = self.handed_over();
        probe.fd_mappings(mappings).expect("distinct numbers");
        table(&mut probe)
    }

    /// Where the roles' directories lie.
    pub(crate) fn directory(&self) -> &Path {
        &self.world.directory
    }

    /// The probe in another of its modes, with this policy.
    pub(crate) fn probe_as(&self, mode: &str, policy: &str) -> Command {
        let mut probe = self.probe();
        probe.args([mode, policy]).arg(&self.world.directory);
        probe
    }

    /// The probe, from the stage's own copy, which an ordinary user can reach.
    pub(crate) fn probe(&self) -> Command {
        as_user(self.who, &self.world.jail())
    }

    /// Descriptors by the numbers that the probe knows, and what must stay open beside them.
    fn handed_over(&self) -> (Vec<FdMapping>, Vec<OwnedFd>) {
        let unix = || new_socket(AddressFamily::UNIX);
        let tcp = || new_socket(AddressFamily::INET);
        let waiting = self.world.beneath("foreign/waiting.sock");
        let _ = fs::remove_file(&waiting);
        #[expect(clippy::disallowed_methods, reason = "a listener of the test")]
        let listening = UnixListener::bind(&waiting).expect("a path socket");
        let client = UnixStream::connect(&waiting).expect("a waiting client");
        let handed = TcpStream::connect(self.tcp.local_addr().expect("it")).expect("a connection");
        let (near, far) = monitor_pair();
        let numbered = [
            (world::UNIX_FOR_PATH, unix()),
            (world::UNIX_FOR_ABSTRACT, unix()),
            (world::UNIX_FOR_BIND, unix()),
            (world::TCP_FOR_CONNECT, tcp()),
            (world::TCP_FOR_SENDTO, tcp()),
            (world::TCP_FOR_SENDMSG, tcp()),
            (world::TCP_FOR_SENDMMSG, tcp()),
            (world::TCP_FOR_BIND, tcp()),
            (world::TCP_HANDED, handed.into()),
            (world::UNIX_LISTENING, listening.into()),
            (world::MONITOR, near),
            (world::FOREIGN_PROGRAM, opened(&self.world.foreign_program(), OFlags::PATH)),
            (confine::BINARY_DESCRIPTOR, opened(&self.world.stored_program(), OFlags::PATH)),
            (confine::MODEL_DESCRIPTOR, opened(&self.world.beneath("store/model"), OFlags::RDONLY)),
        ];
        let mappings = numbered
            .into_iter()
            .map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd })
            .collect();
        (mappings, vec![client.into(), far])
    }
}

impl Drop for Stage {
    /// The victim ends when its standard input does; reaping it leaves nothing behind.
    fn drop(&mut self) {
        drop(self.victim.stdin.take());
        let _ = self.victim.wait();
    }
}

/// What the probe prints, a name and an outcome a line.
pub(crate) fn table(probe: &mut Command) -> BTreeMap<String, String> {
    let output = probe.output().expect("the probe");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{:?} {text}", output.status);
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, outcome)| (name.to_owned(), outcome.to_owned()))
        .collect()
}

/// Directories of every role, and a foreign one.
fn furnish(world: &World) {
    for name in ["state", "store", "scratch", "bin", "foreign"] {
        fs::create_dir(world.beneath(name)).expect("a directory");
    }
    let open_to_all = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&world.directory, open_to_all.clone()).expect("its mode");
    for program in [world.stored_program(), world.foreign_program()] {
        fs::write(&program, "not a program\n").expect("a file");
        fs::set_permissions(&program, open_to_all.clone()).expect("its mode");
    }
    for copy in [world.jail(), world.beneath("foreign/tool")] {
        copy_program(&built_probe(), &copy);
        fs::set_permissions(&copy, open_to_all.clone()).expect("its mode");
    }
    for file in [world.secret(), world.beneath("store/model")] {
        fs::write(file, "a secret").expect("a file");
    }
}

/// Cargo builds examples before it runs tests, beside them.
fn built_probe() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let target = test.parent().and_then(Path::parent).expect("the target directory");
    let probe = target.join("examples/probe");
    assert!(probe.exists(), "build the example `probe` of this crate first");
    probe
}

/// By another process: a descriptor open for writing here could be inherited by a child that
/// another test forks just then, and the copy could not be executed meanwhile (ETXTBSY).
fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().expect("cp").success());
}

fn give_to(who: Who, directory: &Path) {
    if who == Who::Ordinary && rustix::process::geteuid().is_root() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                give_to(who, &path);
            } else {
                chown(&path, Some(ORDINARY), Some(ORDINARY)).expect("a new owner");
            }
        }
        chown(directory, Some(ORDINARY), Some(ORDINARY)).expect("a new owner");
    }
}

fn as_user(who: Who, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null()).stderr(Stdio::inherit());
    if who == Who::Ordinary && rustix::process::geteuid().is_root() {
        command.uid(ORDINARY).gid(ORDINARY);
    }
    command
}

fn victim(who: Who, program: &Path) -> Child {
    let mut command = as_user(who, program);
    let mut victim = command
        .arg("victim")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a victim");
    assert_eq!(first_line(&mut victim), "ready");
    victim
}

pub(crate) fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let output = child.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

fn opened(path: &Path, flags: OFlags) -> OwnedFd {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).expect("a file")
}

fn new_socket(family: AddressFamily) -> OwnedFd {
    socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket")
}

/// A seqpacket pair; the far end has sent a datagram with a descriptor.
fn monitor_pair() -> (OwnedFd, OwnedFd) {
    let (near, far) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .expect("a pair");
    let handed = File::open("/dev/null").expect("a file");
    let descriptors = [handed.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(&far, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).expect("it is sent");
    (near, far)
}
