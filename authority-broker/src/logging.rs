//! Log lines on standard error: constant messages, dotted fields, never a payload.

use confine::Confinement;
use tracing_subscriber::EnvFilter;

/// Only the workspace's own lines: what libraries log may hold URLs and names of targets. The
/// filter is fixed, since the environment of this process is empty.
const FILTER: &str = "off,authority_broker=info,peer_socket=info,confine=info";

/// Starts logging.
pub(crate) fn start() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter(EnvFilter::new(FILTER))
        .init();
}

/// Says which confinement is in force.
pub(crate) fn confined(confinement: &Confinement) {
    tracing::info!(landlock.abi = confinement.landlock_abi, "confined");
    for gap in &confinement.gaps {
        tracing::warn!(gap, "this kernel leaves a gap in the confinement");
    }
}
