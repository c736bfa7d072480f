//! `frontdoor-control.sock`: the broker holds the token's digest here for as long as its stream
//! is open.

use std::sync::Arc;

use frontdoor_api::v1::frontdoor_control_server::FrontdoorControl;
use frontdoor_api::v1::{TokenDigest as Wire, TokenDigestHeld};
use frontdoor_core::Reason;
use frontdoor_core::credential::TokenDigest;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::door::{Door, TokenHolder};

/// The service.
pub(crate) struct Control(pub(crate) Arc<Door>);

#[tonic::async_trait]
impl FrontdoorControl for Control {
    type HoldTokenDigestStream = ReceiverStream<Result<TokenDigestHeld, Status>>;

    async fn hold_token_digest(
        &self,
        request: Request<Streaming<Wire>>,
    ) -> Result<Response<Self::HoldTokenDigestStream>, Status> {
        let (answers, outgoing) = mpsc::channel(1);
        tokio::spawn(hold(self.0.new_holder(), request.into_inner(), answers));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

/// Ends with the stream, and the hold with it; also when nobody listens to the answers any more.
async fn hold(
    holder: TokenHolder,
    mut digests: Streaming<Wire>,
    answers: mpsc::Sender<Result<TokenDigestHeld, Status>>,
) {
    loop {
        let message = tokio::select! {
            message = digests.message() => message,
            () = answers.closed() => return,
        };
        let Ok(Some(message)) = message else { return };
        let digest = TokenDigest::from_bytes(&message.token_digest);
        let is_understood = digest.is_some() || message.token_digest.is_empty();
        // What is neither a digest nor empty withdraws too: deny.
        holder.hold(digest);
        let answer = if is_understood {
            Ok(TokenDigestHeld {})
        } else {
            Err(Status::invalid_argument(Reason::MalformedInput.as_str()))
        };
        if answers.send(answer).await.is_err() || !is_understood {
            return;
        }
    }
}
