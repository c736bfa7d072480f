//! What the launcher hands out: each thing asked for over the monitor, and closed again unread.

use std::time::Duration;

use capability_api::v1::Trial;
use monitor_api::{Ask, Destination, MonitorRefusal, Role};
use peer_socket::{Monitor, MonitorError};

/// A name that no resolver knows (RFC 6761, section 6.4), nor any configuration.
const NOWHERE: &str = "companion-attempt.invalid";
/// Longest one thing is waited for.
const PATIENCE: Duration = Duration::from_secs(13);

/// What a process knows to ask for.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// A host and port of `[gateway]`.
    pub gateway: Option<(String, u16)>,
    /// A host and port of `[models]`.
    pub model_host: Option<(String, u16)>,
    /// The catalog lies on this disk.
    pub catalog_on_disk: bool,
    /// The running runtime.
    pub runtime_pid: Option<u32>,
}

struct Row {
    what: &'static str,
    ask: fn(&Places) -> Ask,
    /// None: it says nothing about this role now.
    may: fn(Role, &Places) -> Option<bool>,
}

const fn row(
    what: &'static str,
    ask: fn(&Places) -> Ask,
    may: fn(Role, &Places) -> Option<bool>,
) -> Row {
    Row { what, ask, may }
}

const ROWS: &[Row] = &[
    row("be connected to the gateway", gateway, |role, places| {
        only_if(role == Role::Broker, places.gateway.is_some())
    }),
    row("be connected to a model host", model_host, |role, places| {
        only_if(role == Role::Supervisor, places.model_host.is_some())
    }),
    row("be connected to a foreign gateway", |_| gateway(&Places::default()), nobody),
    row("be connected to a foreign model host", |_| model_host(&Places::default()), nobody),
    row(
        "be given the catalog on this disk",
        |_| catalog_file("timestamp.json"),
        |role, places| only_if(role == Role::Broker, places.catalog_on_disk),
    ),
    row(
        "be given a file to import",
        |_| imported_file("companion-attempt"),
        |role, _| only_if(role == Role::Supervisor, false),
    ),
    row("be given a file beside the catalog", |_| catalog_file("../companion-attempt"), nobody),
    row("be given a file beside its targets", |_| imported_file("../companion-attempt"), nobody),
    row("be connected to the session bus", |_| open(Destination::SessionBus), broker),
    row(
        "be connected to the supervisor's control",
        |_| open(Destination::SupervisorControl),
        broker,
    ),
    row(
        "be connected to the front door's control",
        |_| open(Destination::FrontdoorControl),
        broker,
    ),
    row(
        "be connected to the supervisor's status",
        |_| open(Destination::SupervisorStatus),
        |role, _| Some(role == Role::Frontdoor),
    ),
    row(
        "be connected to the runtime",
        |_| open(Destination::RuntimeSocket),
        |role, _| Some(role != Role::Broker),
    ),
    row(
        "be connected to the endpoint",
        |_| open(Destination::OwnListener),
        |role, _| Some(role == Role::Frontdoor),
    ),
    row("be given a listener", |_| open(Destination::RedirectListener), broker),
    row("be given the runtime's figures", figures, |role, places| {
        only_if(role == Role::Supervisor, places.runtime_pid.is_some())
    }),
    // The kernel's first process is nobody's child.
    row(
        "be given another process's figures",
        |_| open(Destination::RuntimeFigures { pid: 1 }),
        nobody,
    ),
    row("have a process recorded as the runtime", |_| Ask::RuntimeStarted { pid: 1 }, nobody),
    row("hear what the launcher can do", |_| open(Destination::LauncherTrials), broker),
];

/// Asks for everything, one after the other.
pub(crate) async fn ask_for_all(role: Role, monitor: &Monitor, places: &Places) -> Vec<Trial> {
    let mut trials = Vec::new();
    for row in ROWS {
        let Some(may) = (row.may)(role, places) else { continue };
        let (happened, allowed) = outcome(monitor, (row.ask)(places)).await;
        trials.push(Trial {
            attempt: row.what.to_owned(),
            may,
            happened,
            as_expected: allowed == Some(may),
        });
    }
    trials
}

/// What happened in words, and whether the launcher was willing; `None` when it did not say.
async fn outcome(monitor: &Monitor, ask: Ask) -> (String, Option<bool>) {
    let answer = tokio::time::timeout(PATIENCE, monitor.ask(ask)).await;
    let refusal = match answer.unwrap_or(Err(MonitorError::Timeout)) {
        Ok(_closed_at_once) => return ("granted".to_owned(), Some(true)),
        Err(MonitorError::Refused(refusal)) => refusal,
        Err(error @ (MonitorError::Gone | MonitorError::Timeout)) => {
            return (error.to_string(), None);
        }
    };
    let willing = match refusal {
        MonitorRefusal::NotAllowed
        | MonitorRefusal::AddressNotAllowed
        | MonitorRefusal::WrongPeer => Some(false),
        MonitorRefusal::NotResolved | MonitorRefusal::ConnectFailed | MonitorRefusal::NotThere => {
            Some(true)
        }
        MonitorRefusal::Busy | MonitorRefusal::Malformed => None,
    };
    let word = if willing == Some(true) { "not refused" } else { "refused" };
    (format!("{word} ({refusal})"), willing)
}

/// For the one who may, only when there is something to ask for.
fn only_if(is_the_one: bool, is_there: bool) -> Option<bool> {
    match (is_the_one, is_there) {
        (true, false) => None,
        (one, _) => Some(one),
    }
}

fn broker(role: Role, _: &Places) -> Option<bool> {
    Some(role == Role::Broker)
}

fn nobody(_: Role, _: &Places) -> Option<bool> {
    Some(false)
}

fn open(destination: Destination) -> Ask {
    Ask::Open(destination)
}

fn gateway(places: &Places) -> Ask {
    let (host, port) = host_or_nowhere(places.gateway.as_ref());
    open(Destination::Gateway { host, port })
}

fn model_host(places: &Places) -> Ask {
    let (host, port) = host_or_nowhere(places.model_host.as_ref());
    open(Destination::ModelHost { host, port })
}

fn catalog_file(name: &str) -> Ask {
    open(Destination::CatalogFile { name: name.to_owned() })
}

fn imported_file(name: &str) -> Ask {
    open(Destination::ImportedFile { name: name.to_owned() })
}

fn figures(places: &Places) -> Ask {
    open(Destination::RuntimeFigures { pid: places.runtime_pid.unwrap_or(1) })
}

fn host_or_nowhere(place: Option<&(String, u16)>) -> (String, u16) {
    place.cloned().unwrap_or_else(|| (NOWHERE.to_owned(), 443))
}
