//! Whose connection it is: the kernel's table of TCP sockets names the user of each.
//!
//! A port of the loopback is open to every user of the machine, and the address that a browser is
//! started with can be read by all of them (proc(5), `/proc/PID/cmdline`). So the page's listener
//! serves this user's connections alone.

use std::io::{self, BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};

/// The sockets of this network namespace; IPv4, the only family of the listener.
const TABLE: &str = "/proc/net/tcp";
/// How often the table is read for a row that is not there.
const LOOKS: usize = 3;

/// Whether the other end of a connection belongs to the user of this process. Whatever cannot be
/// told is not.
pub(super) fn is_own(peer: SocketAddr, listener: SocketAddr) -> bool {
    let own = rustix::process::geteuid().as_raw();
    owner(peer, listener).is_ok_and(|uid| uid == Some(own))
}

/// The user whose socket has this local and this remote address; `None` when there is none.
fn owner(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<u32>> {
    let (Some(local), Some(remote)) = (row_address(local), row_address(remote)) else {
        return Ok(None);
    };
    // The kernel may pass over a row while others of the table go.
    for _ in 0..LOOKS {
        for line in BufReader::new(std::fs::File::open(TABLE)?).lines().skip(1) {
            if let Some(uid) = uid_of_row(&line?, &local, &remote) {
                return Ok(Some(uid));
            }
        }
    }
    Ok(None)
}

/// The columns are: number, local address, remote address, state, queues, timer, retransmits, uid.
fn uid_of_row(row: &str, local: &str, remote: &str) -> Option<u32> {
    let mut columns = row.split_ascii_whitespace().skip(1);
    let ends = (columns.next()?, columns.next()?);
    let (state, uid) = (columns.next()?, columns.nth(3)?);
    // Only an established socket has an owner that means something (TIME_WAIT says 0).
    (ends == (local, remote) && state == "01").then(|| uid.parse().ok()).flatten()
}

/// An address as the table writes it: the four bytes as one number of this machine, then the port.
fn row_address(address: SocketAddr) -> Option<String> {
    match address.ip() {
        IpAddr::V4(ip) => {
            let number = u32::from_ne_bytes(ip.octets());
            Some(format!("{number:08X}:{:04X}", address.port()))
        }
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "  12: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 00:00000000 \
                       00000000  1000        0 123456 1 0000000000000000 20 4 30 10 -1";

    #[test]
    fn the_user_is_read_from_the_established_row_of_both_addresses() {
        assert_eq!(uid_of_row(ROW, "0100007F:9C40", "0100007F:1F90"), Some(1000));
        assert_eq!(uid_of_row(ROW, "0100007F:1F90", "0100007F:9C40"), None);
        assert_eq!(uid_of_row(ROW, "0100007F:9C41", "0100007F:1F90"), None);
        let closing = ROW.replace(" 01 ", " 06 ");
        assert_eq!(uid_of_row(&closing, "0100007F:9C40", "0100007F:1F90"), None);
        for malformed in ["", "  12:", "  12: 0100007F:9C40 0100007F:1F90 01"] {
            assert_eq!(uid_of_row(malformed, "0100007F:9C40", "0100007F:1F90"), None);
        }
    }

    #[tokio::test]
    async fn an_own_connection_is_own_and_one_that_is_not_there_is_nobodys() {
        let (listener, bound) = super::super::listener::bind().expect("bound");
        let client = tokio::net::TcpStream::connect(bound).await.expect("connected");
        let (_server, peer) = listener.accept().await.expect("accepted");
        assert_eq!(peer, client.local_addr().expect("an address"));
        assert!(is_own(peer, bound));
        assert!(!is_own(bound, bound));
        assert!(!is_own("[::1]:1".parse().expect("an address"), bound));
    }
}
