//! What an attacker inside would try.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Aims;
use crate::kernel::{
    address_of, address_of_mut, attempt, c_string, call, empty_message, loopback, unix_address,
};
use crate::sockets;

type Attempt = (&'static str, fn(&Aims) -> io::Result<()>);

/// Where this process holds no socket of the kind, there is nothing to try.
const NOTHING_HELD: &str = "nothing held";

pub(crate) const ATTEMPTS: &[Attempt] = &[
    ("reach the keychain over the session bus", |aims| dial(&aims.session_bus)),
    ("dial the broker", |aims| dial(&aims.broker)),
    ("dial the broker with a socket it holds", |aims| {
        let (address, length) = unix_address(aims.broker.to_string_lossy().as_bytes());
        each(&sockets::unix(), |held| {
            let dialled = attempt(libc::SYS_connect, [held, address_of(&address), length]);
            reached(dialled, &[libc::EISCONN])
        })
    }),
    ("send to the broker from a datagram pair", |aims| {
        let mut pair = [0_i32; 2];
        let (family, kind) = (libc::AF_UNIX as usize, libc::SOCK_DGRAM as usize);
        attempt(libc::SYS_socketpair, [family, kind, 0, address_of_mut(&mut pair)])?;
        // A stream listener takes no datagram: that it was asked is what counts.
        let (address, length) = unix_address(aims.broker.to_string_lossy().as_bytes());
        let sent = attempt(
            libc::SYS_sendto,
            [pair[0] as usize, address_of(b"x"), 1, 0, address_of(&address), length],
        );
        close(pair[0]);
        close(pair[1]);
        reached(sent, &[libc::EPROTOTYPE])
    }),
    ("connect out", |aims| {
        let (address, length) = loopback(aims.port);
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM)?;
        attempt(libc::SYS_connect, [socket.raw(), address_of(&address), length])
    }),
    ("connect a socket it holds to elsewhere", |aims| {
        let (address, length) = loopback(aims.port);
        each(&sockets::tcp(), |held| {
            let connected = attempt(libc::SYS_connect, [held, address_of(&address), length]);
            reached(connected, &[libc::EISCONN])
        })
    }),
    ("take a socket it holds off its peer", |_| {
        let unspecified = [0_u8; 16];
        each(&sockets::tcp(), |held| {
            attempt(libc::SYS_connect, [held, address_of(&unspecified), 16])
        })
    }),
    ("connect out by MSG_FASTOPEN on a socket it holds", |aims| {
        each(&sockets::tcp(), |held| fast_open(held, aims.port))
    }),
    ("connect out by MSG_FASTOPEN in a message", |aims| {
        each(&sockets::tcp(), |held| fast_open_by_message(held, aims.port))
    }),
    ("send a datagram out", |aims| {
        let socket = socket(libc::AF_INET, libc::SOCK_DGRAM)?;
        let (address, length) = loopback(aims.port);
        attempt(
            libc::SYS_sendto,
            [socket.raw(), address_of(b"x"), 1, 0, address_of(&address), length],
        )
    }),
    ("set up a ring that connects", |_| {
        let mut parameters = [0_u64; 15];
        let ring = call(libc::SYS_io_uring_setup, [1, address_of_mut(&mut parameters)]);
        reached(ring.map(|ring| close(ring as i32)), &[])
    }),
    ("read a file of its user", |aims| read(&aims.canary)),
    ("read who its users are", |_| read(Path::new("/etc/passwd"))),
    ("write beside a file of its user", |aims| {
        let planted = aims.canary.with_file_name("planted");
        File::create(&planted)?;
        std::fs::remove_file(planted)
    }),
    ("read another process's command line", |aims| {
        read(Path::new(&format!("/proc/{}/cmdline", aims.victim)))
    }),
    ("signal another process", |aims| attempt(libc::SYS_kill, [aims.victim as usize, 0])),
    ("trace another process", |aims| {
        attempt(libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, aims.victim as usize, 0, 0])
    }),
    ("read another process's memory", |aims| {
        let mut byte = [0_u8];
        let near = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        // Nobody's address: EFAULT says that the kernel was willing.
        let far = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 1 };
        let (near, far) = (address_of(&near), address_of(&far));
        let read = attempt(libc::SYS_process_vm_readv, [aims.victim as usize, near, 1, far, 1, 0]);
        reached(read, &[libc::EFAULT])
    }),
    ("take another process's descriptor", |aims| {
        let process = call(libc::SYS_pidfd_open, [aims.victim as usize, 0])?;
        let taken = call(libc::SYS_pidfd_getfd, [process as usize, 0, 0]);
        close(process as i32);
        taken.map(|taken| close(taken as i32))
    }),
    ("start another program", |aims| {
        let mut program = Command::new(&aims.program);
        program.env_clear().stdin(Stdio::null()).stdout(Stdio::null());
        program.status().map(drop)
    }),
    ("become another program out of memory", |_| {
        let file = call(libc::SYS_memfd_create, [c"x".as_ptr() as usize, 0])?;
        // Empty: where it may be executed, it has no format (ENOEXEC).
        let arguments = [0_usize];
        let outcome = attempt(
            libc::SYS_execveat,
            [
                file as usize,
                c"".as_ptr() as usize,
                address_of(&arguments),
                address_of(&arguments),
                libc::AT_EMPTY_PATH as usize,
            ],
        );
        close(file as i32);
        reached(outcome, &[libc::ENOEXEC])
    }),
    ("change the mode of a file of its user", |aims| {
        let path = c_string(&aims.canary);
        attempt(libc::SYS_fchmodat, [libc::AT_FDCWD as usize, path.as_ptr() as usize, 0o600])
    }),
];

/// The listener of the test takes what it is sent; being connected is all that is wanted.
fn dial(path: &Path) -> io::Result<()> {
    let socket = socket(libc::AF_UNIX, libc::SOCK_STREAM)?;
    let (address, length) = unix_address(path.to_string_lossy().as_bytes());
    attempt(libc::SYS_connect, [socket.raw(), address_of(&address), length])
}

/// Done as soon as one of them is; else what came of the last.
fn each(held: &[i32], act: impl Fn(usize) -> io::Result<()>) -> io::Result<()> {
    let mut outcome = Err(io::Error::other(NOTHING_HELD));
    for number in held {
        outcome = act(*number as usize);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn fast_open(held: usize, port: u16) -> io::Result<()> {
    let (address, length) = loopback(port);
    let flags = (libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL) as usize;
    let sent =
        attempt(libc::SYS_sendto, [held, address_of(b"x"), 1, flags, address_of(&address), length]);
    reached(sent, LATE)
}

fn fast_open_by_message(held: usize, port: u16) -> io::Result<()> {
    let (mut address, length) = loopback(port);
    let mut byte = [b'x'];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut message = empty_message();
    message.msg_name = (&raw mut address).cast();
    message.msg_namelen = length as u32;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    let flags = (libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL) as usize;
    let sent = attempt(libc::SYS_sendmsg, [held, address_of(&message), flags]);
    reached(sent, LATE)
}

/// The socket is connected already, or the machine has TCP Fast Open switched off for clients.
const LATE: &[i32] = &[libc::EISCONN, libc::EOPNOTSUPP];

/// Errors that come after the kernel has let the call in: it is as good as done.
fn reached(outcome: io::Result<()>, late: &[i32]) -> io::Result<()> {
    match outcome {
        Err(error) if error.raw_os_error().is_some_and(|number| late.contains(&number)) => Ok(()),
        other => other,
    }
}

fn read(path: &Path) -> io::Result<()> {
    File::open(path)?.read(&mut [0]).map(drop)
}

fn socket(family: i32, kind: i32) -> io::Result<Held> {
    let kind = kind | libc::SOCK_CLOEXEC;
    let number = call(libc::SYS_socket, [family as usize, kind as usize, 0])?;
    Ok(Held(number as i32))
}

fn close(number: i32) {
    // Nothing to be done about a failure.
    let _ = attempt(libc::SYS_close, [number as usize]);
}

/// A descriptor that is closed when dropped.
struct Held(i32);

impl Held {
    fn raw(&self) -> usize {
        self.0 as usize
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        close(self.0);
    }
}
