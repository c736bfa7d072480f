//! `authority-broker`: the only process that ever holds an OAuth credential (contract 1, 6, 7, 8).

mod catalog;
mod clock;
mod connections;
mod discovery;
mod failure;
mod https;
mod keychain;
mod limits;
mod logging;
mod loopback_token;
mod random;
mod redirect_listener;
mod refusal;
mod registration;
mod serve;
mod service;
mod session;
mod signin;
mod store_view;
#[cfg(test)]
mod testing;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod testing_bus;
mod tls;
mod token_endpoint;
#[cfg(test)]
mod token_fire_tests;
#[cfg(test)]
mod token_tls_tests;
mod trials;
mod wanted;
mod work;

use std::process::ExitCode;

use companion_settings::KeychainBackend;
use confine::Policy;
use failure::Failure;
use monitor_api::{BrokerCharter, descriptor};
use serve::FirstReadings;

fn main() -> ExitCode {
    logging::start();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!(reason = failure.chain(), "the broker ends");
            ExitCode::FAILURE
        }
    }
}

/// What must be read first is read; then the process confines itself while it has one thread, and
/// only then meets the outside.
fn run() -> Result<(), Failure> {
    let charter = peer_socket::read_charter().map_err(|_| Failure::Charter)?;
    let charter = BrokerCharter::decode(&charter).map_err(|_| Failure::Charter)?;
    let readings = FirstReadings::read(&charter)?;
    let kernel_keyring = charter.keychain.backend == KeychainBackend::Kernel;
    #[cfg(target_os = "linux")]
    if kernel_keyring {
        keychain::join_session();
    }

    confine::die_with_parent(charter.launcher_pid)?;
    confine::close_all_but(&[descriptor::MONITOR, descriptor::BROKER_SOCKET])?;
    let confinement = confine::enter(&Policy::broker(&charter.state_dir, kernel_keyring))?;
    logging::confined(&confinement);

    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(limits::WORKER_THREADS)
        .enable_all()
        .build()
        .map_err(|_| Failure::Runtime)?
        .block_on(serve::serve(charter, readings))
}
