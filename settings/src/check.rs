//! What each value must be, key by key.

use url::{Host, Url};

use crate::{Settings, SettingsError};

type Checked = Result<(), SettingsError>;

/// Most hosts that models may come from.
const MAX_MODEL_HOSTS: usize = 16;

/// Checks every key of a whole configuration, those given by environment and flags included.
pub(crate) fn all(settings: &Settings) -> Checked {
    profile(settings)?;
    gateway(settings)?;
    models(settings)?;
    catalog_apart_from_bytes(settings)?;
    frontdoor(settings)?;
    runtime(settings)
}

fn require(holds: bool, key: &'static str, rule: &'static str) -> Checked {
    if holds { Ok(()) } else { Err(SettingsError::Refused { key, rule }) }
}

fn profile(settings: &Settings) -> Checked {
    let name = &settings.profile;
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    require(
        plain && (1..=32).contains(&name.len()),
        "profile",
        "1 to 32 of the characters a-z, 0-9 and -",
    )
}

fn gateway(settings: &Settings) -> Checked {
    let gateway = &settings.gateway;
    if !gateway.issuer.is_empty() {
        require(is_https(&gateway.issuer), "gateway.issuer", "an https URL, or empty")?;
    }
    if gateway.catalog_url.is_empty() {
        return Ok(());
    }
    let is_url = is_https(&gateway.catalog_url) || gateway.catalog_directory().is_some();
    require(
        is_url && gateway.catalog_url.ends_with('/'),
        "gateway.catalog_url",
        "an https URL, or file:///DIRECTORY of this disk, that ends in /",
    )?;
    require(
        !gateway.catalog_needs_session || gateway.catalog_directory().is_none(),
        "gateway.catalog_needs_session",
        "must be false for a catalog on this disk, which nobody signs in at",
    )?;
    require(
        gateway.trust_root.is_absolute(),
        "gateway.trust_root",
        "the absolute path of the pinned first root; a catalog is nothing without it",
    )?;
    require(
        !gateway.catalog_needs_session || !gateway.issuer.is_empty(),
        "gateway.catalog_needs_session",
        "must be false when there is no issuer to sign in at",
    )
}

fn models(settings: &Settings) -> Checked {
    let hosts = &settings.models.hosts;
    require(hosts.len() <= MAX_MODEL_HOSTS, "models.hosts", "16 hosts at most")?;
    for host in hosts {
        require(split_host(host).is_some(), "models.hosts", "each is host:port, port 1 to 65535")?;
    }
    Ok(())
}

/// Contract 8: whoever serves the bytes must not be able to say what they ought to be. The port
/// makes no difference.
fn catalog_apart_from_bytes(settings: &Settings) -> Checked {
    let catalog = Url::parse(&settings.gateway.catalog_url).ok();
    let Some(catalog) = catalog.as_ref().and_then(Url::host_str) else { return Ok(()) };
    let Some((catalog, _)) = split_host(&format!("{catalog}:443")) else { return Ok(()) };
    let shared = |host: &String| split_host(host).is_some_and(|(host, _)| host == catalog);
    require(
        !settings.models.hosts.iter().any(shared),
        "gateway.catalog_url",
        "its host may not be one of models.hosts (manifest_untrusted)",
    )
}

fn frontdoor(settings: &Settings) -> Checked {
    let frontdoor = &settings.frontdoor;
    let bind = frontdoor.bind.to_string();
    require(
        bind == "127.0.0.1" || bind == "::1",
        "frontdoor.bind",
        "127.0.0.1 or ::1: the endpoint never leaves this machine",
    )?;
    for (value, key) in [
        (u64::from(frontdoor.max_in_flight), "frontdoor.max_in_flight"),
        (u64::from(frontdoor.queue_bound), "frontdoor.queue_bound"),
        (frontdoor.queue_timeout_s, "frontdoor.queue_timeout_s"),
        (u64::from(frontdoor.rate_limit_requests), "frontdoor.rate_limit_requests"),
        (frontdoor.rate_limit_window_s, "frontdoor.rate_limit_window_s"),
        (frontdoor.max_body_bytes, "frontdoor.max_body_bytes"),
        (u64::from(frontdoor.max_connections), "frontdoor.max_connections"),
    ] {
        require(value > 0, key, "a positive whole number")?;
    }
    require(frontdoor.queue_timeout_s <= 3600, "frontdoor.queue_timeout_s", "3600 at most")?;
    require(
        frontdoor.rate_limit_requests <= 1_000_000,
        "frontdoor.rate_limit_requests",
        "1000000 at most",
    )?;
    require(frontdoor.max_body_bytes <= 1 << 30, "frontdoor.max_body_bytes", "one gibibyte at most")
}

/// A month; a model that rests for longer may as well stay.
const LONGEST_IDLE_S: u64 = 30 * 24 * 3600;

fn runtime(settings: &Settings) -> Checked {
    let runtime = &settings.runtime;
    for (value, key) in [
        (u64::from(runtime.context_length), "runtime.context_length"),
        (u64::from(runtime.parallel), "runtime.parallel"),
        (runtime.health_interval_s, "runtime.health_interval_s"),
        (runtime.health_recency_s, "runtime.health_recency_s"),
        (runtime.drain_timeout_s, "runtime.drain_timeout_s"),
    ] {
        require(value > 0, key, "a positive whole number")?;
    }
    require(
        runtime.health_recency_s >= runtime.health_interval_s,
        "runtime.health_recency_s",
        "no less than runtime.health_interval_s",
    )?;
    require(runtime.drain_timeout_s <= 3600, "runtime.drain_timeout_s", "3600 at most")?;
    require(
        runtime.idle_unload_s <= LONGEST_IDLE_S,
        "runtime.idle_unload_s",
        "2592000 at most, which is thirty days; 0 never unloads",
    )?;
    require(
        runtime.max_cpu_percent > 0.0 && runtime.max_cpu_percent <= 100.0,
        "runtime.max_cpu_percent",
        "more than 0 and at most 100, of the whole machine",
    )
}

/// Whether it is an https URL without userinfo, query or fragment.
#[must_use]
pub fn is_https(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https"
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// `host:port` as a normalised host (lower case, no trailing dot) and its port.
#[must_use]
pub fn split_host(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let host = match Host::parse(host).ok()? {
        Host::Domain(name) => name.trim_end_matches('.').to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_key(change: impl FnOnce(&mut Settings)) -> Option<&'static str> {
        let mut settings = Settings::default();
        change(&mut settings);
        match all(&settings) {
            Err(SettingsError::Refused { key, .. }) => Some(key),
            Err(_) => Some("?"),
            Ok(()) => None,
        }
    }

    #[test]
    fn the_defaults_hold_together() {
        assert_eq!(refused_key(|_| {}), None);
    }

    #[test]
    fn only_the_two_loopback_literals_may_be_bound() {
        for bind in ["0.0.0.0", "::", "127.0.0.2", "192.168.1.1", "::ffff:127.0.0.1"] {
            let refused = refused_key(|s| s.frontdoor.bind = bind.parse().unwrap());
            assert_eq!(refused, Some("frontdoor.bind"), "{bind}");
        }
        assert_eq!(refused_key(|s| s.frontdoor.bind = "::1".parse().unwrap()), None);
    }

    #[test]
    fn bounds_are_positive() {
        assert_eq!(refused_key(|s| s.frontdoor.max_in_flight = 0), Some("frontdoor.max_in_flight"));
        assert_eq!(refused_key(|s| s.frontdoor.queue_bound = 0), Some("frontdoor.queue_bound"));
        assert_eq!(
            refused_key(|s| s.runtime.max_cpu_percent = f64::NAN),
            Some("runtime.max_cpu_percent")
        );
    }

    #[test]
    fn gateway_urls_are_https_without_userinfo_query_or_fragment() {
        for issuer in
            ["http://g.example/", "https://u@g.example/", "https://g.example/?q", "g.example"]
        {
            let refused = refused_key(|s| s.gateway.issuer = issuer.to_owned());
            assert_eq!(refused, Some("gateway.issuer"), "{issuer}");
        }
    }

    #[test]
    fn a_catalog_of_this_disk_is_an_absolute_directory_without_a_session() {
        let with = |url: &str, catalog_needs_session: bool| {
            refused_key(|s| {
                s.gateway.issuer = "https://g.example/".to_owned();
                s.gateway.catalog_url = url.to_owned();
                s.gateway.trust_root = "/root.json".into();
                s.gateway.catalog_needs_session = catalog_needs_session;
            })
        };
        assert_eq!(with("file:///home/ana/my%20catalog/", false), None);
        assert_eq!(with("file:///catalog/", true), Some("gateway.catalog_needs_session"));
        for url in [
            "file:///catalog",
            "file://elsewhere.example/catalog/",
            "file:catalog/",
            "file:///catalog/?q/",
            "file:///catalog/#f/",
            "file:///a/%2e%2e/b/",
            "file:///a/../b/",
            "FILE:///catalog/",
        ] {
            assert_eq!(with(url, false), Some("gateway.catalog_url"), "{url}");
        }
    }

    #[test]
    fn a_catalog_needs_a_pinned_root() {
        let refused = refused_key(|s| s.gateway.catalog_url = "https://g.example/c/".to_owned());
        assert_eq!(refused, Some("gateway.trust_root"));
    }

    #[test]
    fn a_catalog_on_a_host_of_the_bytes_is_refused_in_any_spelling() {
        let with = |catalog: &str, host: &str| {
            refused_key(|s| {
                s.gateway.catalog_url = catalog.to_owned();
                s.gateway.trust_root = "/root.json".into();
                s.gateway.catalog_needs_session = false;
                s.models.hosts = vec!["other.example:443".to_owned(), host.to_owned()];
            })
        };
        for (catalog, host) in [
            ("https://h.example/c/", "h.example:443"),
            ("https://h.example/c/", "H.Example.:8443"),
            ("https://H.EXAMPLE.:8443/c/", "h.example:443"),
            ("https://127.0.0.1/c/", "127.0.0.1:9"),
            ("https://[::1]/c/", "[0:0::1]:9"),
        ] {
            assert_eq!(with(catalog, host), Some("gateway.catalog_url"), "{catalog} {host}");
        }
        assert_eq!(with("https://h.example/c/", "h.example.org:443"), None);
    }

    #[test]
    fn profiles_are_plain_names() {
        for name in ["", "..", "A", "a/b", "a b"] {
            assert_eq!(refused_key(|s| s.profile = name.to_owned()), Some("profile"), "{name}");
        }
    }

    #[test]
    fn hosts_are_normalised_and_carry_a_port() {
        assert_eq!(split_host("Models.Example.com.:443"), Some(("models.example.com".into(), 443)));
        assert_eq!(split_host("[::1]:8443"), Some(("::1".into(), 8443)));
        for bad in ["models.example.com", "models.example.com:0", ":443", "a b:443", "h:65536"] {
            assert_eq!(split_host(bad), None, "{bad}");
        }
    }
}
