//! The sockets that this process holds, whoever made them.

use std::io;

use crate::kernel::{address_of_mut, call};

/// Highest descriptor that is looked at.
const MOST: i32 = 1024;

/// Descriptors of TCP sockets, connected or not; listeners are none of them.
pub(crate) fn tcp() -> Vec<i32> {
    let is_tcp = |number: &i32| {
        matches!(option(*number, libc::SO_DOMAIN), Ok(libc::AF_INET | libc::AF_INET6))
            && option(*number, libc::SO_TYPE) == Ok(libc::SOCK_STREAM)
            && option(*number, libc::SO_ACCEPTCONN) == Ok(0)
    };
    (0..MOST).filter(is_tcp).collect()
}

/// Descriptors of Unix sockets.
pub(crate) fn unix() -> Vec<i32> {
    (0..MOST).filter(|number| option(*number, libc::SO_DOMAIN) == Ok(libc::AF_UNIX)).collect()
}

fn option(socket: i32, name: i32) -> Result<i32, i32> {
    let (mut value, mut length) = (0_i32, size_of::<i32>() as u32);
    call(
        libc::SYS_getsockopt,
        [
            socket as usize,
            libc::SOL_SOCKET as usize,
            name as usize,
            address_of_mut(&mut value),
            address_of_mut(&mut length),
        ],
    )
    .map(|_| value)
    .map_err(|error: io::Error| error.raw_os_error().unwrap_or_default())
}
