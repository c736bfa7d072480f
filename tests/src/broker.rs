//! Every call of the broker's socket, made as any program of this user could.

use anyhow::{Result, bail};
use authority_api::v1::authority_client::AuthorityClient;
use authority_api::v1::{
    Authorize, GetLoopbackTokenRequest, GetSessionRequest, ListCatalogRequest, PullRequest,
    RemoveRequest, SessionState, SignInEvent, SignInRequest, SignOutRequest, StartRequest,
    StopRequest, VerifyRequest, WorkEvent, sign_in_event, work_event,
};
use serde_json::Value;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};

use crate::{World, kill};

/// An id that no catalog has.
const NOBODY: &str = "nobody";

impl World {
    /// Kills the broker as a crash would, and waits for the next one.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn lose_broker(&self) -> Result<()> {
        let dead = self.pid_of("broker").await?;
        kill(dead)?;
        let next = |status: &Value| status["pids"]["broker"].as_u64();
        self.status_when(|status| next(status).is_some_and(|pid| pid != u64::from(dead))).await?;
        Ok(())
    }
}

/// The broker, over its socket.
#[derive(Debug, Clone)]
pub struct Broker(AuthorityClient<Channel>);

/// A sign-in that waits for its browser; dropping it cancels it.
#[derive(Debug)]
pub struct Attempt(Streaming<SignInEvent>);

/// How a call ended: `ok`, or the reason of its refusal.
pub type Answer = String;

impl Broker {
    /// The broker of a world.
    #[must_use]
    pub fn of(world: &World) -> Self {
        Self(AuthorityClient::new(peer_socket::channel_to(
            &world.runtime_dir().join("broker.sock"),
        )))
    }

    /// The session's state.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn state(&self) -> Result<SessionState> {
        Ok(self.0.clone().get_session(GetSessionRequest {}).await?.into_inner().state())
    }

    /// Makes a call by its name in the descriptor. A sign-in is given up once it waits for its
    /// browser; where a call names an id, nobody has it.
    ///
    /// # Errors
    /// When there is no such call, or a refusal is not typed: a reason code with a status that
    /// fits it, or a last event that says why.
    pub async fn call(&self, name: &str) -> Result<Answer> {
        let mut broker = self.0.clone();
        let id = || NOBODY.to_owned();
        match name {
            "SignIn" => match self.begin_sign_in().await? {
                Ok(_) => Ok("ok".to_owned()),
                Err(reason) => Ok(reason),
            },
            "SignOut" => unary(broker.sign_out(SignOutRequest {}).await),
            "GetSession" => unary(broker.get_session(GetSessionRequest {}).await),
            "ListCatalog" => unary(broker.list_catalog(ListCatalogRequest {}).await),
            "Pull" => last(broker.pull(PullRequest { id: id() }).await?).await,
            "Start" => last(broker.start(StartRequest { id: id() }).await?).await,
            "Stop" => unary(broker.stop(StopRequest {}).await),
            "Remove" => unary(broker.remove(RemoveRequest { id: id() }).await),
            "Verify" => unary(broker.verify(VerifyRequest { id: id() }).await),
            "GetLoopbackToken" => {
                unary(broker.get_loopback_token(GetLoopbackTokenRequest {}).await)
            }
            _ => bail!("no call is named {name}"),
        }
    }

    /// Begins a sign-in: the attempt and its address, or the reason of its refusal.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn begin_sign_in(&self) -> Result<Result<(Attempt, String), String>> {
        let mut events = self.0.clone().sign_in(SignInRequest {}).await?.into_inner();
        match events.message().await?.and_then(|first| first.event) {
            Some(sign_in_event::Event::Authorize(Authorize { url })) => {
                Ok(Ok((Attempt(events), url)))
            }
            Some(sign_in_event::Event::Failed(failed)) => Ok(Err(failed.reason)),
            other => bail!("{other:?}"),
        }
    }
}

impl Attempt {
    /// How the attempt ends.
    ///
    /// # Errors
    /// When the broker goes away without a word.
    pub async fn outcome(mut self) -> Result<Answer> {
        match self.0.message().await?.and_then(|next| next.event) {
            Some(sign_in_event::Event::SignedIn(_)) => Ok("ok".to_owned()),
            Some(sign_in_event::Event::Failed(failed)) => Ok(failed.reason),
            other => bail!("{other:?}"),
        }
    }
}

fn unary<T>(answer: Result<Response<T>, Status>) -> Result<Answer> {
    let Err(status) = answer else { return Ok("ok".to_owned()) };
    let reason = status.message();
    let typed = match status.code() {
        Code::Unauthenticated => reason == "not_signed_in",
        Code::Unknown => false,
        _ => reason != "not_signed_in",
    };
    if typed { Ok(reason.to_owned()) } else { bail!("{status:?}") }
}

async fn last(answer: Response<Streaming<WorkEvent>>) -> Result<Answer> {
    let mut events = answer.into_inner();
    let mut last = None;
    while let Some(event) = events.message().await? {
        last = event.event;
    }
    match last {
        Some(work_event::Event::Failed(failed)) => Ok(failed.reason),
        other => bail!("{other:?}"),
    }
}
