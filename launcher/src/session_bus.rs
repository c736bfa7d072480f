//! The D-Bus session bus: where it is, and a connection to it.

use std::io;
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::net::UnixStream;

/// Where the session bus listens (D-Bus specification, server addresses).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BusAddress {
    Path(PathBuf),
    Abstract(Vec<u8>),
}

impl BusAddress {
    /// As this process's environment says, else `$XDG_RUNTIME_DIR/bus`.
    pub(crate) fn of_environment() -> Option<Self> {
        Self::of(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn of(env: impl Fn(&str) -> Option<String>) -> Option<Self> {
        if let Some(addresses) = env("DBUS_SESSION_BUS_ADDRESS") {
            return addresses.split(';').find_map(Self::parse);
        }
        let dir = env("XDG_RUNTIME_DIR").map(PathBuf::from)?;
        dir.is_absolute().then(|| Self::Path(dir.join("bus")))
    }

    fn parse(address: &str) -> Option<Self> {
        address.strip_prefix("unix:")?.split(',').find_map(|pair| match pair.split_once('=')? {
            ("path", value) => Some(Self::Path(PathBuf::from(unescape(value)?))),
            ("abstract", value) => Some(Self::Abstract(unescape(value)?.into_bytes())),
            _ => None,
        })
    }

    /// Connects without ever waiting: a bus too busy to take the caller is an error.
    pub(crate) async fn connect(&self) -> io::Result<UnixStream> {
        match self {
            Self::Path(path) => UnixStream::connect(path).await,
            Self::Abstract(name) => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                connect(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
                UnixStream::from_std(socket.into())
            }
        }
    }
}

/// `%41` is `A`: the specification's escapes.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bus_addresses_are_read_as_the_specification_writes_them() {
        assert_eq!(
            BusAddress::parse("unix:path=/run/user/1000/bus,guid=0a"),
            Some(BusAddress::Path("/run/user/1000/bus".into()))
        );
        assert_eq!(
            BusAddress::parse("unix:abstract=/tmp/dbus%2dX"),
            Some(BusAddress::Abstract(b"/tmp/dbus-X".to_vec()))
        );
        for other in ["tcp:host=localhost,port=1", "unix:path", "unix:path=%", "", "autolaunch:"] {
            assert_eq!(BusAddress::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_bus_is_where_the_environment_says_else_in_the_runtime_directory() {
        let runtime_dir = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| "/run/u".to_owned());
        assert_eq!(BusAddress::of(runtime_dir), Some(BusAddress::Path("/run/u/bus".into())));
        let both = |name: &str| match name {
            "DBUS_SESSION_BUS_ADDRESS" => Some("tcp:host=h;unix:path=/b".to_owned()),
            other => runtime_dir(other),
        };
        assert_eq!(BusAddress::of(both), Some(BusAddress::Path("/b".into())));
        assert_eq!(BusAddress::of(|_| None), None);
    }

    #[tokio::test]
    async fn an_abstract_bus_is_dialled_and_an_absent_one_fails() {
        let name = format!("companion-test-{}", std::process::id()).into_bytes();
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let address = SocketAddrUnix::new_abstract_name(&name).unwrap();
        rustix::net::bind(&socket, &address).unwrap();
        assert!(BusAddress::Abstract(name.clone()).connect().await.is_err());
        rustix::net::listen(&socket, 1).unwrap();
        let stream = BusAddress::Abstract(name).connect().await.unwrap();
        let peer = peer_socket::peer_credentials(&stream).unwrap();
        assert_eq!(peer.pid, std::process::id());
    }
}
