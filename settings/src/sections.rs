//! The sections of the configuration file with their defaults (contract 12).

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

/// The whole configuration file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Name of this installation: part of its directories and of its keychain service name.
    pub profile: String,
    /// The first party: authorization server and catalog.
    pub gateway: Gateway,
    /// Where the bytes come from.
    pub models: Models,
    /// Where credentials are kept.
    pub keychain: Keychain,
    /// The guarded endpoint.
    pub frontdoor: Frontdoor,
    /// The model process.
    pub runtime: Runtime,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: "default".to_owned(),
            gateway: Gateway::default(),
            models: Models::default(),
            keychain: Keychain::default(),
            frontdoor: Frontdoor::default(),
            runtime: Runtime::default(),
        }
    }
}

/// `[gateway]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// Issuer identifier (RFC 8414), compared exactly. Empty: no account on this installation.
    pub issuer: String,
    /// Base URL of the TUF repository, `https` or `file`; its metadata lies under `metadata/`,
    /// and the files of one on this disk under `targets/`.
    pub catalog_url: String,
    /// Path of the pinned first root of the catalog.
    pub trust_root: PathBuf,
    /// Empty: dynamic client registration (RFC 7591).
    pub client_id: String,
    /// Scopes asked for.
    pub scopes: Vec<String>,
    /// Whether an authorization response without `iss` is fatal (RFC 9207).
    pub require_iss: bool,
    /// Whether the catalog is fetched with the session's access token.
    pub catalog_needs_session: bool,
    /// PEM file with one more CA for this host; empty: the system's alone.
    pub ca_file: PathBuf,
    /// Development: allow loopback and private addresses.
    pub private_hosts: bool,
}

impl Gateway {
    /// The directory of a `file://` catalog; `None` when it is not on this disk, or not written
    /// in the one way that every reader understands alike.
    #[must_use]
    pub fn catalog_directory(&self) -> Option<PathBuf> {
        if !self.catalog_url.starts_with("file:///") {
            return None;
        }
        let url = Url::parse(&self.catalog_url).ok()?;
        // The parser resolves dot segments and drops what is no path: then it is not as written.
        (url.as_str() == self.catalog_url && url.query().is_none() && url.fragment().is_none())
            .then(|| url.to_file_path().ok())?
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            catalog_url: String::new(),
            trust_root: PathBuf::new(),
            client_id: String::new(),
            scopes: vec!["vault:read".to_owned(), "vault:write".to_owned()],
            require_iss: true,
            catalog_needs_session: true,
            ca_file: PathBuf::new(),
            private_hosts: false,
        }
    }
}

/// `[models]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    /// `host:port` pairs the supervisor may be connected to, and nowhere else.
    pub hosts: Vec<String>,
    /// PEM file with one more CA for these hosts; empty: the system's alone.
    pub ca_file: PathBuf,
    /// Development: allow loopback and private addresses.
    pub private_hosts: bool,
}

/// `[keychain]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keychain {
    /// Which store holds the four accounts.
    pub backend: KeychainBackend,
}

/// Where the four accounts are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeychainBackend {
    /// The platform's keychain (Secret Service on Linux).
    #[default]
    System,
    /// The kernel keyring: memory only, gone at reboot.
    Kernel,
}

/// `[frontdoor]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Frontdoor {
    /// `127.0.0.1` or `::1`; anything else is refused.
    pub bind: IpAddr,
    /// Requests at the runtime at one time; at least 1.
    pub max_in_flight: u32,
    /// Requests waiting for a slot; at least 1.
    pub queue_bound: u32,
    /// Seconds a request may wait.
    pub queue_timeout_s: u64,
    /// Requests that may reach the token step in one window.
    pub rate_limit_requests: u32,
    /// Length of the window in seconds.
    pub rate_limit_window_s: u64,
    /// Bytes of a request body.
    pub max_body_bytes: u64,
    /// Open client connections.
    pub max_connections: u32,
}

impl Default for Frontdoor {
    fn default() -> Self {
        Self {
            bind: IpAddr::from([127, 0, 0, 1]),
            max_in_flight: 2,
            queue_bound: 16,
            queue_timeout_s: 60,
            rate_limit_requests: 600,
            rate_limit_window_s: 60,
            max_body_bytes: 16 * 1024 * 1024,
            max_connections: 256,
        }
    }
}

/// `[runtime]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Runtime {
    /// Catalog id to start by itself once verified; empty: wait for `companionctl start`.
    pub model: String,
    /// Tokens of context, over all parallel sequences.
    pub context_length: u32,
    /// 0: physical cores.
    pub threads: u32,
    /// Sequences decoded at one time.
    pub parallel: u32,
    /// 0: three quarters of the machine.
    pub max_ram_bytes: u64,
    /// 0: no ceiling.
    pub max_vram_bytes: u64,
    /// Percent of the whole machine, 1 to 100.
    pub max_cpu_percent: f64,
    /// Whether the runtime may compute on graphics cards; else no device is in its sandbox.
    pub gpu: bool,
    /// Seconds between end-to-end health probes.
    pub health_interval_s: u64,
    /// Seconds after which the last success no longer counts.
    pub health_recency_s: u64,
    /// Seconds streams may still run after a stop.
    pub drain_timeout_s: u64,
    /// Seconds without a request after which the model is unloaded; 0: never.
    pub idle_unload_s: u64,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            model: String::new(),
            context_length: 4096,
            threads: 0,
            parallel: 2,
            max_ram_bytes: 0,
            max_vram_bytes: 0,
            max_cpu_percent: 100.0,
            gpu: false,
            health_interval_s: 5,
            health_recency_s: 15,
            drain_timeout_s: 30,
            idle_unload_s: 0,
        }
    }
}
