//! The three services, saying what the scene holds.

use std::pin::Pin;
use std::sync::Arc;

use authority_api::v1 as authority;
use frontdoor_api::v1 as frontdoor;
use runtime_api::v1 as runtime;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::{Scene, TOKEN};

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

#[derive(Debug, Clone)]
pub(crate) struct Said(pub(crate) Arc<Scene>);

impl Said {
    fn broker<T>(&self, answer: T) -> Answer<T> {
        match self.0.refuse {
            Some(reason) => Err(Status::failed_precondition(reason)),
            None => Ok(Response::new(answer)),
        }
    }

    fn work(&self) -> Answer<Events<authority::WorkEvent>> {
        let events = self.0.work.clone().into_iter();
        self.broker(stream(events.map(|event| authority::WorkEvent { event: Some(event) })))
    }
}

fn stream<T: Send + 'static>(items: impl Iterator<Item = T>) -> Events<T> {
    Box::pin(tokio_stream::iter(items.map(Ok).collect::<Vec<_>>()))
}

#[tonic::async_trait]
impl authority::authority_server::Authority for Said {
    type SignInStream = Events<authority::SignInEvent>;
    type PullStream = Events<authority::WorkEvent>;
    type StartStream = Events<authority::WorkEvent>;

    async fn sign_in(&self, _: Request<authority::SignInRequest>) -> Answer<Self::SignInStream> {
        let events = self.0.sign_in.clone().into_iter();
        self.broker(stream(events.map(|event| authority::SignInEvent { event: Some(event) })))
    }

    async fn sign_out(
        &self,
        _: Request<authority::SignOutRequest>,
    ) -> Answer<authority::SignOutResponse> {
        self.broker(authority::SignOutResponse { revoked: true })
    }

    async fn get_session(
        &self,
        _: Request<authority::GetSessionRequest>,
    ) -> Answer<authority::Session> {
        self.broker(self.0.session.clone())
    }

    async fn list_catalog(
        &self,
        _: Request<authority::ListCatalogRequest>,
    ) -> Answer<authority::ListCatalogResponse> {
        self.broker(authority::ListCatalogResponse { entries: self.0.catalog.clone() })
    }

    async fn pull(&self, _: Request<authority::PullRequest>) -> Answer<Self::PullStream> {
        self.work()
    }

    async fn start(&self, _: Request<authority::StartRequest>) -> Answer<Self::StartStream> {
        self.work()
    }

    async fn stop(&self, _: Request<authority::StopRequest>) -> Answer<authority::StopResponse> {
        self.broker(authority::StopResponse {})
    }

    async fn remove(
        &self,
        _: Request<authority::RemoveRequest>,
    ) -> Answer<authority::RemoveResponse> {
        self.broker(authority::RemoveResponse { freed_bytes: 7 })
    }

    async fn verify(
        &self,
        request: Request<authority::VerifyRequest>,
    ) -> Answer<authority::VerifyResponse> {
        if request.get_ref().id == "spoilt" {
            return Err(Status::data_loss("digest_mismatch"));
        }
        self.broker(authority::VerifyResponse {})
    }

    async fn get_loopback_token(
        &self,
        _: Request<authority::GetLoopbackTokenRequest>,
    ) -> Answer<authority::LoopbackToken> {
        self.broker(authority::LoopbackToken { loopback_token: TOKEN.to_owned() })
    }
}

#[tonic::async_trait]
impl runtime::runtime_inspect_server::RuntimeInspect for Said {
    type WatchStatusStream = Events<runtime::RuntimeFacts>;
    type LogsStream = Events<runtime::LogLine>;

    async fn get_status(
        &self,
        _: Request<runtime::GetStatusRequest>,
    ) -> Answer<runtime::RuntimeFacts> {
        Ok(Response::new(self.0.facts.clone()))
    }

    async fn watch_status(
        &self,
        _: Request<runtime::WatchStatusRequest>,
    ) -> Answer<Self::WatchStatusStream> {
        Ok(Response::new(stream(std::iter::once(self.0.facts.clone()))))
    }

    async fn logs(&self, _: Request<runtime::LogsRequest>) -> Answer<Self::LogsStream> {
        let lines = self.0.logs.clone().into_iter();
        Ok(Response::new(stream(lines.map(|line| runtime::LogLine { line }))))
    }
}

#[tonic::async_trait]
impl frontdoor::frontdoor_inspect_server::FrontdoorInspect for Said {
    type WatchStatusStream = Events<frontdoor::FrontdoorStatus>;

    async fn get_status(
        &self,
        _: Request<frontdoor::GetStatusRequest>,
    ) -> Answer<frontdoor::FrontdoorStatus> {
        Ok(Response::new(self.0.door.clone()))
    }

    async fn watch_status(
        &self,
        _: Request<frontdoor::WatchStatusRequest>,
    ) -> Answer<Self::WatchStatusStream> {
        let not_yet = frontdoor::FrontdoorStatus {
            available: false,
            missing: vec!["health_stale".to_owned()],
            ..self.0.door.clone()
        };
        Ok(Response::new(stream([not_yet, self.0.door.clone()].into_iter())))
    }

    async fn decide_lane(
        &self,
        request: Request<frontdoor::LaneRequest>,
    ) -> Answer<frontdoor::LaneDecision> {
        let asked = request.into_inner();
        let local = asked.capabilities.is_some_and(|capabilities| capabilities.local);
        let refused = asked.private_data && !asked.consent_id_present;
        Ok(Response::new(frontdoor::LaneDecision {
            lane: if local { "local" } else { "disabled" }.to_owned(),
            decision: if refused { "cloud_consent_required" } else { "allow" }.to_owned(),
            metered: false,
        }))
    }
}
