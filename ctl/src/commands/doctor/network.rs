//! The way to the gateway and the model hosts, as far as this program may go: a name lookup and
//! a TCP connection. TLS is the broker's and the supervisor's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use companion_settings::{Settings, split_host};
use futures_util::future::join_all;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::Url;

use super::check::Check;

/// Longest wait for a name, and again for a connection.
const LIMIT: Duration = Duration::from_secs(3);

/// A host that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    check: &'static str,
    host: String,
    port: u16,
}

/// How far the way to a host goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    NoName,
    NoConnection,
    Connected,
}

pub(super) async fn check(settings: &Settings) -> Vec<Check> {
    let looking = targets(settings).into_iter().map(|target| async move {
        let reached = reach(&target).await;
        judge(&target, reached)
    });
    join_all(looking).await
}

/// Each host once.
fn targets(settings: &Settings) -> Vec<Target> {
    let of_url = |check, text: &str| {
        let url = Url::parse(text).ok()?;
        let (host, port) = (url.host_str()?.to_owned(), url.port_or_known_default()?);
        Some(Target { check, host, port })
    };
    let of_host = |text: &String| {
        split_host(text).map(|(host, port)| Target { check: "model_host", host, port })
    };
    let mut targets = Vec::<Target>::new();
    let gateway = of_url("gateway", &settings.gateway.issuer);
    let catalog = of_url("catalog_host", &settings.gateway.catalog_url);
    for target in
        gateway.into_iter().chain(catalog).chain(settings.models.hosts.iter().filter_map(of_host))
    {
        if !targets.iter().any(|known| known.host == target.host && known.port == target.port) {
            targets.push(target);
        }
    }
    targets
}

async fn reach(target: &Target) -> Reached {
    let addresses = addresses(target).await;
    if addresses.is_empty() {
        return Reached::NoName;
    }
    let dial = async {
        for address in addresses {
            if TcpStream::connect(address).await.is_ok() {
                return Reached::Connected;
            }
        }
        Reached::NoConnection
    };
    timeout(LIMIT, dial).await.unwrap_or(Reached::NoConnection)
}

async fn addresses(target: &Target) -> Vec<SocketAddr> {
    let host = target.host.trim_matches(['[', ']']);
    // RFC 6761, as the launcher has it: not every resolver knows that these are loopback.
    if host == "localhost" || host.ends_with(".localhost") {
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        return loopback.map(|ip| SocketAddr::new(ip, target.port)).to_vec();
    }
    match timeout(LIMIT, lookup_host((host, target.port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

fn judge(target: &Target, reached: Reached) -> Check {
    let Target { check, host, port } = target;
    match reached {
        Reached::Connected => Check::ok(
            check,
            format!("{host}:{port} takes TCP connections; its certificate is not tried here."),
        ),
        Reached::NoName => Check::fail(
            check,
            format!("The name {host} has no address."),
            format!("Check the network and the name: `getent hosts {host}`."),
        ),
        Reached::NoConnection => Check::fail(
            check,
            format!("{host} does not take a connection on port {port} within 3 s."),
            format!("Check firewall and network: `curl -v https://{host}:{port}/`."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    fn target(host: &str, port: u16) -> Target {
        Target { check: "model_host", host: host.to_owned(), port }
    }

    #[test]
    fn each_configured_host_is_looked_for_once() {
        let mut settings = Settings::default();
        assert!(targets(&settings).is_empty());
        settings.gateway.issuer = "https://gateway.example/api".to_owned();
        settings.gateway.catalog_url = "https://gateway.example/catalog/".to_owned();
        settings.models.hosts = vec!["models.example:8443".to_owned()];
        let gateway = Target { check: "gateway", ..target("gateway.example", 443) };
        assert_eq!(targets(&settings), [gateway, target("models.example", 8443)]);
    }

    #[test]
    fn each_end_of_the_way_has_its_mend() {
        let there = target("models.example", 8443);
        assert_eq!(judge(&there, Reached::Connected).state, State::Ok);
        for (reached, mend) in [
            (Reached::NoName, "getent hosts models.example"),
            (Reached::NoConnection, "https://models.example:8443/"),
        ] {
            let check = judge(&there, reached);
            assert_eq!(check.state, State::Fail);
            assert!(check.mend.unwrap().contains(mend));
        }
    }

    #[tokio::test]
    async fn a_name_under_localhost_is_this_computer() {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        let there = target("models.localhost", port);
        assert_eq!(reach(&there).await, Reached::NoConnection);
        socket.listen(1).unwrap();
        assert_eq!(reach(&there).await, Reached::Connected);
    }
}
