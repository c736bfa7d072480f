//! Names to addresses, and which addresses may be dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use companion_settings::{is_dialable, is_localhost};
use monitor_api::MonitorRefusal;
use tokio::sync::Semaphore;

use crate::limits::{ADDRESSES_TRIED, RESOLVE_LIMIT, RESOLVED_AT_ONCE};

/// The addresses of a normalised host, all of them dialable or none: a name that also resolves
/// to a private address is refused as a whole.
///
/// # Errors
/// `NotResolved`, or `AddressNotAllowed` unless `private` allows it.
pub(crate) async fn resolve(
    host: &str,
    port: u16,
    private: bool,
) -> Result<Vec<SocketAddr>, MonitorRefusal> {
    let addresses = if let Ok(address) = host.parse::<IpAddr>() {
        vec![SocketAddr::new(address, port)]
    } else if is_localhost(host) {
        vec![
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        ]
    } else {
        look_up(host.to_owned(), port).await?
    };
    dialable(addresses, private)
}

fn dialable(
    mut addresses: Vec<SocketAddr>,
    private: bool,
) -> Result<Vec<SocketAddr>, MonitorRefusal> {
    if addresses.is_empty() {
        return Err(MonitorRefusal::NotResolved);
    }
    if !addresses.iter().all(|address| is_dialable(address.ip(), private)) {
        return Err(MonitorRefusal::AddressNotAllowed);
    }
    addresses.truncate(ADDRESSES_TRIED);
    Ok(addresses)
}

/// The system's resolver, on a thread of its own: it may block for as long as it likes.
async fn look_up(host: String, port: u16) -> Result<Vec<SocketAddr>, MonitorRefusal> {
    static PLACES: Semaphore = Semaphore::const_new(RESOLVED_AT_ONCE);
    let asked = async {
        let place = PLACES.acquire().await.ok()?;
        let looking = tokio::task::spawn_blocking(move || {
            // Given back when the thread comes back, not when the caller gives up.
            let _place = place;
            (host.as_str(), port).to_socket_addrs().map(|found| found.collect::<Vec<_>>())
        });
        looking.await.ok()?.ok()
    };
    tokio::time::timeout(RESOLVE_LIMIT, asked)
        .await
        .ok()
        .flatten()
        .ok_or(MonitorRefusal::NotResolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_and_localhost_names_need_the_development_configuration() {
        for host in ["127.0.0.1", "::1", "localhost", "gateway.localhost", "10.1.2.3"] {
            let refused = resolve(host, 443, false).await.unwrap_err();
            assert_eq!(refused, MonitorRefusal::AddressNotAllowed, "{host}");
            assert!(resolve(host, 443, true).await.is_ok(), "{host}");
        }
    }

    #[tokio::test]
    async fn even_the_development_configuration_refuses_strange_addresses() {
        for host in ["0.0.0.0", "169.254.169.254", "224.0.0.1", "::ffff:127.0.0.1", "fe80::1"] {
            let refused = resolve(host, 443, true).await.unwrap_err();
            assert_eq!(refused, MonitorRefusal::AddressNotAllowed, "{host}");
        }
    }

    #[tokio::test]
    async fn numbers_that_only_inet_aton_takes_for_addresses_are_not_dialled() {
        for host in ["2130706433", "0x7f000001", "0177.0.0.1", "127.1"] {
            assert!(resolve(host, 443, false).await.is_err(), "{host}");
        }
    }

    #[test]
    fn a_name_that_is_public_and_private_at_once_is_refused_as_a_whole() {
        let both = vec!["93.184.216.34:443".parse().unwrap(), "10.0.0.1:443".parse().unwrap()];
        assert_eq!(dialable(both, false), Err(MonitorRefusal::AddressNotAllowed));
        assert_eq!(dialable(Vec::new(), true), Err(MonitorRefusal::NotResolved));
    }
}
