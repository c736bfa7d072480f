//! What is read before the process is confined, and the order in which it then serves.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use authority_api::v1::authority_server::AuthorityServer;
use monitor_api::{Ask, BrokerCharter, Destination, descriptor};
use peer_socket::{Monitor, PeerListener, PeerRule};
use rustls::ClientConfig;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tonic::transport::Server;

use crate::catalog::Catalogs;
use crate::connections::Connections;
use crate::failure::Failure;
use crate::https::Https;
use crate::keychain::Keychain;
use crate::limits::{FIRST_FILE_BYTES, SHUTDOWN};
use crate::loopback_token::Loopback;
use crate::service::AuthorityService;
use crate::session::Sessions;
use crate::signin::SignIns;
use crate::store_view::Supervisor;
use crate::tls;
use crate::trials;
use crate::wanted::Wanted;
use crate::work::Work;

/// What the confined process can no longer read.
pub(crate) struct FirstReadings {
    tls: Option<Arc<ClientConfig>>,
    trust_root: Option<Vec<u8>>,
}

impl FirstReadings {
    /// Reads the certificate authorities and the pinned root of the catalog.
    ///
    /// # Errors
    /// When the configured `ca_file` cannot be used.
    pub(crate) fn read(charter: &BrokerCharter) -> Result<Self, Failure> {
        let trust_root = &charter.gateway.trust_root;
        let configured = !trust_root.as_os_str().is_empty();
        let read = configured.then(|| read_bounded(trust_root, FIRST_FILE_BYTES)).flatten();
        if configured && read.is_none() {
            tracing::error!("gateway.trust_root cannot be read: there is no catalog");
        }
        Ok(Self { tls: tls::client_config(&charter.gateway.ca_file)?, trust_root: read })
    }
}

/// The whole of a file that is no longer than `limit`.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(limit + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= limit).then_some(bytes)
}

/// Serves until it is told to end.
pub(crate) async fn serve(charter: BrokerCharter, readings: FirstReadings) -> Result<(), Failure> {
    let monitor = Monitor::adopt(descriptor::MONITOR).map_err(|_| Failure::Sockets)?;
    let listener = PeerListener::adopt(descriptor::BROKER_SOCKET, PeerRule::SameUser)
        .map_err(|_| Failure::Sockets)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(|_| Failure::Runtime)?;
    let service = assemble(&charter, readings, &monitor);

    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<AuthorityServer<AuthorityService>>().await;
    let server = Server::builder()
        .add_service(AuthorityServer::new(service))
        .add_service(trials::server(&charter, &monitor))
        .add_service(health)
        .add_service(reflected().build_v1().map_err(|_| Failure::Server)?)
        .add_service(reflected().build_v1alpha().map_err(|_| Failure::Server)?);

    let (ending, told) = tokio::sync::oneshot::channel::<()>();
    let serving = server.serve_with_incoming_shutdown(listener, async {
        let _ = told.await;
    });
    tokio::pin!(serving);
    let ready = async {
        if monitor.tell(Ask::Ready).await.is_err() {
            tracing::warn!("the launcher was not told that the broker serves");
        }
        terminated.recv().await;
    };
    tokio::select! {
        _ = &mut serving => return Err(Failure::Server),
        () = ready => {}
    }
    tracing::info!("ending");
    drop(ending);
    // Streams that people hold open do not hold up the end.
    tokio::select! {
        _ = &mut serving => {}
        () = sleep(SHUTDOWN) => {}
    }
    Ok(())
}

/// The parts, each given what it may use and nothing else.
fn assemble(
    charter: &BrokerCharter,
    readings: FirstReadings,
    monitor: &Monitor,
) -> AuthorityService {
    let BrokerCharter { gateway, profile, model_hosts, state_dir, start_id, .. } = charter;
    let connections = Connections::Monitor(monitor.clone());
    let https = Https::new(connections.clone(), readings.tls);
    let keychain = Keychain::new(charter.keychain.backend, profile, connections.clone());
    let sessions = Sessions::new(&gateway.issuer, keychain.clone(), https.clone());
    let sign_ins = SignIns::new(
        gateway.clone(),
        connections,
        https.clone(),
        keychain.clone(),
        Arc::clone(&sessions),
    );
    let trust_root = readings.trust_root;
    let catalogs =
        Catalogs::new(gateway, trust_root, model_hosts, state_dir, https, Arc::clone(&sessions));
    let supervisor = Supervisor::new(monitor.channel(Destination::SupervisorControl), model_hosts);
    let wanted = Wanted::new(state_dir, start_id, &charter.autostart_model);
    let work = Work::new(catalogs, supervisor, wanted);
    let loopback = Loopback::new(keychain.clone(), start_id);

    tokio::spawn(Arc::clone(&loopback).watch_keychain());
    let frontdoor = monitor.channel(Destination::FrontdoorControl);
    tokio::spawn(Arc::clone(&loopback).hold_at_frontdoor(frontdoor));
    tokio::spawn(Arc::clone(&work).keep_wanted());
    let launcher_pid = charter.launcher_pid;
    AuthorityService { sign_ins, sessions, keychain, loopback, work, launcher_pid }
}

/// gRPC reflection, so that any gRPC tool can read the service.
fn reflected() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(authority_api::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(capabilities::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
