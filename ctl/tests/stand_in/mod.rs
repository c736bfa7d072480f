//! A stand-in for the three processes and the endpoint: it says what a test tells it to. The
//! real ones are met in the whole-system tests; here the subject is `companionctl` alone.

mod endpoint;
mod services;

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use authority_api::v1 as authority;
use authority_api::v1::authority_server::AuthorityServer;
use frontdoor_api::v1::FrontdoorStatus;
use frontdoor_api::v1::frontdoor_inspect_server::FrontdoorInspectServer;
use runtime_api::v1::RuntimeFacts;
use runtime_api::v1::runtime_inspect_server::RuntimeInspectServer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

pub(crate) use endpoint::Served;

/// The key that the stand-in's broker gives out and its endpoint asks for.
pub(crate) const TOKEN: &str = "tokentokentokentokentokentokentokentoken-_0";

/// What the stand-in says. Everything is well at first.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) broker: bool,
    pub(crate) supervisor: bool,
    pub(crate) frontdoor: bool,
    pub(crate) door: FrontdoorStatus,
    pub(crate) facts: RuntimeFacts,
    pub(crate) session: authority::Session,
    pub(crate) sign_in: Vec<authority::sign_in_event::Event>,
    pub(crate) work: Vec<authority::work_event::Event>,
    pub(crate) catalog: Vec<authority::CatalogEntry>,
    pub(crate) logs: Vec<String>,
    /// Reason with which every call to the broker is refused.
    pub(crate) refuse: Option<&'static str>,
    /// What the endpoint answers; `None` when the test brings an endpoint of its own.
    pub(crate) answer: Option<Served>,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            broker: true,
            supervisor: true,
            frontdoor: true,
            door: FrontdoorStatus {
                available: true,
                lane: "local".to_owned(),
                frontdoor_pid: 14,
                ..FrontdoorStatus::default()
            },
            facts: RuntimeFacts {
                lifecycle: runtime_api::v1::Lifecycle::Ready.into(),
                model_id: "stand-in-model".to_owned(),
                supervisor_pid: 13,
                runtime_pid: 15,
                generation: 1,
                ..RuntimeFacts::default()
            },
            session: authority::Session {
                state: authority::SessionState::Valid.into(),
                account_configured: true,
                keychain_backend: "system".to_owned(),
                launcher_pid: 11,
                broker_pid: 12,
                ..authority::Session::default()
            },
            sign_in: Vec::new(),
            work: Vec::new(),
            catalog: Vec::new(),
            logs: Vec::new(),
            refuse: None,
            answer: Some(Served::Chunks(Vec::new())),
        }
    }
}

/// A stand-in that serves until it is dropped.
pub(crate) struct StandIn {
    dir: TempDir,
    asked: endpoint::Asked,
    runtime: Option<tokio::runtime::Runtime>,
}

impl StandIn {
    /// Binds what the scene has, and serves.
    pub(crate) fn up(mut scene: Scene) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).expect("mode");
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let _inside = runtime.enter();
        let asked = endpoint::Asked::default();
        if let Some(served) = scene.answer.clone() {
            let (address, listener) = bind_loopback().expect("bound");
            scene.door.endpoint = format!("http://{address}");
            runtime.spawn(endpoint::serve(listener, served, Arc::clone(&asked)));
        }
        let scene = Arc::new(scene);
        let said = services::Said(Arc::clone(&scene));
        let at = |name: &str| bind(&dir.path().join(name)).expect("bound");
        if scene.broker {
            let service = AuthorityServer::new(said.clone());
            let incoming = at("broker.sock");
            runtime.spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        }
        if scene.supervisor {
            let service = RuntimeInspectServer::new(said.clone());
            let incoming = at("supervisor.sock");
            runtime.spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        }
        if scene.frontdoor {
            let service = FrontdoorInspectServer::new(said);
            let incoming = at("frontdoor.sock");
            runtime.spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        }
        Self { dir, asked, runtime: Some(runtime) }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the endpoint was asked so far.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("log").clone()
    }

    /// Runs `companionctl` against this stand-in, with an environment built from nothing.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> Ran {
        self.ctl_with(arguments, "", &[])
    }

    /// As [`StandIn::ctl`], with standard input and more environment.
    pub(crate) fn ctl_with(&self, arguments: &[&str], input: &str, env: &[(&str, &str)]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_companionctl"))
            .arg("--runtime-dir")
            .arg(self.dir())
            .args(arguments)
            .env_clear()
            .env("HOME", self.dir())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("companionctl runs");
        let mut stdin = child.stdin.take().expect("stdin");
        // A program that does not read its input may be gone already.
        let _unread = io::Write::write_all(&mut stdin, input.as_bytes());
        drop(stdin);
        Ran(child.wait_with_output().expect("companionctl ends"))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a run of `companionctl` gave.
#[derive(Debug)]
pub(crate) struct Ran(Output);

impl Ran {
    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().expect("ended by itself")
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).expect("text")
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).expect("text")
    }

    /// The one JSON object on standard output.
    pub(crate) fn json(&self) -> Value {
        let mut objects = self.events();
        assert_eq!(objects.len(), 1, "{self:?}");
        objects.remove(0)
    }

    /// The JSON objects on standard output, one a line.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.stdout().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn bind(path: &Path) -> io::Result<UnixListenerStream> {
    let listener = peer_socket::bind_private(path)?;
    listener.set_nonblocking(true)?;
    Ok(UnixListenerStream::new(UnixListener::from_std(listener)?))
}

fn bind_loopback() -> io::Result<(SocketAddr, tokio::net::TcpListener)> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(16)?;
    socket.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(socket.into())?;
    Ok((listener.local_addr()?, listener))
}
