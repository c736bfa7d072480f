//! The service, and what a process gives it.

use std::pin::Pin;

use capability_api::v1::capabilities_server::{Capabilities as Service, CapabilitiesServer};
use capability_api::v1::{ProcessTrials, Trial, TryRequest, TryResponse};
use confine::{Aims, Tried};
use monitor_api::Role;
use peer_socket::Monitor;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

use crate::asking::{Places, ask_for_all};

type Trying = Pin<Box<dyn Future<Output = Vec<ProcessTrials>> + Send>>;

/// Serves `Try`: one call at a time.
pub struct Capabilities {
    try_all: Box<dyn Fn() -> Trying + Send + Sync>,
    turn: Mutex<()>,
}

/// The service as a gRPC server takes it.
pub type Server = CapabilitiesServer<Capabilities>;

impl Capabilities {
    /// The service over what this process tries.
    pub fn server(try_all: impl Fn() -> Trying + Send + Sync + 'static) -> Server {
        CapabilitiesServer::new(Self { try_all: Box::new(try_all), turn: Mutex::new(()) })
    }
}

#[tonic::async_trait]
impl Service for Capabilities {
    async fn r#try(&self, _: Request<TryRequest>) -> Result<Response<TryResponse>, Status> {
        let _turn = self.turn.lock().await;
        Ok(Response::new(TryResponse { processes: (self.try_all)().await }))
    }
}

/// What a process tries in its own place.
#[derive(Debug, Clone)]
pub struct Own {
    /// Its name in the table of roles.
    pub process: &'static str,
    /// Who it is to the launcher.
    pub role: Role,
    /// Who it is to the kernel.
    pub who: Tried,
    /// What the attempts aim at.
    pub aims: Aims,
    /// Its line to the launcher.
    pub monitor: Monitor,
}

impl Own {
    /// Makes the kernel's attempts on a thread of their own, then asks the launcher.
    pub async fn trials(&self, places: &Places) -> ProcessTrials {
        let (who, aims) = (self.who, self.aims.clone());
        let Ok(tried) = tokio::task::spawn_blocking(move || confine::try_all(who, &aims)).await
        else {
            return failed(self.process, "internal");
        };
        let mut trials = told(self.process, tried);
        trials.trials.extend(ask_for_all(self.role, &self.monitor, places).await);
        trials
    }
}

/// What another process told of its attempts.
pub fn told(process: &str, tried: Vec<confine::Trial>) -> ProcessTrials {
    let trials = tried.into_iter().map(|trial| Trial {
        attempt: trial.attempt,
        may: trial.may,
        happened: trial.happened,
        as_expected: trial.as_expected,
    });
    ProcessTrials { process: process.to_owned(), trials: trials.collect(), ..Default::default() }
}

/// A process in which nothing could be tried.
pub fn failed(process: &str, reason: &str) -> ProcessTrials {
    ProcessTrials { process: process.to_owned(), failure: reason.to_owned(), ..Default::default() }
}
