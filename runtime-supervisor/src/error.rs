//! What ends this process, and how refusals look over gRPC.

use runtime_core::Reason;
use tonic::{Code, Status};

/// Why the supervisor ends with exit code 1. `Display` is a constant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    /// The charter could not be read.
    #[error("charter_unreadable")]
    Charter,
    /// The CA file or the system's certificates could not be used.
    #[error("tls_roots_unusable")]
    TlsRoots(#[source] Option<rustls::Error>),
    /// What the machine has could not be read.
    #[error("machine_unreadable")]
    Machine,
    /// The resources section makes no sense.
    #[error("malformed_limits")]
    Limits(#[source] Reason),
    /// The store directory is missing, foreign or open to others.
    #[error("store_unavailable")]
    Store(#[source] Reason),
    /// The process could not be confined.
    #[error("confinement_failed")]
    Confine(#[from] confine::ConfineError),
    /// A socket, a signal handler or the executor could not be set up.
    #[error("sockets_unusable")]
    Io(#[from] std::io::Error),
    /// The task that owns the runtime ended by itself.
    #[error("runtime_owner_ended")]
    Owner,
    /// A socket was closed under its server.
    #[error("sockets_closed")]
    Ended,
    /// A server ended by itself.
    #[error("server_ended")]
    Serve(#[from] tonic::transport::Error),
    /// The reflection data does not hold together.
    #[error("reflection_malformed")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The launcher does not answer.
    #[error("launcher_unreachable")]
    Launcher(#[from] peer_socket::MonitorError),
}

/// The gRPC refusal of a reason: its fixed string, its code, nothing else.
pub(crate) fn refusal(reason: Reason) -> Status {
    Status::new(code(reason), reason.as_str())
}

fn code(reason: Reason) -> Code {
    match reason {
        Reason::MalformedSpec
        | Reason::SourceNotAllowed
        | Reason::SchemeNotAllowed
        | Reason::UnknownEvent
        | Reason::UnknownState => Code::InvalidArgument,
        Reason::NotProvisioned => Code::NotFound,
        Reason::InUse
        | Reason::AlreadyRunning
        | Reason::InvalidTransition
        | Reason::CrashLoop
        | Reason::Stopped => Code::FailedPrecondition,
        Reason::SizeMismatch | Reason::DigestMismatch | Reason::MalformedArchive => Code::DataLoss,
        Reason::DiskFull | Reason::RamOverLimit | Reason::VramOverLimit | Reason::CpuOverLimit => {
            Code::ResourceExhausted
        }
        Reason::DownloadStalled
        | Reason::DownloadTruncated
        | Reason::ConnectionFailed
        | Reason::ServerRefused
        | Reason::SourceUnavailable
        | Reason::TooManyRedirects
        | Reason::StoreUnavailable => Code::Unavailable,
        Reason::AccumulatorFinalized
        | Reason::AccumulatorAborted
        | Reason::SpawnFailed
        | Reason::HealthFailed
        | Reason::MalformedLimits
        | Reason::MalformedObservation
        | Reason::RuntimeCrashed => Code::Internal,
    }
}
