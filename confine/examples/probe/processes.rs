//! Attempts at other processes and at becoming another program.

use std::ffi::{CStr, CString};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use confine::BINARY_DESCRIPTOR;

use crate::Attempt;
use crate::kernel::{address_of, address_of_mut, attempt, c_string, call, open};
use crate::world::{FOREIGN_PROGRAM, World};

const NOTHING: usize = usize::MAX;

pub(crate) const ATTEMPTS: &[Attempt] = &[
    ("start a thread", |_| {
        let thread = std::thread::Builder::new().spawn(|| ())?;
        thread.join().map_err(|_| io::Error::other("the thread panicked"))
    }),
    ("fork", |_| fork().and_then(wait)),
    #[cfg(target_arch = "x86_64")]
    ("fork by its old number", |_| match call(libc::SYS_fork, [])? {
        0 => exit(),
        child => wait(child as usize),
    }),
    #[cfg(target_arch = "x86_64")]
    ("vfork", |_| crate::kernel::vfork().and_then(wait)),
    ("clone3", |_| attempt(libc::SYS_clone3, [0, 0])),
    ("clone into a mount namespace", |_| clone_into(libc::CLONE_NEWNS)),
    ("clone into a control group namespace", |_| clone_into(libc::CLONE_NEWCGROUP)),
    ("clone into a host name namespace", |_| clone_into(libc::CLONE_NEWUTS)),
    ("clone into a queue namespace", |_| clone_into(libc::CLONE_NEWIPC)),
    ("clone into a user namespace", |_| clone_into(libc::CLONE_NEWUSER)),
    ("clone into a process namespace", |_| clone_into(libc::CLONE_NEWPID)),
    ("clone into a network namespace", |_| clone_into(libc::CLONE_NEWNET)),
    ("spawn the loader", |_| spawn_loader()),
    ("spawn the jail", |world| spawn(&world.jail())),
    ("spawn a foreign program", |world| spawn(&world.beneath("foreign/tool"))),
    ("exec a foreign file", |world| exec(&world.foreign_program())),
    ("exec a file of the store", |world| exec(&world.stored_program())),
    ("exec the handed binary", |_| exec_descriptor(BINARY_DESCRIPTOR, c"", libc::AT_EMPTY_PATH)),
    ("exec without the flag", |_| exec_descriptor(BINARY_DESCRIPTOR, c"", 0)),
    ("exec another descriptor", |_| exec_descriptor(FOREIGN_PROGRAM, c"", libc::AT_EMPTY_PATH)),
    ("exec another file by the number of the binary", |_| {
        attempt(libc::SYS_dup3, [FOREIGN_PROGRAM as usize, BINARY_DESCRIPTOR as usize, 0])?;
        exec_descriptor(BINARY_DESCRIPTOR, c"", libc::AT_EMPTY_PATH)
    }),
    ("signal a foreign process", |world| attempt(libc::SYS_kill, [world.victim as usize, 0])),
    ("signal a child", |_| {
        let child = fork_and_stop()?;
        attempt(libc::SYS_kill, [child, libc::SIGKILL as usize])?;
        wait(child)
    }),
    ("trace a foreign process", |world| {
        attempt(libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, world.victim as usize, 0, 0])
    }),
    ("read a foreign process's memory", |world| foreign_memory(world, libc::SYS_process_vm_readv)),
    ("write a foreign process's memory", |world| {
        foreign_memory(world, libc::SYS_process_vm_writev)
    }),
    ("advise a foreign process's memory", |_| {
        attempt(libc::SYS_process_madvise, [NOTHING, 0, 0, 0, 0])
    }),
    ("reap a foreign process's memory", |_| attempt(libc::SYS_process_mrelease, [NOTHING, 0])),
    ("compare with a foreign process", |world| {
        let own = std::process::id() as usize;
        attempt(libc::SYS_kcmp, [own, world.victim as usize, 2, 0, 0])
    }),
    ("count a foreign process's events", |world| {
        attempt(libc::SYS_perf_event_open, [0, world.victim as usize, NOTHING, NOTHING, NOTHING])
    }),
    ("take a foreign process's descriptor", |world| {
        let process = call(libc::SYS_pidfd_open, [world.victim as usize, 0])?;
        open(libc::SYS_pidfd_getfd, [process as usize, 1, 0])
    }),
    ("move a foreign process's pages", |world| {
        attempt(libc::SYS_move_pages, [world.victim as usize, 0, 0, 0, 0, NOTHING])
    }),
    ("migrate a foreign process's pages", |_| attempt(libc::SYS_migrate_pages, [0, 0, 0, 0])),
    ("read a foreign process's limits", |world| limits(world.victim as usize)),
    ("read its own limits", |_| limits(0)),
    ("unbind from the parent's death", |_| {
        attempt(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, 0, 0, 0, 0])
    }),
    ("become dumpable", |_| attempt(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as usize, 1, 0, 0, 0])),
    ("stay not dumpable", |_| {
        attempt(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as usize, 0, 0, 0, 0])
    }),
];

/// A thread must share its signal handlers, so the kernel refuses the call by its arguments
/// (EINVAL) before it looks at the namespace.
fn clone_into(namespace: i32) -> io::Result<()> {
    let flags = (libc::CLONE_THREAD | namespace) as u32;
    attempt(libc::SYS_clone, [flags as usize, 0, 0, 0, 0])
}

/// A child that ends at once.
fn fork() -> io::Result<usize> {
    match call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0])? {
        0 => exit(),
        child => Ok(child as usize),
    }
}

/// A child that does nothing until it is signalled.
fn fork_and_stop() -> io::Result<usize> {
    match call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0])? {
        0 => loop {
            // Nothing to do about a failure: the alarm is not inherited, the parent kills it.
            let _ = call(libc::SYS_ppoll, [0, 0, 0, 0, 0]);
        },
        child => Ok(child as usize),
    }
}

fn exit() -> ! {
    loop {
        // It does not fail, and returns never.
        let _ = call(libc::SYS_exit_group, [0]);
    }
}

fn wait(child: usize) -> io::Result<()> {
    attempt(libc::SYS_wait4, [child, 0, 0, 0])
}

fn spawn(program: &Path) -> io::Result<()> {
    let status = Command::new(program).arg("exit").stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("it failed")) }
}

/// Through the name that the kernel uses; where a distribution has another, ENOENT.
fn spawn_loader() -> io::Result<()> {
    let known = [
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/ld-linux-aarch64.so.1",
        "/lib/ld-musl-x86_64.so.1",
        "/lib/ld-musl-aarch64.so.1",
    ];
    let loader = known.into_iter().find(|name| Path::new(name).exists()).unwrap_or(known[0]);
    let mut loader = Command::new(loader);
    loader.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    loader.status().map(|_| ())
}

fn exec(program: &Path) -> io::Result<()> {
    let name = c_string(program);
    let (arguments, environment) = (list(&name), [0_usize]);
    let lists = [name.as_ptr() as usize, address_of(&arguments), address_of(&environment)];
    attempt(libc::SYS_execve, lists)
}

fn exec_descriptor(descriptor: i32, name: &CStr, flags: i32) -> io::Result<()> {
    let (arguments, environment) = (list(&CString::from(c"probe")), [0_usize]);
    attempt(
        libc::SYS_execveat,
        [
            descriptor as usize,
            name.as_ptr() as usize,
            address_of(&arguments),
            address_of(&environment),
            flags as usize,
        ],
    )
}

/// An argument list of no argument: what is executed here never runs.
fn list(_: &CStr) -> [usize; 1] {
    [0]
}

/// The far address is nobody's, so where it is allowed the answer is EFAULT.
fn foreign_memory(world: &World, number: libc::c_long) -> io::Result<()> {
    let mut byte = [0_u8];
    let near = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let far = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 1 };
    attempt(number, [world.victim as usize, address_of(&near), 1, address_of(&far), 1, 0])
}

fn limits(process: usize) -> io::Result<()> {
    let mut limit = [0_u64; 2];
    let resource = libc::RLIMIT_NOFILE as usize;
    attempt(libc::SYS_prlimit64, [process, resource, 0, address_of_mut(&mut limit)])
}
