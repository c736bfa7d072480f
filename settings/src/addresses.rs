//! Which addresses a host that the configuration names may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address may be dialled: globally reachable, or, where `private_hosts` is set,
/// loopback or of a private network too.
#[must_use]
pub fn is_dialable(address: IpAddr, private_hosts: bool) -> bool {
    is_public(address) || (private_hosts && is_usable_private(address))
}

/// RFC 6761: `localhost` and everything under it is loopback, whatever a resolver says.
#[must_use]
pub fn is_localhost(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether an address is globally reachable (IANA special-purpose registries, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => is_public_v4(four),
        IpAddr::V6(six) => match nat64_v4(six) {
            Some(four) => is_public_v4(four),
            None => is_public_v6(six),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_unspecified()
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

/// A network without IPv4 reaches public IPv4 hosts by NAT64 (RFC 6052); where such an address
/// leads is judged by the IPv4 address in it.
fn nat64_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => {
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

/// Global unicast and nothing else: mapped and compatible IPv4, 6to4, Teredo, documentation and
/// the other special blocks are no way to name a host.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let global_unicast = first & 0xe000 == 0x2000;
    let documentation = first == 0x2001 && second == 0x0db8;
    let protocol = first == 0x2001 && second < 0x0200;
    let six_to_four = first == 0x2002;
    let documentation_too = first == 0x3fff && second < 0x1000;
    global_unicast && !(documentation || documentation_too || protocol || six_to_four)
}

/// What the development configuration adds: loopback and private networks, nothing stranger.
fn is_usable_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_loopback() || four.is_private(),
        IpAddr::V6(six) => six.is_loopback() || six.segments()[0] & 0xfe00 == 0xfc00,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_PUBLIC: [&str; 30] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:93.184.216.34",
        "::93.184.216.34",
        "2002:5db8:d822::",
        "3fff::1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
    ];

    #[test]
    fn special_addresses_are_not_public_in_any_spelling() {
        for text in NOT_PUBLIC {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
