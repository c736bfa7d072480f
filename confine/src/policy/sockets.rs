//! Which sockets a role may make. Those it is handed are made already.

use libc::{AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM};

use super::rule::Test::{IsNot, LowFourBitsNoneOf};
use super::rule::{CallRule, int};

/// For the broker and the front door: they serve what they inherit.
pub(super) const NONE: &[CallRule] = &[
    CallRule::never(&[libc::SYS_socket], "its sockets are inherited or handed out"),
    CallRule::never(&[libc::SYS_bind, libc::SYS_listen], "its listeners are inherited"),
];

/// For the runtime, which listens on its own Unix socket, and for the supervisor, which must
/// hold whatever the runtime needs.
pub(super) const UNIX_STREAM: &[CallRule] = &[
    CallRule::never_if(
        &[libc::SYS_socket],
        int(0, IsNot(AF_UNIX as u64)),
        "no network, netlink or other family",
    ),
    CallRule::never_if(
        &[libc::SYS_socket],
        int(1, LowFourBitsNoneOf(&[SOCK_STREAM as u64])),
        "a Unix datagram socket reaches any path socket by sendto, without connect",
    ),
];

/// For every role: tokio's signal handling needs a pair, and so does nothing else.
pub(super) const PAIRS: &[CallRule] = &[
    CallRule::never_if(
        &[libc::SYS_socketpair],
        int(0, IsNot(AF_UNIX as u64)),
        "no pair of another family",
    ),
    CallRule::never_if(
        &[libc::SYS_socketpair],
        int(1, LowFourBitsNoneOf(&[SOCK_STREAM as u64, SOCK_SEQPACKET as u64])),
        "a datagram pair and sendto reach any path socket",
    ),
];
