//! What this process may and may not do, and what the launcher tells of itself when asked.

use std::fs::File;
use std::io::Read as _;

use capabilities::{Capabilities, Own, Places, ProcessTrials, Server, failed, told};
use companion_settings::{Gateway, KeychainBackend};
use confine::{Aims, Trial, Tried};
use monitor_api::{BrokerCharter, Destination, Role};
use peer_socket::Monitor;
use url::Url;

/// The launcher's name in the table of roles.
const LAUNCHER: &str = "launcher";
/// Longest list of the launcher's that is read, in bytes.
const MOST_TOLD: u64 = 64 * 1024;

/// The service; the launcher has no socket for people, and tells by way of this process.
pub(crate) fn server(charter: &BrokerCharter, monitor: &Monitor) -> Server {
    let own = Own {
        process: "broker",
        role: Role::Broker,
        who: Tried::Broker { kernel_keyring: charter.keychain.backend == KeychainBackend::Kernel },
        aims: Aims {
            no_program: charter.no_program.clone(),
            own_directory: Some(charter.state_dir.clone()),
        },
        monitor: monitor.clone(),
    };
    let places = Places {
        gateway: gateway(&charter.gateway),
        catalog_on_disk: charter.gateway.catalog_url.starts_with("file:"),
        ..Places::default()
    };
    Capabilities::server(move || {
        let (own, places) = (own.clone(), places.clone());
        Box::pin(async move { vec![launcher(&own.monitor).await, own.trials(&places).await] })
    })
}

fn gateway(gateway: &Gateway) -> Option<(String, u16)> {
    let url = Url::parse(&gateway.issuer).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

async fn launcher(monitor: &Monitor) -> ProcessTrials {
    let tried = match monitor.open(Destination::LauncherTrials).await {
        Ok(files) => files.into_iter().next().and_then(|file| read(File::from(file))),
        Err(_) => None,
    };
    tried.map_or_else(|| failed(LAUNCHER, "internal"), |tried| told(LAUNCHER, tried))
}

fn read(file: File) -> Option<Vec<Trial>> {
    let mut text = Vec::new();
    file.take(MOST_TOLD).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
