//! `RuntimeStatus`: the front door follows, and reports health, over `supervisor-status.sock`.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use runtime_api::v1;
use runtime_api::v1::health_report::{Demand, Outcome as Reported};
use runtime_api::v1::runtime_status_server::RuntimeStatus;
use runtime_core::Outcome;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status, Streaming};

use crate::runtime::{Handle, Report};

/// The service behind the status socket.
pub(crate) struct Follow {
    /// The runtime.
    pub(crate) runtime: Handle,
}

/// Facts as a stream: those of this moment, then each change.
pub(crate) type Facts = Pin<Box<dyn Stream<Item = Result<v1::RuntimeFacts, Status>> + Send>>;

/// The facts of a runtime from now on.
pub(crate) fn facts_of(runtime: &Handle) -> Facts {
    Box::pin(WatchStream::new(runtime.facts()).map(Ok))
}

#[tonic::async_trait]
impl RuntimeStatus for Follow {
    type FollowStream = Facts;

    async fn follow(
        &self,
        request: Request<Streaming<v1::HealthReport>>,
    ) -> Result<Response<Facts>, Status> {
        tracing::info!("front door follows");
        let runtime = self.runtime.clone();
        runtime.report(Report::Joined).await;
        tokio::spawn(pass_on(runtime, request.into_inner()));
        Ok(Response::new(facts_of(&self.runtime)))
    }
}

/// Passes reports on until the connection ends, which also ends the following.
async fn pass_on(runtime: Handle, mut reports: Streaming<v1::HealthReport>) {
    while let Ok(Some(report)) = reports.message().await {
        runtime.report(said_by(&report)).await;
    }
    tracing::info!("front door left");
    runtime.report(Report::Left).await;
}

fn said_by(report: &v1::HealthReport) -> Report {
    let generation = report.generation;
    let outcome = match (report.outcome(), report.demand()) {
        (Reported::Healthy, _) => Outcome::Healthy,
        (Reported::RuntimeFailed, _) => Outcome::RuntimeFailed,
        (Reported::PathFailed, _) => Outcome::PathFailed,
        (Reported::Unspecified, Demand::Idle) => return Report::Idle { generation },
        (Reported::Unspecified, Demand::Wanted) => return Report::Wanted { generation },
        (Reported::Unspecified, Demand::Unspecified) => {
            return Report::InFlight(report.in_flight);
        }
    };
    Report::Probe { outcome, generation }
}
