//! The launcher is no confused deputy (architecture 2): each planted thing is refused.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::{Child, Command};

use companion_settings::Overrides;
use peer_socket::bind_private;

use super::*;

struct World {
    _base: tempfile::TempDir,
    dirs: Dirs,
    dialer: Arc<Dialer>,
}

fn world(settings: &Settings) -> World {
    let base = tempfile::tempdir().unwrap();
    let overrides = Overrides {
        runtime: Some(base.path().join("run")),
        state: Some(base.path().join("state")),
        data: Some(base.path().join("data")),
    };
    let dirs = Dirs::resolve("default", &overrides, |_| None);
    crate::directories::prepare(&dirs).unwrap();
    let dialer = Dialer::new(settings, &dirs, "127.0.0.1:1".parse().unwrap()).unwrap();
    World { _base: base, dirs, dialer }
}

impl World {
    async fn open(&self, destination: Destination) -> Result<Vec<OwnedFd>, MonitorRefusal> {
        self.dialer.serve(&Ask::Open(destination)).await
    }

    fn runtime_socket(&self) -> std::path::PathBuf {
        self.dirs.runtime_scratch().join(crate::runtime_socket::NAME)
    }

    fn has_record(&self) -> bool {
        self.dirs.state.join("runtime.json").exists()
    }
}

/// The test itself listens, so that its own parent plays the supervisor.
fn own_parent() -> u32 {
    rustix::process::getppid().unwrap().as_raw_nonzero().get().unsigned_abs()
}

fn sleeper() -> Child {
    Command::new("/bin/sleep").arg("60").spawn().unwrap()
}

#[tokio::test]
async fn the_runtimes_socket_loses_its_name_once_it_is_dialled_and_is_dialled_again() {
    let world = world(&Settings::default());
    assert_eq!(world.open(Destination::RuntimeSocket).await.unwrap_err(), MonitorRefusal::NotThere);
    world.dialer.supervisor_is(own_parent()).await;
    let _listener = bind_private(&world.runtime_socket()).unwrap();
    assert_eq!(world.open(Destination::RuntimeSocket).await.unwrap().len(), 1);
    assert!(!world.runtime_socket().exists());
    assert_eq!(world.open(Destination::RuntimeSocket).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_listener_that_is_no_child_of_the_supervisor_is_refused_and_not_adopted() {
    let world = world(&Settings::default());
    let _listener = bind_private(&world.runtime_socket()).unwrap();
    for supervisor in [std::process::id(), 1] {
        world.dialer.supervisor_is(supervisor).await;
        let refused = world.open(Destination::RuntimeSocket).await.unwrap_err();
        // Under a test runner that is process 1, that one is the parent.
        if supervisor != own_parent() {
            assert_eq!(refused, MonitorRefusal::WrongPeer);
            assert!(world.runtime_socket().exists());
        }
    }
}

#[tokio::test]
async fn what_is_put_in_place_of_the_runtimes_socket_later_is_refused_too() {
    let world = world(&Settings::default());
    world.dialer.supervisor_is(own_parent()).await;
    let _listener = bind_private(&world.runtime_socket()).unwrap();
    world.open(Destination::RuntimeSocket).await.unwrap();

    let bus = world.dirs.socket("bus");
    let _bus = bind_private(&bus).unwrap();
    symlink(&bus, world.runtime_socket()).unwrap();
    let refused = world.open(Destination::RuntimeSocket).await.unwrap_err();
    assert_eq!(refused, MonitorRefusal::WrongPeer);
}

#[tokio::test]
async fn a_runtime_that_ended_or_lost_its_supervisor_is_not_dialled_any_more() {
    let world = world(&Settings::default());
    world.dialer.supervisor_is(own_parent()).await;
    let _listener = bind_private(&world.runtime_socket()).unwrap();
    world.open(Destination::RuntimeSocket).await.unwrap();
    world.dialer.supervisor_has_ended().await;
    let refused = world.open(Destination::RuntimeSocket).await.unwrap_err();
    assert_eq!(refused, MonitorRefusal::NotThere);
}

#[tokio::test]
async fn a_control_socket_is_dialled_and_a_link_in_its_place_is_not() {
    let world = world(&Settings::default());
    let _control = bind_private(&world.dirs.socket(listeners::SUPERVISOR_CONTROL)).unwrap();
    assert_eq!(world.open(Destination::SupervisorControl).await.unwrap().len(), 1);
    let other = world.dirs.socket("other.sock");
    let _other = bind_private(&other).unwrap();
    symlink(&other, world.dirs.socket(listeners::FRONTDOOR_CONTROL)).unwrap();
    let refused = world.open(Destination::FrontdoorControl).await.unwrap_err();
    assert_eq!(refused, MonitorRefusal::WrongPeer);
}

#[tokio::test]
async fn a_runtime_is_on_record_from_its_start_to_its_own_end() {
    let world = world(&Settings::default());
    world.dialer.supervisor_is(std::process::id()).await;
    let mut runtime = sleeper();
    let pid = runtime.id();
    world.dialer.serve(&Ask::RuntimeStarted { pid }).await.unwrap();
    assert!(world.has_record());
    world.dialer.serve(&Ask::RuntimeEnded { pid: pid + 1 }).await.unwrap();
    assert!(world.has_record(), "the end of another runtime took the record");
    runtime.kill().unwrap();
    runtime.wait().unwrap();
    world.dialer.serve(&Ask::RuntimeEnded { pid }).await.unwrap();
    assert!(!world.has_record());
}

#[tokio::test]
async fn a_foreign_process_is_never_recorded_as_the_runtime() {
    let world = world(&Settings::default());
    let mut foreign = sleeper();
    world.dialer.supervisor_is(own_parent()).await;
    let told = world.dialer.serve(&Ask::RuntimeStarted { pid: foreign.id() }).await;
    assert_eq!(told.unwrap_err(), MonitorRefusal::WrongPeer);
    assert!(!world.has_record());
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", foreign.id())).unwrap();
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(score, own);
    foreign.kill().unwrap();
    foreign.wait().unwrap();
}

#[tokio::test]
async fn a_runtime_that_outlived_its_supervisor_is_ended_before_the_next_one_starts() {
    let world = world(&Settings::default());
    world.dialer.supervisor_is(std::process::id()).await;
    let mut runtime = sleeper();
    world.dialer.serve(&Ask::RuntimeStarted { pid: runtime.id() }).await.unwrap();
    world.dialer.supervisor_has_ended().await;
    world.dialer.end_leftover_runtime().await;
    assert!(!runtime.wait().unwrap().success());
    assert!(!world.has_record());
}

/// A listener on 127.0.0.1, without what `TcpListener::bind` sets.
fn loopback() -> TcpListener {
    TcpListener::from(listeners::redirect_listener().unwrap())
}

#[tokio::test]
async fn a_model_host_is_dialled_where_it_resolves_to_and_only_where_that_is_allowed() {
    let listener = loopback();
    let port = listener.local_addr().unwrap().port();
    let mut settings = Settings::default();
    settings.models.hosts = vec![format!("models.localhost:{port}")];
    let host = Destination::ModelHost { host: "Models.LocalHost.".to_owned(), port };
    let refused = world(&settings).open(host.clone()).await.unwrap_err();
    assert_eq!(refused, MonitorRefusal::AddressNotAllowed);

    settings.models.private_hosts = true;
    let allowed = world(&settings);
    assert_eq!(allowed.open(host).await.unwrap().len(), 1);
    listener.accept().unwrap();
    let next_port = port.wrapping_add(1).max(1);
    for (host, port) in [("models.localhost", next_port), ("other.localhost", port)] {
        let other = Destination::ModelHost { host: host.to_owned(), port };
        assert_eq!(allowed.open(other).await.unwrap_err(), MonitorRefusal::NotAllowed);
    }
    let gateway = Destination::Gateway { host: "models.localhost".to_owned(), port };
    assert_eq!(allowed.open(gateway).await.unwrap_err(), MonitorRefusal::NotAllowed);
}

#[tokio::test]
async fn a_host_where_nobody_answers_is_a_failed_connection() {
    let listener = loopback();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut settings = Settings::default();
    settings.models.hosts = vec![format!("127.0.0.1:{port}")];
    settings.models.private_hosts = true;
    let host = Destination::ModelHost { host: "127.0.0.1".to_owned(), port };
    let refused = world(&settings).open(host).await.unwrap_err();
    assert_eq!(refused, MonitorRefusal::ConnectFailed);
}
