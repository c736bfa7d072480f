//! `frontdoor.sock`: what any program of the same user may read.

use std::sync::Arc;

use frontdoor_api::v1::frontdoor_inspect_server::FrontdoorInspect;
use frontdoor_api::v1::{
    FrontdoorStatus, GetStatusRequest, LaneDecision, LaneRequest, WatchStatusRequest,
};
use frontdoor_core::lane::{self, Capabilities, LaneFacts};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::door::Door;
use crate::limits::{WATCH_LONGEST, WATCH_SHORTEST};
use crate::status;

/// The service.
pub(crate) struct Inspect(pub(crate) Arc<Door>);

#[tonic::async_trait]
impl FrontdoorInspect for Inspect {
    type WatchStatusStream = ReceiverStream<Result<FrontdoorStatus, Status>>;

    async fn get_status(
        &self,
        _request: Request<GetStatusRequest>,
    ) -> Result<Response<FrontdoorStatus>, Status> {
        Ok(Response::new(status::message(&self.0)))
    }

    async fn watch_status(
        &self,
        _request: Request<WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        let (sender, outgoing) = mpsc::channel(1);
        tokio::spawn(watch(Arc::clone(&self.0), sender));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn decide_lane(
        &self,
        request: Request<LaneRequest>,
    ) -> Result<Response<LaneDecision>, Status> {
        let available = self.0.availability().is_available();
        Ok(Response::new(decide(&request.into_inner(), available)))
    }
}

/// The status at once, at each change, and now and then.
async fn watch(door: Arc<Door>, sender: mpsc::Sender<Result<FrontdoorStatus, Status>>) {
    let (mut changes, mut counts) = (door.changes(), door.queue.watch());
    loop {
        changes.mark_unchanged();
        counts.mark_unchanged();
        if sender.send(Ok(status::message(&door))).await.is_err() {
            return;
        }
        sleep(WATCH_SHORTEST).await;
        let changed = async {
            tokio::select! {
                _ = changes.changed() => {}
                _ = counts.changed() => {}
            }
        };
        // Whether it was a change or the time, the status is what is told.
        drop(timeout(WATCH_LONGEST - WATCH_SHORTEST, changed).await);
    }
}

/// Nobody can declare a dead runtime alive: `local` holds only while the front door is available.
fn decide(request: &LaneRequest, available: bool) -> LaneDecision {
    let said = request.capabilities.unwrap_or_default();
    let decision = lane::decide(&LaneFacts {
        capabilities: Capabilities {
            local: said.local && available,
            self_hosted: said.self_hosted,
            enterprise: said.enterprise,
            openrouter: said.openrouter,
            direct_provider: said.direct_provider,
        },
        organisation_privacy: request.organisation_privacy,
        delegate: request.delegate,
        owner_permission: request.owner_permission,
        owner_opt_in: request.owner_opt_in,
        writes_owner_partition: request.writes_owner_partition,
        private_data: request.private_data,
        consent_id_present: request.consent_id_present,
    });
    LaneDecision {
        lane: decision.lane.as_str().to_owned(),
        decision: decision.consent.as_str().to_owned(),
        metered: decision.lane.is_metered(),
    }
}

#[cfg(test)]
mod tests {
    use super::decide;
    use frontdoor_api::v1::{LaneCapabilities, LaneDecision, LaneRequest};

    const ALL: LaneCapabilities = LaneCapabilities {
        local: true,
        self_hosted: true,
        enterprise: true,
        openrouter: true,
        direct_provider: true,
    };

    fn decided(lane: &str, decision: &str, metered: bool) -> LaneDecision {
        LaneDecision { lane: lane.to_owned(), decision: decision.to_owned(), metered }
    }

    #[test]
    fn an_empty_request_goes_nowhere() {
        assert_eq!(decide(&LaneRequest::default(), true), decided("disabled", "allow", false));
    }

    #[test]
    fn local_needs_the_front_door_to_be_available() {
        let request = LaneRequest { capabilities: Some(ALL), ..LaneRequest::default() };
        assert_eq!(decide(&request, true), decided("local", "allow", false));
        assert_eq!(decide(&request, false), decided("self_hosted", "allow", false));
    }

    #[test]
    fn every_field_of_the_request_reaches_the_decision() {
        let managed = LaneCapabilities { direct_provider: true, ..LaneCapabilities::default() };
        let mut request = LaneRequest {
            capabilities: Some(managed),
            delegate: true,
            private_data: true,
            ..LaneRequest::default()
        };
        let refused = |decision| decided("direct_provider", decision, true);
        assert_eq!(decide(&request, true), refused("lane_policy_denied"));
        request.owner_permission = true;
        assert_eq!(decide(&request, true), refused("cloud_consent_required"));
        request.consent_id_present = true;
        assert_eq!(decide(&request, true), decided("direct_provider", "allow", true));
        request.organisation_privacy = true;
        assert_eq!(decide(&request, true), decided("disabled", "allow", false));
        request.capabilities = Some(LaneCapabilities { openrouter: true, ..managed });
        request.writes_owner_partition = true;
        let denied = decided("openrouter", "lane_policy_denied", false);
        assert_eq!(decide(&request, true), denied);
        request.owner_opt_in = true;
        assert_eq!(decide(&request, true), decided("openrouter", "allow", false));
        request.capabilities = Some(LaneCapabilities { enterprise: true, ..managed });
        assert_eq!(decide(&request, true), decided("enterprise", "allow", false));
    }
}
