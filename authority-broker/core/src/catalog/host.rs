//! Names of hosts, compared after normalisation.

use url::{Host, Url};

use crate::Reason;

/// A host by name or address: lowercase, without a trailing dot, in ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName(String);

impl HostName {
    /// The host of a URL; `None` where it has none.
    #[must_use]
    pub fn of_url(url: &Url) -> Option<Self> {
        match url.host()? {
            // The URL parser leaves the host of a scheme it does not know as it was written.
            Host::Domain(name) => Self::normalise(name),
            Host::Ipv4(address) => Some(Self(address.to_string())),
            Host::Ipv6(address) => Some(Self(match address.to_ipv4_mapped() {
                Some(v4) => v4.to_string(),
                None => address.to_string(),
            })),
        }
    }

    /// The host of a `host:port` pair of the configuration.
    ///
    /// # Errors
    /// `manifest_untrusted` when it is none: a source that cannot be compared allows nothing.
    pub fn of_pair(pair: &str) -> Result<Self, Reason> {
        let url = Url::parse(&format!("https://{pair}/")).map_err(|_| Reason::ManifestUntrusted)?;
        Self::of_url(&url).ok_or(Reason::ManifestUntrusted)
    }

    fn normalise(name: &str) -> Option<Self> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        (!name.is_empty()).then_some(Self(name))
    }
}

/// The allowed source of a `host:port` pair of the configuration, as a URL prefix.
///
/// # Errors
/// `manifest_untrusted` when the pair is none, or names a user, path, query or fragment.
pub fn allowed_source(pair: &str) -> Result<String, Reason> {
    let refused = Reason::ManifestUntrusted;
    if pair.contains(['/', '?', '#', '@', '\\']) {
        return Err(refused);
    }
    let url = Url::parse(&format!("https://{pair}/")).map_err(|_| refused)?;
    let host = url.host_str().ok_or(refused)?;
    let host = host.strip_suffix('.').unwrap_or(host);
    let port = url.port_or_known_default().ok_or(refused)?;
    Ok(format!("https://{host}:{port}/"))
}
