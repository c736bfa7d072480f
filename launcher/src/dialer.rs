//! Opens what the table granted.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use companion_settings::{Dirs, Settings};
use monitor_api::{Ask, Destination, MonitorRefusal};
use peer_socket::{PeerCredentials, peer_credentials};
use rustix::process::geteuid;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;

use crate::catalog_files::CatalogDirectory;
use crate::limits::CONNECT_LIMIT;
use crate::reclaim::Record;
use crate::resolve::resolve;
use crate::runtime_socket::{RuntimeSocket, dial, open_directory, open_socket_beneath};
use crate::session_bus::BusAddress;
use crate::table::Hosts;
use crate::{directories, figures, listeners, trials};

/// What the launcher needs to open connections for its children.
pub(crate) struct Dialer {
    gateway: Hosts,
    models: Hosts,
    catalog: Option<CatalogDirectory>,
    bound: SocketAddr,
    session_bus: Option<BusAddress>,
    runtime_dir: OwnedFd,
    runtime_socket: Mutex<RuntimeSocket>,
    record: Record,
    no_program: PathBuf,
    /// 0 while no supervisor runs.
    supervisor: AtomicU32,
    /// 0 while the supervisor has told of no runtime.
    runtime: AtomicU32,
}

impl Dialer {
    pub(crate) fn new(
        settings: &Settings,
        dirs: &Dirs,
        bound: SocketAddr,
    ) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            gateway: Hosts::of_gateway(settings),
            models: Hosts::of_models(settings),
            catalog: settings.gateway.catalog_directory().map(CatalogDirectory::new),
            bound,
            session_bus: BusAddress::of_environment(),
            runtime_dir: open_directory(&dirs.runtime)?,
            runtime_socket: Mutex::new(RuntimeSocket::beneath(&dirs.runtime_scratch())?),
            record: Record::of(dirs),
            no_program: directories::no_program(dirs),
            supervisor: AtomicU32::new(0),
            runtime: AtomicU32::new(0),
        }))
    }

    /// The supervisor of this moment.
    pub(crate) async fn supervisor_is(&self, pid: u32) {
        self.supervisor.store(pid, Ordering::SeqCst);
        self.runtime_socket.lock().await.forget();
    }

    /// No supervisor runs, and no runtime of its is dialled any more.
    pub(crate) async fn supervisor_has_ended(&self) {
        self.supervisor.store(0, Ordering::SeqCst);
        self.runtime.store(0, Ordering::SeqCst);
        self.runtime_socket.lock().await.forget();
    }

    /// Ends a runtime that outlived its supervisor: its parent-death signal has, or this does.
    pub(crate) async fn end_leftover_runtime(&self) {
        let record = self.record.clone();
        match tokio::task::spawn_blocking(move || record.reclaim()).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => tracing::warn!("a runtime that outlived its supervisor was ended"),
            Ok(Err(_)) | Err(_) => tracing::error!("a left-over runtime could not be ended"),
        }
    }

    /// Carries out a granted request.
    pub(crate) async fn serve(&self, ask: &Ask) -> Result<Vec<OwnedFd>, MonitorRefusal> {
        match ask {
            Ask::Open(destination) => self.open(destination).await,
            Ask::RuntimeStarted { pid } => {
                figures::require_child(*pid, self.supervisor()?)?;
                self.runtime.store(*pid, Ordering::SeqCst);
                self.runtime_socket.lock().await.forget();
                self.record.keep(*pid).map_err(|_| MonitorRefusal::NotThere)?;
                Ok(Vec::new())
            }
            Ask::RuntimeEnded { pid } => {
                self.runtime_has_ended(*pid).await;
                Ok(Vec::new())
            }
            Ask::Ready => Ok(Vec::new()),
        }
    }

    /// Forgets that runtime, and not one that was started since.
    async fn runtime_has_ended(&self, pid: u32) {
        let none = self.runtime.compare_exchange(pid, 0, Ordering::SeqCst, Ordering::SeqCst);
        if none.is_ok() {
            self.runtime_socket.lock().await.forget();
            self.end_leftover_runtime().await;
        }
    }

    async fn open(&self, destination: &Destination) -> Result<Vec<OwnedFd>, MonitorRefusal> {
        match destination {
            Destination::Gateway { host, port } => tcp_to(&self.gateway, host, *port).await,
            Destination::ModelHost { host, port } => tcp_to(&self.models, host, *port).await,
            Destination::CatalogFile { name } => self.catalog()?.open("metadata", name).map(one),
            Destination::ImportedFile { name } => self.catalog()?.open("targets", name).map(one),
            Destination::SessionBus => self.open_session_bus().await,
            Destination::SupervisorControl => self.own_socket(listeners::SUPERVISOR_CONTROL).await,
            Destination::SupervisorStatus => self.own_socket(listeners::SUPERVISOR_STATUS).await,
            Destination::FrontdoorControl => self.own_socket(listeners::FRONTDOOR_CONTROL).await,
            Destination::RuntimeSocket => self.open_runtime_socket().await,
            Destination::RuntimeFigures { pid } => figures::open(*pid, self.supervisor()?),
            Destination::RedirectListener => {
                listeners::redirect_listener().map(one).map_err(|_| MonitorRefusal::NotThere)
            }
            Destination::OwnListener => {
                let stream = connect(self.bound).await?;
                Ok(one(stream.into()))
            }
            Destination::LauncherTrials => trials::tell(&self.no_program).await,
        }
    }

    fn catalog(&self) -> Result<&CatalogDirectory, MonitorRefusal> {
        self.catalog.as_ref().ok_or(MonitorRefusal::NotAllowed)
    }

    fn supervisor(&self) -> Result<u32, MonitorRefusal> {
        match self.supervisor.load(Ordering::SeqCst) {
            0 => Err(MonitorRefusal::NotThere),
            pid => Ok(pid),
        }
    }

    async fn own_socket(&self, name: &str) -> Result<Vec<OwnedFd>, MonitorRefusal> {
        let socket = open_socket_beneath(&self.runtime_dir, name)?;
        let stream = dial(&socket).await?;
        let peer = own_user(&stream)?;
        // The launcher bound it; whoever else listens there put it there.
        if peer.pid != std::process::id() {
            return Err(MonitorRefusal::WrongPeer);
        }
        into_descriptor(stream)
    }

    /// Dials the runtime, and adopts its socket once its peer is known to be a child of the
    /// supervisor.
    async fn open_runtime_socket(&self) -> Result<Vec<OwnedFd>, MonitorRefusal> {
        let mut runtime_socket = self.runtime_socket.lock().await;
        let (socket, is_new) = runtime_socket.candidate()?;
        let stream = dial(&socket).await?;
        let peer = own_user(&stream)?;
        figures::require_child(peer.pid, self.supervisor()?)?;
        // Asked again: the number meant this peer while its parent was looked up.
        if own_user(&stream)?.pid != peer.pid {
            return Err(MonitorRefusal::WrongPeer);
        }
        if is_new {
            runtime_socket.adopt(socket);
        }
        into_descriptor(stream)
    }

    async fn open_session_bus(&self) -> Result<Vec<OwnedFd>, MonitorRefusal> {
        let address = self.session_bus.as_ref().ok_or(MonitorRefusal::NotThere)?;
        let stream = address.connect().await.map_err(|_| MonitorRefusal::ConnectFailed)?;
        own_user(&stream)?;
        into_descriptor(stream)
    }
}

/// Who listens at the other end, alive and of this user.
fn own_user(stream: &UnixStream) -> Result<PeerCredentials, MonitorRefusal> {
    peer_credentials(stream)
        .ok()
        .filter(|peer| peer.uid == geteuid().as_raw())
        .ok_or(MonitorRefusal::WrongPeer)
}

async fn tcp_to(hosts: &Hosts, host: &str, port: u16) -> Result<Vec<OwnedFd>, MonitorRefusal> {
    let name = hosts.admit(host, port)?;
    let mut refusal = MonitorRefusal::ConnectFailed;
    for address in resolve(&name, port, hosts.private).await? {
        match connect(address).await {
            Ok(stream) => return Ok(one(stream.into())),
            Err(failed) => refusal = failed,
        }
    }
    Err(refusal)
}

async fn connect(address: SocketAddr) -> Result<std::net::TcpStream, MonitorRefusal> {
    let stream = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address))
        .await
        .map_err(|_| MonitorRefusal::ConnectFailed)?
        .map_err(|_| MonitorRefusal::ConnectFailed)?;
    // A TCP socket that connected to itself is nobody's listener.
    if stream.local_addr().ok() == stream.peer_addr().ok() {
        return Err(MonitorRefusal::ConnectFailed);
    }
    stream.set_nodelay(true).map_err(|_| MonitorRefusal::ConnectFailed)?;
    stream.into_std().map_err(|_| MonitorRefusal::ConnectFailed)
}

fn into_descriptor(stream: UnixStream) -> Result<Vec<OwnedFd>, MonitorRefusal> {
    let stream = stream.into_std().map_err(|_| MonitorRefusal::ConnectFailed)?;
    Ok(one(stream.into()))
}

fn one(descriptor: OwnedFd) -> Vec<OwnedFd> {
    vec![descriptor]
}

#[cfg(test)]
#[path = "dialer_tests.rs"]
mod tests;
