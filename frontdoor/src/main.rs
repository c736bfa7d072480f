//! `frontdoor`: guarded, OpenAI-compatible HTTP on loopback. It decides whether a request may
//! reach the runtime, and streams it there. It opens no file, no socket, no program.
#![forbid(unsafe_code)]

#[cfg(all(feature = "captured", not(debug_assertions)))]
compile_error!("a planted backdoor has no place in a release build");

mod account;
mod admission_queue;
mod body;
mod clock;
mod control;
mod demand;
mod dial;
mod door;
mod error;
mod follow;
mod grpc;
mod guard_layer;
mod handler;
mod head_gate;
mod health;
mod http_server;
mod inspect;
mod json;
mod limits;
mod listener;
mod metrics;
mod places;
mod proxy;
mod respond;
mod runtime_facts;
mod status;
#[cfg(test)]
mod tests;
mod upstream;

use std::path::Path;
use std::process::ExitCode;

use capabilities::{Capabilities, Own, Places};
use confine::{Aims, Policy, Tried};
use monitor_api::{Ask, FrontdoorCharter, Role, descriptor};
use peer_socket::{Monitor, PeerListener, PeerRule};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::door::{Door, Plan};
use crate::error::FrontdoorError;
use crate::health::HealthCredential;

fn main() -> ExitCode {
    start_log();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(reason = error.reason(), "the front door ends");
            ExitCode::FAILURE
        }
    }
}

/// Reads what it is told, confines itself, and only then serves: on one thread, since a second one
/// brought no request through sooner (docs/endpoint.md). What takes long is done aside.
fn run() -> Result<(), FrontdoorError> {
    let charter = peer_socket::read_charter().map_err(FrontdoorError::ReadCharter)?;
    let charter = FrontdoorCharter::decode(&charter).map_err(FrontdoorError::Charter)?;
    confine_to(&charter)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(FrontdoorError::Executor)?
        .block_on(serve(charter))
}

fn confine_to(charter: &FrontdoorCharter) -> Result<(), FrontdoorError> {
    use descriptor::{FRONTDOOR_CONTROL, FRONTDOOR_SOCKET, FRONTDOOR_TCP, MONITOR};
    confine::die_with_parent(charter.launcher_pid).map_err(FrontdoorError::Confine)?;
    confine::close_all_but(&[MONITOR, FRONTDOOR_SOCKET, FRONTDOOR_CONTROL, FRONTDOOR_TCP])
        .map_err(FrontdoorError::Confine)?;
    #[cfg(feature = "captured")]
    let planted = captured::plant(captured::Aims::beside_this_program());
    let confinement = confine::enter(&Policy::frontdoor()).map_err(FrontdoorError::Confine)?;
    #[cfg(feature = "captured")]
    planted.lie_in_wait();
    tracing::info!(landlock.abi = confinement.landlock_abi, "the front door is confined");
    for gap in &confinement.gaps {
        tracing::warn!(confinement.gap = gap.as_str(), "this kernel leaves a gap");
    }
    Ok(())
}

/// Serves all sockets until TERM, then lets streams end.
async fn serve(charter: FrontdoorCharter) -> Result<(), FrontdoorError> {
    let mut term = signal(SignalKind::terminate()).map_err(FrontdoorError::Executor)?;
    let monitor = Monitor::adopt(descriptor::MONITOR).map_err(FrontdoorError::Adopt)?;
    let launcher = PeerRule::LauncherOnly { launcher_pid: charter.launcher_pid };
    let control = PeerListener::adopt(descriptor::FRONTDOOR_CONTROL, launcher)
        .map_err(FrontdoorError::Adopt)?;
    let inspect = PeerListener::adopt(descriptor::FRONTDOOR_SOCKET, PeerRule::SameUser)
        .map_err(FrontdoorError::Adopt)?;
    let tcp = peer_socket::inherited(descriptor::FRONTDOOR_TCP).map_err(FrontdoorError::Adopt)?;
    let (tcp, hosts) = listener::adopt(tcp, charter.bound)?;
    let credential = HealthCredential::random().map_err(FrontdoorError::Random)?;

    let plan = Plan::of(&charter);
    let door = Door::new(plan, hosts, Box::new(monitor.clone()), credential.digest());
    let stop = CancellationToken::new();
    let mut serving = tokio::spawn(http_server::serve(tcp, door.clone(), stop.clone()));
    let mut parts = JoinSet::new();
    parts.spawn(grpc::control(door.clone(), control));
    parts.spawn(grpc::inspect(door.clone(), inspect, trials(&charter.no_program, &monitor)));
    parts.spawn(lasting(follow::follow(door.clone())));
    parts.spawn(lasting(health::probe_on(door.clone(), credential)));
    monitor.tell(Ask::Ready).await.map_err(FrontdoorError::Monitor)?;

    let ended = tokio::select! {
        _ = term.recv() => Ok(()),
        _ = &mut serving => return Err(FrontdoorError::PartEnded),
        part = parts.join_next() => match part {
            Some(Ok(Err(error))) => Err(error),
            Some(Ok(Ok(())) | Err(_)) | None => Err(FrontdoorError::PartEnded),
        },
    };
    tracing::info!("the front door takes no new work");
    door.leave();
    stop.cancel();
    serving.await.map_err(|_| FrontdoorError::PartEnded)?;
    ended
}

/// What this process may and may not do, for whoever asks; it has no directory, and knows no host.
fn trials(no_program: &Path, monitor: &Monitor) -> capabilities::Server {
    let own = Own {
        process: "frontdoor",
        role: Role::Frontdoor,
        who: Tried::Frontdoor,
        aims: Aims { no_program: no_program.to_owned(), own_directory: None },
        monitor: monitor.clone(),
    };
    Capabilities::server(move || {
        let own = own.clone();
        Box::pin(async move { vec![own.trials(&Places::default()).await] })
    })
}

/// A part that has no end of its own: without it, what is known would grow old unnoticed.
async fn lasting(part: impl Future<Output = ()>) -> Result<(), FrontdoorError> {
    part.await;
    Err(FrontdoorError::PartEnded)
}

/// To standard error; what is logged is not the environment's to say.
fn start_log() {
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(lines).with(log_levels()).init();
}

/// Libraries speak up only when something is wrong.
fn log_levels() -> Targets {
    Targets::new().with_default(LevelFilter::WARN).with_target("frontdoor", LevelFilter::INFO)
}
