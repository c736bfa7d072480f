//! Why the front door ends.

use std::io;

/// A fatal error; the process ends with exit code 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrontdoorError {
    #[error("the charter could not be read")]
    ReadCharter(#[source] io::Error),
    #[error("the charter is not one of a front door")]
    Charter(#[source] monitor_api::CharterError),
    #[error("the process could not be confined")]
    Confine(#[source] confine::ConfineError),
    #[error("the executor could not be started")]
    Executor(#[source] io::Error),
    #[error("an inherited descriptor is not what it should be")]
    Adopt(#[source] io::Error),
    #[error("the listener is not the one that the launcher bound")]
    Listener(#[from] crate::listener::ListenerError),
    #[error("the health credential could not be made")]
    Random(#[source] getrandom::Error),
    #[error("the reflection service could not be built")]
    Reflection(#[source] tonic_reflection::server::Error),
    #[error("a socket stopped being served")]
    Server(#[source] tonic::transport::Error),
    #[error("a part of the front door ended")]
    PartEnded,
    #[error("the monitor is gone")]
    Monitor(#[source] peer_socket::MonitorError),
}

impl FrontdoorError {
    /// A fixed word for the log.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::ReadCharter(_) | Self::Charter(_) => "charter_unreadable",
            Self::Confine(_) => "confinement_failed",
            Self::Executor(_) => "executor_failed",
            Self::Adopt(_) => "descriptor_unusable",
            Self::Listener(_) => "listener_not_as_bound",
            Self::Random(_) => "no_randomness",
            Self::Reflection(_) | Self::Server(_) => "server_failed",
            Self::PartEnded => "part_ended",
            Self::Monitor(_) => "monitor_gone",
        }
    }
}
