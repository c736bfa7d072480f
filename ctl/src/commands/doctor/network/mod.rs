//! The way to the gateway and the model hosts, gone as the broker and the supervisor go it: a name,
//! an address that may be dialled, a connection, and a certificate that is verified.

mod found;
mod reach;
mod tls;

use std::sync::Arc;

use companion_settings::{Settings, split_host};
use futures_util::future::join_all;
use rustls::ClientConfig;
use url::Url;

use self::found::Found;
use super::check::Check;

/// A host that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    check: &'static str,
    /// Of the configuration, where its `ca_file` and `private_hosts` stand.
    section: &'static str,
    host: String,
    port: u16,
}

/// What a section says of whom to trust, and where its hosts may be.
struct Terms {
    section: &'static str,
    client: Result<Arc<ClientConfig>, Found>,
    private_hosts: bool,
}

pub(super) async fn check(settings: &Settings) -> Vec<Check> {
    let targets = targets(settings);
    let terms = terms(settings, &targets);
    let looking = targets.iter().map(|target| async {
        let its = terms.iter().find(|it| it.section == target.section);
        let found = match its.map(|it| (&it.client, it.private_hosts)) {
            Some((Ok(client), private)) => reach::reach(target, client, private).await,
            Some((Err(found), _)) => *found,
            None => Found::NoRoots,
        };
        found.check(target)
    });
    join_all(looking).await
}

/// Of the sections that name a host: reading the system's certificates takes a moment.
fn terms(settings: &Settings, targets: &[Target]) -> Vec<Terms> {
    let (gateway, models) = (&settings.gateway, &settings.models);
    [
        ("gateway", &gateway.ca_file, gateway.private_hosts),
        ("models", &models.ca_file, models.private_hosts),
    ]
    .into_iter()
    .filter(|(section, ..)| targets.iter().any(|target| target.section == *section))
    .map(|(section, ca_file, private_hosts)| Terms {
        section,
        client: tls::client_config(ca_file),
        private_hosts,
    })
    .collect()
}

/// Each host once.
fn targets(settings: &Settings) -> Vec<Target> {
    let of_url = |check, text: &str| {
        let url = Url::parse(text).ok()?;
        let (host, port) = (url.host_str()?.to_owned(), url.port_or_known_default()?);
        Some(Target { check, section: "gateway", host, port })
    };
    let of_host = |text: &String| {
        let (host, port) = split_host(text)?;
        Some(Target { check: "model_host", section: "models", host, port })
    };
    let mut targets = Vec::<Target>::new();
    let gateway = of_url("gateway", &settings.gateway.issuer);
    let catalog = of_url("catalog_host", &settings.gateway.catalog_url);
    for target in
        gateway.into_iter().chain(catalog).chain(settings.models.hosts.iter().filter_map(of_host))
    {
        let is_same = |known: &Target| {
            (known.section, &known.host, known.port) == (target.section, &target.host, target.port)
        };
        if !targets.iter().any(is_same) {
            targets.push(target);
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_configured_host_is_looked_for_once() {
        let mut settings = Settings::default();
        assert!(targets(&settings).is_empty());
        settings.gateway.issuer = "https://gateway.example/api".to_owned();
        settings.gateway.catalog_url = "https://gateway.example/catalog/".to_owned();
        settings.models.hosts = vec!["models.example:8443".to_owned()];
        let target = |check, section, host: &str, port| Target {
            check,
            section,
            host: host.to_owned(),
            port,
        };
        assert_eq!(
            targets(&settings),
            [
                target("gateway", "gateway", "gateway.example", 443),
                target("model_host", "models", "models.example", 8443)
            ]
        );
    }

    #[test]
    fn a_catalog_on_this_disk_is_no_host() {
        let mut settings = Settings::default();
        settings.gateway.catalog_url = "file:///home/ana/catalog/".to_owned();
        assert_eq!(targets(&settings), []);
    }
}
