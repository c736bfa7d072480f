//! `authority.v1` over `broker.sock`.

use std::sync::Arc;

use authority_api::v1::authority_server::Authority;
use authority_api::v1::{
    GetLoopbackTokenRequest, GetSessionRequest, ListCatalogRequest, ListCatalogResponse,
    LoopbackToken, PullRequest, RemoveRequest, RemoveResponse, Session, SessionState, SignInEvent,
    SignInRequest, SignOutRequest, SignOutResponse, StartRequest, StopRequest, StopResponse,
    VerifyRequest, VerifyResponse, WorkEvent,
};
use authority_core::Reason;
use authority_core::session::Standing;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::keychain::Keychain;
use crate::limits::EVENTS;
use crate::loopback_token::Loopback;
use crate::refusal::Refusal;
use crate::session::Sessions;
use crate::signin::SignIns;
use crate::work::Work;

/// The service; each method is one sentence.
pub(crate) struct AuthorityService {
    pub(crate) sign_ins: Arc<SignIns>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) keychain: Keychain,
    pub(crate) loopback: Arc<Loopback>,
    pub(crate) work: Arc<Work>,
    pub(crate) launcher_pid: u32,
}

#[tonic::async_trait]
impl Authority for AuthorityService {
    type SignInStream = ReceiverStream<Result<SignInEvent, Status>>;
    type PullStream = ReceiverStream<Result<WorkEvent, Status>>;
    type StartStream = ReceiverStream<Result<WorkEvent, Status>>;

    async fn sign_in(
        &self,
        _request: Request<SignInRequest>,
    ) -> Result<Response<Self::SignInStream>, Status> {
        let (events, stream) = mpsc::channel(EVENTS);
        tokio::spawn(Arc::clone(&self.sign_ins).attempt(events));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn sign_out(
        &self,
        _request: Request<SignOutRequest>,
    ) -> Result<Response<SignOutResponse>, Status> {
        self.sign_ins.cancel();
        let sessions = Arc::clone(&self.sessions);
        // It is finished even if the caller goes away.
        let signed_out = tokio::spawn(async move { sessions.sign_out().await });
        let revoked = signed_out.await.unwrap_or(Err(Reason::Internal)).map_err(Refusal::from)?;
        Ok(Response::new(SignOutResponse { revoked }))
    }

    async fn get_session(
        &self,
        _request: Request<GetSessionRequest>,
    ) -> Result<Response<Session>, Status> {
        let mut session = Session {
            keychain_backend: self.keychain.backend_name().to_owned(),
            account_configured: self.sessions.issuer().is_ok(),
            broker_pid: std::process::id(),
            launcher_pid: self.launcher_pid,
            landlock_abi: confine::landlock_abi_in_force(),
            ..Session::default()
        };
        match self.sessions.overview().await {
            Ok(overview) => {
                session.set_state(state_of(overview.standing));
                (session.expires_at, session.scopes) = (overview.expires_at, overview.scopes);
            }
            Err(reason) => {
                // What cannot be read authorises nothing.
                session.set_state(SessionState::SignedOut);
                session.keychain_reason = reason.to_string();
            }
        }
        Ok(Response::new(session))
    }

    async fn list_catalog(
        &self,
        _request: Request<ListCatalogRequest>,
    ) -> Result<Response<ListCatalogResponse>, Status> {
        let entries = self.work.list().await?;
        Ok(Response::new(ListCatalogResponse { entries }))
    }

    async fn pull(
        &self,
        request: Request<PullRequest>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let (events, stream) = mpsc::channel(EVENTS);
        tokio::spawn(Arc::clone(&self.work).pull(request.into_inner().id, events));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn start(
        &self,
        request: Request<StartRequest>,
    ) -> Result<Response<Self::StartStream>, Status> {
        let (events, stream) = mpsc::channel(EVENTS);
        tokio::spawn(Arc::clone(&self.work).start(request.into_inner().id, events));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn stop(&self, _request: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        self.work.stop().await?;
        Ok(Response::new(StopResponse {}))
    }

    async fn remove(
        &self,
        request: Request<RemoveRequest>,
    ) -> Result<Response<RemoveResponse>, Status> {
        let freed_bytes = self.work.remove(&request.into_inner().id).await?;
        Ok(Response::new(RemoveResponse { freed_bytes }))
    }

    async fn verify(
        &self,
        request: Request<VerifyRequest>,
    ) -> Result<Response<VerifyResponse>, Status> {
        self.work.verify(&request.into_inner().id).await?;
        Ok(Response::new(VerifyResponse {}))
    }

    async fn get_loopback_token(
        &self,
        _request: Request<GetLoopbackTokenRequest>,
    ) -> Result<Response<LoopbackToken>, Status> {
        let token = self.loopback.token().await.map_err(Refusal::from)?;
        let loopback_token = token.expose_for_owner().to_owned();
        Ok(Response::new(LoopbackToken { loopback_token }))
    }
}

fn state_of(standing: Standing) -> SessionState {
    match standing {
        Standing::Valid => SessionState::Valid,
        Standing::Refresh => SessionState::Refresh,
        Standing::Reauth => SessionState::Reauth,
        Standing::SignedOut => SessionState::SignedOut,
    }
}

#[cfg(test)]
#[path = "phase_tests.rs"]
mod tests;
