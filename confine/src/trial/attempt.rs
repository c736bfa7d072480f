//! The attempts, each with who may.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socket_with, socketpair};
use rustix::process::{DumpableBehavior, Resource, getrlimit, test_kill_process};

use super::Tried::{self, Broker, Frontdoor, Launcher, Runtime, Supervisor};
use super::{Aims, raw};

pub(super) type Act = fn(&Aims) -> Result<(), Errno>;

pub(super) struct Attempt {
    pub(super) what: &'static str,
    /// None: it says nothing about this role.
    pub(super) may: fn(Tried) -> Option<bool>,
    pub(super) act: Act,
}

const fn attempt(what: &'static str, may: fn(Tried) -> Option<bool>, act: Act) -> Attempt {
    Attempt { what, may, act }
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("connect to a socket by its path", launcher_alone, |_| raw::connect_by_path(pair()?)),
    attempt("connect a handed socket by MSG_FASTOPEN", launcher_alone, |_| {
        let flags = SendFlags::from_bits_retain(MSG_FASTOPEN) | SendFlags::NOSIGNAL;
        rustix::net::send(pair()?, b"x", flags).map(drop)
    }),
    attempt("make an internet socket", launcher_alone, |_| {
        socket(AddressFamily::INET, SocketType::STREAM)
    }),
    attempt("make a netlink socket", launcher_alone, |_| {
        socket(AddressFamily::NETLINK, SocketType::RAW)
    }),
    attempt("make a Unix datagram socket", launcher_alone, |_| {
        socket(AddressFamily::UNIX, SocketType::DGRAM)
    }),
    attempt("make a Unix datagram pair", launcher_alone, |_| {
        socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).map(drop)
    }),
    attempt("make a Unix stream socket", runtime_and_its_parents, |_| {
        socket(AddressFamily::UNIX, SocketType::STREAM)
    }),
    attempt("read a file of the machine", launcher_alone, |_| open(Path::new("/etc/passwd"))),
    attempt("list the root directory", launcher_alone, |_| list(Path::new("/"))),
    attempt("read its own /proc files", launcher_alone, |_| open(Path::new("/proc/self/status"))),
    // Not TMPDIR: the runtime has one of its own.
    attempt("write a foreign directory", launcher_alone, |_| make_and_remove(Path::new("/tmp"))),
    attempt("write its own directory", has_a_directory, |aims| {
        aims.own_directory.as_deref().map_or(Ok(()), make_and_remove)
    }),
    attempt("read the processor's facts", runtime_and_its_parents, |_| {
        open(Path::new("/proc/cpuinfo"))
    }),
    attempt("execute a foreign file", nobody_but_the_launcher, |aims| {
        raw::execute(&aims.no_program)
    }),
    attempt("start a process", starts_processes, |_| raw::clone_badly()),
    attempt("signal the process above it", launcher_alone, |_| signal_parent()),
    attempt("trace another process", nobody_but_the_launcher, |_| raw::trace_nobody()),
    attempt("read another process's memory", nobody_but_the_launcher, |_| raw::read_nobody()),
    attempt("use the kernel's keyrings", keyrings, |_| raw::keyctl_badly()),
    attempt("set up an io_uring", nobody_but_the_launcher, |_| raw::ring_badly()),
    attempt("load a kernel program", nobody_but_the_launcher, |_| raw::bpf_badly()),
    attempt("leave its namespaces", nobody_but_the_launcher, |_| raw::unshare_badly()),
    attempt("mount a file system", nobody_but_the_launcher, |_| raw::mount_badly()),
    attempt("watch foreign files", nobody_but_the_launcher, |_| raw::watch_badly()),
    attempt(CAPABILITY, nobody_but_the_launcher, |_| none_if(has_no_capability())),
    attempt(CORE, never, |_| none_if(getrlimit(Resource::Core).maximum == Some(0))),
    attempt(PRIVILEGES, never, |_| none_if(rustix::thread::no_new_privs() == Ok(true))),
    attempt(READABLE, the_three, |_| {
        none_if(rustix::process::dumpable_behavior() == Ok(DumpableBehavior::NotDumpable))
    }),
];

// States that the process is in, rather than calls that it makes.
const CAPABILITY: &str = "hold a capability";
const CORE: &str = "leave a core file";
const PRIVILEGES: &str = "gain privileges by exec";
const READABLE: &str = "be read by this user's debuggers";

/// linux/socket.h
const MSG_FASTOPEN: u32 = libc::MSG_FASTOPEN.cast_unsigned();

#[cfg(test)]
pub(super) fn is_a_state(what: &str) -> bool {
    [CAPABILITY, CORE, PRIVILEGES, READABLE].contains(&what)
}

fn launcher_alone(who: Tried) -> Option<bool> {
    Some(who == Launcher)
}

/// What the launcher could do is its user's business and says nothing.
fn nobody_but_the_launcher(who: Tried) -> Option<bool> {
    (who != Launcher).then_some(false)
}

fn never(_: Tried) -> Option<bool> {
    Some(false)
}

/// A runtime is kept execute-only and so becomes non-dumpable at its exec; the probe in its place
/// is a readable program, and says nothing about that.
fn the_three(who: Tried) -> Option<bool> {
    match who {
        Broker { .. } | Supervisor | Frontdoor => Some(false),
        Launcher | Runtime => None,
    }
}

fn runtime_and_its_parents(who: Tried) -> Option<bool> {
    Some(matches!(who, Launcher | Supervisor | Runtime))
}

fn starts_processes(who: Tried) -> Option<bool> {
    Some(matches!(who, Launcher | Supervisor))
}

fn keyrings(who: Tried) -> Option<bool> {
    match who {
        Launcher => None,
        Broker { kernel_keyring } => Some(kernel_keyring),
        Supervisor | Frontdoor | Runtime => Some(false),
    }
}

/// The front door has no directory, and so nothing to try.
fn has_a_directory(who: Tried) -> Option<bool> {
    match who {
        Broker { .. } | Supervisor | Runtime => Some(true),
        Launcher | Frontdoor => None,
    }
}

fn pair() -> Result<std::os::fd::OwnedFd, Errno> {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map(|(end, _other)| end)
}

fn socket(family: AddressFamily, kind: SocketType) -> Result<(), Errno> {
    socket_with(family, kind, SocketFlags::CLOEXEC, None).map(drop)
}

fn open(path: &Path) -> Result<(), Errno> {
    File::open(path).map(drop).map_err(errno)
}

fn list(path: &Path) -> Result<(), Errno> {
    fs::read_dir(path).map(drop).map_err(errno)
}

/// A new file, removed at once; another's of the same name is left alone.
fn make_and_remove(directory: &Path) -> Result<(), Errno> {
    let path = directory.join(format!("companion-attempt-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&path).map_err(errno)?;
    fs::remove_file(&path).map_err(errno)
}

/// The launcher's own parent is none of its business: it tries itself.
fn signal_parent() -> Result<(), Errno> {
    match rustix::process::getppid() {
        Some(parent) => test_kill_process(parent),
        None => test_kill_process(rustix::process::getpid()),
    }
}

fn has_no_capability() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.is_empty() && sets.permitted.is_empty())
}

/// A state that keeps something from happening counts as its refusal.
fn none_if(kept: bool) -> Result<(), Errno> {
    if kept { Err(Errno::PERM) } else { Ok(()) }
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
