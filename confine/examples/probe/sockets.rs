//! Attempts at connections and sockets.

use std::io;

use crate::Attempt;
use crate::kernel::{
    address_of, address_of_mut, attempt, empty_message, loopback, open, unix_address,
};
use crate::world::{
    MONITOR, TCP_FOR_BIND, TCP_FOR_CONNECT, TCP_FOR_SENDMMSG, TCP_FOR_SENDMSG, TCP_FOR_SENDTO,
    TCP_HANDED, UNIX_FOR_ABSTRACT, UNIX_FOR_BIND, UNIX_FOR_PATH, UNIX_LISTENING, World,
};

pub(crate) const ATTEMPTS: &[Attempt] = &[
    ("connect to a path socket", |world| {
        connect_unix(UNIX_FOR_PATH, world.service().to_string_lossy().as_bytes())
    }),
    ("connect to an abstract socket", |world| {
        connect_unix(UNIX_FOR_ABSTRACT, format!("\0{}", world.abstract_name()).as_bytes())
    }),
    ("connect a TCP socket", |world| {
        let (address, length) = loopback(world.port);
        attempt(libc::SYS_connect, [TCP_FOR_CONNECT as usize, address_of(&address), length])
    }),
    ("connect by sendto", fast_open_by_sendto),
    ("connect by sendmsg", |world| fast_open_by_message(world, false)),
    ("connect by sendmmsg", |world| fast_open_by_message(world, true)),
    ("send on a handed connection", |_| {
        let flags = libc::MSG_NOSIGNAL as usize;
        attempt(libc::SYS_sendto, [TCP_HANDED as usize, address_of(b"x"), 1, flags, 0, 0])
    }),
    ("reconnect a handed connection", |_| {
        let unspecified = [0_u8; 16];
        attempt(libc::SYS_connect, [TCP_HANDED as usize, address_of(&unspecified), 16])
    }),
    ("accept on an inherited listener", |_| {
        open(libc::SYS_accept4, [UNIX_LISTENING as usize, 0, 0, libc::SOCK_CLOEXEC as usize])
    }),
    ("receive a descriptor", receive_a_descriptor),
    ("socket inet stream", |_| socket(libc::AF_INET, libc::SOCK_STREAM)),
    ("socket inet datagram", |_| socket(libc::AF_INET, libc::SOCK_DGRAM)),
    ("socket inet6 stream", |_| socket(libc::AF_INET6, libc::SOCK_STREAM)),
    ("socket netlink", |_| socket(libc::AF_NETLINK, libc::SOCK_RAW)),
    ("socket unix stream", |_| socket(libc::AF_UNIX, libc::SOCK_STREAM)),
    ("socket unix seqpacket", |_| socket(libc::AF_UNIX, libc::SOCK_SEQPACKET)),
    ("socket unix datagram", |_| socket(libc::AF_UNIX, libc::SOCK_DGRAM)),
    ("socket unix raw", |_| socket(libc::AF_UNIX, libc::SOCK_RAW)),
    ("pair unix stream", |_| pair(libc::SOCK_STREAM)),
    ("pair unix seqpacket", |_| pair(libc::SOCK_SEQPACKET)),
    ("pair unix datagram", |_| pair(libc::SOCK_DGRAM)),
    ("pair of another family", |_| {
        let mut pair = [0_i32; 2];
        let family = libc::AF_INET as usize;
        attempt(libc::SYS_socketpair, [family, 1, 0, address_of_mut(&mut pair)])
    }),
    ("bind a TCP socket", |_| {
        let (address, length) = loopback(0);
        attempt(libc::SYS_bind, [TCP_FOR_BIND as usize, address_of(&address), length])
    }),
    ("bind a socket in the scratch directory", |world| {
        let path = world.beneath("scratch/own.sock");
        let (address, length) = unix_address(path.to_string_lossy().as_bytes());
        attempt(libc::SYS_bind, [UNIX_FOR_BIND as usize, address_of(&address), length])
    }),
    ("listen on it", |_| attempt(libc::SYS_listen, [UNIX_FOR_BIND as usize, 1])),
];

fn connect_unix(socket: i32, name: &[u8]) -> io::Result<()> {
    let (address, length) = unix_address(name);
    attempt(libc::SYS_connect, [socket as usize, address_of(&address), length])
}

fn socket(family: i32, kind: i32) -> io::Result<()> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    open(libc::SYS_socket, [family as usize, kind as usize, 0])
}

fn pair(kind: i32) -> io::Result<()> {
    let mut pair = [0_i32; 2];
    let kind = (kind | libc::SOCK_CLOEXEC) as usize;
    let family = libc::AF_UNIX as usize;
    attempt(libc::SYS_socketpair, [family, kind, 0, address_of_mut(&mut pair)])
}

fn fast_open_by_sendto(world: &World) -> io::Result<()> {
    let (address, length) = loopback(world.port);
    let flags = (libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL) as usize;
    let socket = TCP_FOR_SENDTO as usize;
    attempt(libc::SYS_sendto, [socket, address_of(b"x"), 1, flags, address_of(&address), length])
}

fn fast_open_by_message(world: &World, several: bool) -> io::Result<()> {
    let (mut address, length) = loopback(world.port);
    let mut byte = [b'x'];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut message = empty_message();
    message.msg_name = (&raw mut address).cast();
    message.msg_namelen = length as u32;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    let flags = (libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL) as usize;
    if several {
        let mut messages = [libc::mmsghdr { msg_hdr: message, msg_len: 0 }];
        let socket = TCP_FOR_SENDMMSG as usize;
        attempt(libc::SYS_sendmmsg, [socket, address_of_mut(&mut messages), 1, flags])
    } else {
        let socket = TCP_FOR_SENDMSG as usize;
        attempt(libc::SYS_sendmsg, [socket, address_of(&message), flags])
    }
}

fn receive_a_descriptor(_: &World) -> io::Result<()> {
    let mut byte = [0_u8];
    let mut control = [0_u64; 8];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut message = empty_message();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    attempt(libc::SYS_recvmsg, [MONITOR as usize, address_of_mut(&mut message), 0])?;
    if message.msg_controllen == 0 { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
}
