//! `runtime-supervisor`: downloads, verifies, spawns, watches and measures the model's runtime.
//! It never sees a secret, and has no connection but those the launcher hands it.

#![forbid(unsafe_code)]

#[cfg(all(feature = "captured", not(debug_assertions)))]
compile_error!("a planted backdoor has no place in a release build");

mod child;
mod control;
mod downloads;
mod error;
mod fetch;
mod gpu;
mod health;
mod import;
#[cfg(test)]
mod import_tests;
mod inspect;
mod limits;
mod machine;
mod output;
mod probe;
mod progress;
mod provision;
#[cfg(test)]
mod provision_tests;
mod runtime;
mod runtime_trials;
mod segments;
mod serve;
mod status;
mod store;
mod stream;
mod tls;

use std::error::Error as _;
use std::process::ExitCode;
use std::sync::Arc;

use confine::Policy;
use monitor_api::{Ask, SupervisorCharter, descriptor};
use peer_socket::Monitor;
use rustix::process::Signal;
use rustls::ClientConfig;
use tokio::signal::unix::{SignalKind, signal};

use crate::control::Control;
use crate::downloads::Downloads;
use crate::error::Fatal;
use crate::fetch::Fetcher;
use crate::gpu::Gpu;
use crate::limits::START_LIMIT;
use crate::machine::Machine;
use crate::output::Output;
use crate::runtime::House;
use crate::runtime_trials::Trials;
use crate::serve::Sockets;
use crate::store::Store;

/// The inherited descriptors that stay open.
const INHERITED: [i32; 4] = [
    descriptor::MONITOR,
    descriptor::SUPERVISOR_SOCKET,
    descriptor::SUPERVISOR_CONTROL,
    descriptor::SUPERVISOR_STATUS,
];

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error.source().map(ToString::to_string);
            tracing::error!(reason = %error, cause, "runtime-supervisor ends");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Fatal> {
    let bytes = peer_socket::read_charter().map_err(|_| Fatal::Charter)?;
    let charter = SupervisorCharter::decode(&bytes).map_err(|_| Fatal::Charter)?;
    confine::die_with_parent(charter.launcher_pid)?;
    confine::close_all_but(&INHERITED)?;

    let tls = tls::client_config(&charter.models)?;
    let machine = Machine::read()?;
    let store = Arc::new(Store::open(&charter.store_dir).map_err(Fatal::Store)?);
    let SupervisorCharter { store_dir, scratch_dir, jail, probe, .. } = &charter;
    let policy = Policy::supervisor(store_dir, scratch_dir, jail, probe);
    let policy = if charter.runtime.gpu { policy.with_gpu() } else { policy };
    #[cfg(feature = "captured")]
    let planted = captured::plant(captured::Aims::beside_this_program());
    let confinement = confine::enter(&policy)?;
    #[cfg(feature = "captured")]
    planted.lie_in_wait();
    tracing::info!(confinement.landlock_abi = confinement.landlock_abi, "confined");
    for gap in &confinement.gaps {
        tracing::warn!(confinement.gap = gap, "this kernel leaves a gap in the confinement");
    }
    let gpu = Gpu::load(&confinement);

    // One thread, the main one, for everything but hashing: the runtime is spawned from it and
    // dies with it.
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    executor.block_on(serve(charter, tls, machine, store, gpu))
}

async fn serve(
    charter: SupervisorCharter,
    tls: ClientConfig,
    machine: Machine,
    store: Arc<Store>,
    gpu: Gpu,
) -> Result<(), Fatal> {
    let mut terminated = signal(SignalKind::terminate())?;
    // A handled SIGXFSZ makes a file over its limit (setrlimit(2)) an error of the write.
    let _file_limit = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    let monitor = Monitor::adopt(descriptor::MONITOR)?;
    let trials = Trials::new(&charter, &monitor);
    let sockets = Sockets::adopt(charter.launcher_pid)?;
    let output = Output::new();
    tokio::spawn(store::keep_collecting(Arc::clone(&store)));
    let limits = machine.limits(&charter.runtime)?;
    let (runtime, mut owner) = runtime::own(House {
        monitor: monitor.clone(),
        store: Arc::clone(&store),
        output: Arc::clone(&output),
        machine,
        gpu: Arc::new(gpu),
        limits,
        settings: charter.runtime,
        jail: charter.jail,
        scratch: charter.scratch_dir,
        start_limit: START_LIMIT,
    });
    let fetcher = Fetcher::over(monitor.clone(), tls);
    let control = Control {
        downloads: Downloads::new(Arc::clone(&store), fetcher),
        store,
        hosts: charter.models.hosts,
        runtime: runtime.clone(),
    };
    let serving = sockets.serve(control, runtime.clone(), output, trials);
    tokio::pin!(serving);
    let shutting_down = async {
        monitor.tell(Ask::Ready).await?;
        tracing::info!("runtime-supervisor serves");
        terminated.recv().await;
        tracing::info!("runtime-supervisor stops");
        runtime.shut_down().await;
        Ok::<(), Fatal>(())
    };
    let ended = async {
        shutting_down.await?;
        (&mut owner).await.map_err(|_| Fatal::Owner)
    };
    tokio::select! {
        served = &mut serving => served.and(Err(Fatal::Ended)),
        ended = ended => ended,
    }
}
