//! The monitor's table: who is given what, and nothing else (docs/architecture.md).

use companion_settings::{Settings, split_host};
use monitor_api::{Ask, Destination, MonitorRefusal, Role};

use crate::budget::Pace;

/// A kind of thing a child can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Gateway,
    ModelHost,
    CatalogFile,
    ImportedFile,
    SessionBus,
    SupervisorControl,
    SupervisorStatus,
    FrontdoorControl,
    RuntimeSocket,
    RuntimeFigures,
    RedirectListener,
    OwnListener,
    RuntimeRecord,
    LauncherTrials,
    Ready,
}

/// One grant, with why it is there.
pub(crate) struct Row {
    pub(crate) role: Role,
    pub(crate) kind: Kind,
    /// How often it may be asked for; beyond that the answer is `busy`.
    pub(crate) pace: Pace,
    pub(crate) reason: &'static str,
}

const fn row(role: Role, kind: Kind, pace: Pace, reason: &'static str) -> Row {
    Row { role, kind, pace, reason }
}

/// A start, a sign-in, a person's command.
const SELDOM: Pace = Pace { burst: 64, per_second: 8 };
/// Downloads and catalogs: a name, several addresses, several files.
const OFTEN: Pace = Pace { burst: 256, per_second: 32 };
/// Health of a runtime that starts, asked many times a second.
const POLLED: Pace = Pace { burst: 512, per_second: 128 };
/// As often as a request is admitted, when no connection to the runtime can be used again.
const EACH_REQUEST: Pace = Pace { burst: 4096, per_second: 2048 };

/// Everything that is ever handed out.
pub(crate) const TABLE: [Row; 18] = [
    row(Role::Broker, Kind::Gateway, OFTEN, "sign-in and catalog, hosts of [gateway] only"),
    row(Role::Broker, Kind::CatalogFile, OFTEN, "metadata of a file:// catalog, beneath it only"),
    row(Role::Broker, Kind::SessionBus, SELDOM, "the Secret Service keeps the four accounts"),
    row(Role::Broker, Kind::SupervisorControl, SELDOM, "provision, start, stop, remove"),
    row(Role::Broker, Kind::FrontdoorControl, SELDOM, "the digest of the loopback token"),
    row(Role::Broker, Kind::RedirectListener, SELDOM, "one sign-in redirect"),
    row(
        Role::Broker,
        Kind::LauncherTrials,
        SELDOM,
        "`companionctl capabilities`, which asks the broker",
    ),
    row(Role::Broker, Kind::Ready, SELDOM, "start-up order"),
    row(Role::Supervisor, Kind::ModelHost, OFTEN, "downloads, hosts of [models] only"),
    row(Role::Supervisor, Kind::ImportedFile, OFTEN, "files of a file:// catalog, beneath it only"),
    row(Role::Supervisor, Kind::RuntimeSocket, POLLED, "health while starting"),
    row(Role::Supervisor, Kind::RuntimeFigures, SELDOM, "memory and CPU of its own child"),
    row(
        Role::Supervisor,
        Kind::RuntimeRecord,
        SELDOM,
        "reclaim after a crash, out-of-memory score",
    ),
    row(Role::Supervisor, Kind::Ready, SELDOM, "start-up order"),
    row(Role::Frontdoor, Kind::RuntimeSocket, EACH_REQUEST, "relay of admitted requests"),
    row(Role::Frontdoor, Kind::SupervisorStatus, SELDOM, "lifecycle and resources"),
    row(Role::Frontdoor, Kind::OwnListener, SELDOM, "end-to-end health through its own guard"),
    row(Role::Frontdoor, Kind::Ready, SELDOM, "start-up order"),
];

/// The row that grants this request, if there is one.
pub(crate) fn judge(role: Role, ask: &Ask) -> Result<&'static Row, MonitorRefusal> {
    let kind = kind_of(ask);
    TABLE.iter().find(|row| row.role == role && row.kind == kind).ok_or(MonitorRefusal::NotAllowed)
}

fn kind_of(ask: &Ask) -> Kind {
    match ask {
        Ask::Open(Destination::Gateway { .. }) => Kind::Gateway,
        Ask::Open(Destination::ModelHost { .. }) => Kind::ModelHost,
        Ask::Open(Destination::CatalogFile { .. }) => Kind::CatalogFile,
        Ask::Open(Destination::ImportedFile { .. }) => Kind::ImportedFile,
        Ask::Open(Destination::SessionBus) => Kind::SessionBus,
        Ask::Open(Destination::SupervisorControl) => Kind::SupervisorControl,
        Ask::Open(Destination::SupervisorStatus) => Kind::SupervisorStatus,
        Ask::Open(Destination::FrontdoorControl) => Kind::FrontdoorControl,
        Ask::Open(Destination::RuntimeSocket) => Kind::RuntimeSocket,
        Ask::Open(Destination::RuntimeFigures { .. }) => Kind::RuntimeFigures,
        Ask::Open(Destination::RedirectListener) => Kind::RedirectListener,
        Ask::Open(Destination::OwnListener) => Kind::OwnListener,
        Ask::Open(Destination::LauncherTrials) => Kind::LauncherTrials,
        Ask::RuntimeStarted { .. } | Ask::RuntimeEnded { .. } => Kind::RuntimeRecord,
        Ask::Ready => Kind::Ready,
    }
}

/// Hosts of one section, normalised, and whether they may be on this machine or network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    allowed: Vec<(String, u16)>,
    pub(crate) private: bool,
}

impl Hosts {
    /// The hosts of the issuer and the catalog.
    pub(crate) fn of_gateway(settings: &Settings) -> Self {
        let gateway = &settings.gateway;
        let allowed = [&gateway.issuer, &gateway.catalog_url]
            .into_iter()
            .filter_map(|text| {
                let url = url::Url::parse(text).ok()?;
                split_host(&format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
            })
            .collect();
        Self { allowed, private: gateway.private_hosts }
    }

    /// The hosts the bytes come from.
    pub(crate) fn of_models(settings: &Settings) -> Self {
        let allowed = settings.models.hosts.iter().filter_map(|host| split_host(host)).collect();
        Self { allowed, private: settings.models.private_hosts }
    }

    /// The normalised host, if this exact pair is allowed.
    pub(crate) fn admit(&self, host: &str, port: u16) -> Result<String, MonitorRefusal> {
        let literal = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let wanted = split_host(&literal).ok_or(MonitorRefusal::NotAllowed)?;
        match self.allowed.contains(&wanted) {
            true => Ok(wanted.0),
            false => Err(MonitorRefusal::NotAllowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_ask() -> Vec<Ask> {
        let host = || "h.example".to_owned();
        vec![
            Ask::Open(Destination::Gateway { host: host(), port: 443 }),
            Ask::Open(Destination::ModelHost { host: host(), port: 443 }),
            Ask::Open(Destination::CatalogFile { name: host() }),
            Ask::Open(Destination::ImportedFile { name: host() }),
            Ask::Open(Destination::SessionBus),
            Ask::Open(Destination::SupervisorControl),
            Ask::Open(Destination::SupervisorStatus),
            Ask::Open(Destination::FrontdoorControl),
            Ask::Open(Destination::RuntimeSocket),
            Ask::Open(Destination::RuntimeFigures { pid: 1 }),
            Ask::Open(Destination::RedirectListener),
            Ask::Open(Destination::OwnListener),
            Ask::Open(Destination::LauncherTrials),
            Ask::RuntimeStarted { pid: 1 },
            Ask::RuntimeEnded { pid: 1 },
            Ask::Ready,
        ]
    }

    fn granted_to(role: Role) -> Vec<Kind> {
        let mut kinds: Vec<_> =
            every_ask().iter().filter_map(|ask| Some(judge(role, ask).ok()?.kind)).collect();
        kinds.dedup();
        kinds
    }

    #[test]
    fn each_role_is_given_what_architecture_2_names_and_nothing_else() {
        assert_eq!(
            granted_to(Role::Broker),
            [
                Kind::Gateway,
                Kind::CatalogFile,
                Kind::SessionBus,
                Kind::SupervisorControl,
                Kind::FrontdoorControl,
                Kind::RedirectListener,
                Kind::LauncherTrials,
                Kind::Ready
            ]
        );
        assert_eq!(
            granted_to(Role::Supervisor),
            [
                Kind::ModelHost,
                Kind::ImportedFile,
                Kind::RuntimeSocket,
                Kind::RuntimeFigures,
                Kind::RuntimeRecord,
                Kind::Ready
            ]
        );
        assert_eq!(
            granted_to(Role::Frontdoor),
            [Kind::SupervisorStatus, Kind::RuntimeSocket, Kind::OwnListener, Kind::Ready]
        );
    }

    #[test]
    fn every_row_says_why() {
        assert!(TABLE.iter().all(|row| row.reason.len() > 10));
    }

    #[test]
    fn hosts_are_compared_after_normalisation_and_exactly() {
        let mut settings = Settings::default();
        settings.models.hosts = vec!["models.example.com:443".to_owned(), "[::1]:8443".to_owned()];
        let hosts = Hosts::of_models(&settings);
        assert_eq!(hosts.admit("Models.Example.COM.", 443).unwrap(), "models.example.com");
        assert_eq!(hosts.admit("::1", 8443).unwrap(), "::1");
        for (host, port) in [
            ("models.example.com", 444),
            ("models.example.com.evil.test", 443),
            ("evil.models.example.com", 443),
            ("models.example.com:443@evil.test", 443),
            ("", 443),
            ("127.0.0.1", 443),
            ("2130706433", 443),
        ] {
            assert!(hosts.admit(host, port).is_err(), "{host}:{port}");
        }
    }

    #[test]
    fn the_gateway_section_names_the_issuer_and_the_catalog_alone() {
        let mut settings = Settings::default();
        settings.gateway.issuer = "https://gateway.example.com/api".to_owned();
        settings.gateway.catalog_url = "https://catalog.example.com:8443/c/".to_owned();
        let hosts = Hosts::of_gateway(&settings);
        assert!(hosts.admit("gateway.example.com", 443).is_ok());
        assert!(hosts.admit("catalog.example.com", 8443).is_ok());
        assert!(hosts.admit("catalog.example.com", 443).is_err());
    }
}
