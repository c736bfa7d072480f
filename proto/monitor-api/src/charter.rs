//! The charter: everything a child is told at birth, as JSON on a descriptor, and the numbers
//! of the descriptors it inherits. There are no arguments and no environment beside it.

use std::net::SocketAddr;
use std::path::PathBuf;

use companion_settings::{Frontdoor, Gateway, Keychain, Models, Runtime};
use serde::{Deserialize, Serialize};

/// Numbers of the inherited descriptors, the same in every start.
pub mod descriptor {
    /// The charter, read to its end once.
    pub const CHARTER: i32 = 3;
    /// The child's end of the SOCK_SEQPACKET pair.
    pub const MONITOR: i32 = 4;
    /// Broker: listening `broker.sock`.
    pub const BROKER_SOCKET: i32 = 5;
    /// Supervisor: listening `supervisor.sock`.
    pub const SUPERVISOR_SOCKET: i32 = 5;
    /// Supervisor: listening `supervisor-control.sock`.
    pub const SUPERVISOR_CONTROL: i32 = 6;
    /// Supervisor: listening `supervisor-status.sock`.
    pub const SUPERVISOR_STATUS: i32 = 7;
    /// Front door: listening `frontdoor.sock`.
    pub const FRONTDOOR_SOCKET: i32 = 5;
    /// Front door: listening `frontdoor-control.sock`.
    pub const FRONTDOOR_CONTROL: i32 = 6;
    /// Front door: the loopback TCP listener.
    pub const FRONTDOOR_TCP: i32 = 7;
}

/// A charter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("charter malformed")]
pub struct CharterError;

/// What the broker is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerCharter {
    /// The parent, checked after the parent-death signal is set.
    pub launcher_pid: u32,
    /// Random per start of the companion (32 hexadecimal characters), the same over restarts
    /// of a child; the loopback token is bound to it.
    pub start_id: String,
    /// Names the keychain service `companion/<profile>`.
    pub profile: String,
    /// The `[gateway]` section.
    pub gateway: Gateway,
    /// The `[keychain]` section.
    pub keychain: Keychain,
    /// `[models] hosts`: the allowed sources, and the hosts the catalog may not lie on.
    pub model_hosts: Vec<String>,
    /// `[runtime] model`: started by itself once provisioned; empty: none.
    pub autostart_model: String,
    /// The broker's own directory, 0700.
    pub state_dir: PathBuf,
    /// An executable file that is no program: what a trial of exec aims at.
    pub no_program: PathBuf,
}

/// What the supervisor is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisorCharter {
    /// The parent, checked after the parent-death signal is set.
    pub launcher_pid: u32,
    /// The `[models]` section.
    pub models: Models,
    /// The `[runtime]` section.
    pub runtime: Runtime,
    /// The content-addressed store, 0700.
    pub store_dir: PathBuf,
    /// Where the runtime's socket and scratch files lie, 0700.
    pub scratch_dir: PathBuf,
    /// Absolute path of `runtime-jail`.
    pub jail: PathBuf,
    /// Absolute path of `runtime-probe`, which tries a runtime's confinement.
    pub probe: PathBuf,
    /// An executable file that is no program: what a trial of exec aims at.
    pub no_program: PathBuf,
}

/// What the front door is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontdoorCharter {
    /// The parent, checked after the parent-death signal is set.
    pub launcher_pid: u32,
    /// The `[frontdoor]` section.
    pub frontdoor: Frontdoor,
    /// The address that the listener was bound to; checked again against the descriptor.
    pub bound: SocketAddr,
    /// Seconds between end-to-end health probes.
    pub health_interval_s: u64,
    /// Seconds after which the last success no longer counts.
    pub health_recency_s: u64,
    /// Seconds streams may still run after a stop.
    pub drain_timeout_s: u64,
    /// Seconds without a request after which the runtime may be unloaded; 0: never.
    pub idle_unload_s: u64,
    /// An executable file that is no program: what a trial of exec aims at.
    pub no_program: PathBuf,
}

macro_rules! json_charter {
    ($($charter:ty),*) => {$(
        impl $charter {
            /// The charter as JSON.
            ///
            /// # Errors
            /// Never for values made by the launcher.
            pub fn encode(&self) -> Result<Vec<u8>, CharterError> {
                serde_json::to_vec(self).map_err(|_| CharterError)
            }

            /// Reads a charter; anything unknown is refused.
            ///
            /// # Errors
            /// When it is not exactly this charter.
            pub fn decode(bytes: &[u8]) -> Result<Self, CharterError> {
                serde_json::from_slice(bytes).map_err(|_| CharterError)
            }
        }
    )*};
}
json_charter!(BrokerCharter, SupervisorCharter, FrontdoorCharter);
