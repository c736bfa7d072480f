//! From a host's name to its certificate, each step bounded in time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use companion_settings::{is_dialable, is_localhost};
use rustls::ClientConfig;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::Target;
use super::found::{Found, LIMIT};
use super::tls::shake_hands;

/// How far the way to a host goes.
pub(super) async fn reach(target: &Target, client: &Arc<ClientConfig>, private: bool) -> Found {
    let host = target.host.trim_matches(['[', ']']);
    let addresses = addresses(host, target.port).await;
    if addresses.is_empty() {
        return Found::NoName;
    }
    // As the launcher has it: a name that has one address too many is refused as a whole.
    if !addresses.iter().all(|address| is_dialable(address.ip(), private)) {
        return Found::NotAllowed;
    }
    match dial(&addresses).await {
        Ok(stream) => shake_hands(stream, host, client).await,
        Err(found) => found,
    }
}

async fn addresses(host: &str, port: u16) -> Vec<SocketAddr> {
    if is_localhost(host) {
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        return loopback.map(|ip| SocketAddr::new(ip, port)).to_vec();
    }
    match timeout(LIMIT, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// A connection to the first address that takes one, or why the first did not.
async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, Found> {
    let each_in_turn = async {
        let mut first = None;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => first = first.or(Some(error.kind())),
            }
        }
        Err(match first {
            Some(io::ErrorKind::ConnectionRefused) => Found::Refused,
            Some(io::ErrorKind::TimedOut) => Found::Silent,
            Some(_) | None => Found::NoWay,
        })
    };
    timeout(LIMIT, each_in_turn).await.unwrap_or(Err(Found::Silent))
}
