//! Follows the supervisor: its facts come down one stream, health reports go up it. The end of
//! the stream, or silence on it, is the end of every fact at once.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use frontdoor_core::admission::Counts;
use frontdoor_core::gate::Lifecycle;
use runtime_api::v1::runtime_status_client::RuntimeStatusClient;
use runtime_api::v1::{RuntimeFacts, health_report::Outcome};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::demand::RuntimeDemand;
use crate::door::Door;
use crate::limits::{
    FACTS_STALE_AFTER, FOLLOW_RETRY_FIRST, FOLLOW_RETRY_LONGEST, GRPC_MESSAGE_BYTES,
    REPORTS_WAITING,
};
use crate::runtime_facts;

/// Follows for ever, one stream after another.
pub(crate) async fn follow(door: Arc<Door>) {
    let mut client = RuntimeStatusClient::new(door.dial.supervisor())
        .max_decoding_message_size(GRPC_MESSAGE_BYTES);
    let mut pause = FOLLOW_RETRY_FIRST;
    loop {
        let (reports, outgoing) = mpsc::channel(REPORTS_WAITING);
        if let Ok(stream) = client.follow(ReceiverStream::new(outgoing)).await {
            door.report_to(Some(reports));
            if follow_stream(&door, stream.into_inner()).await {
                tracing::warn!("the supervisor's stream ended");
                pause = FOLLOW_RETRY_FIRST;
            }
            door.report_to(None);
            door.tell_facts(None);
        }
        sleep(pause).await;
        pause = (pause * 2).min(FOLLOW_RETRY_LONGEST);
    }
}

/// Follows one stream to its end; whether it ever said anything.
async fn follow_stream(door: &Door, mut stream: Streaming<RuntimeFacts>) -> bool {
    let mut draining = Draining::new(door);
    let mut demand = RuntimeDemand::new(door);
    let mut limit = FACTS_STALE_AFTER;
    let mut spoke = false;
    loop {
        tokio::select! {
            message = timeout(limit, stream.message()) => {
                let Ok(Ok(Some(facts))) = message else { return spoke };
                spoke = true;
                limit = longest_silence(&facts);
                draining.hear(&facts);
                demand.hear(&facts);
                door.tell_facts(Some(facts));
                draining.tell_when_begun();
            }
            () = draining.in_flight_changed() => draining.tell(),
            (generation, said) = demand.is_clear() => demand.tell(generation, said),
        }
    }
}

/// Only a ready runtime's facts change all the time.
fn longest_silence(facts: &RuntimeFacts) -> Duration {
    match runtime_facts::lifecycle(facts) {
        Lifecycle::Ready => FACTS_STALE_AFTER,
        Lifecycle::Unknown | Lifecycle::Stopped | Lifecycle::Starting | Lifecycle::Draining => {
            Duration::MAX
        }
    }
}

/// While the runtime drains, the supervisor is told how many requests are still at it: once when
/// the draining begins, and at each change.
pub(crate) struct Draining<'d> {
    door: &'d Door,
    counts: watch::Receiver<Counts>,
    generation: Option<u64>,
    has_begun: bool,
    told: u32,
}

impl<'d> Draining<'d> {
    pub(crate) fn new(door: &'d Door) -> Self {
        let counts = door.queue.watch();
        Self { door, counts, generation: None, has_begun: false, told: 0 }
    }

    fn hear(&mut self, facts: &RuntimeFacts) {
        let is_draining = runtime_facts::lifecycle(facts) == Lifecycle::Draining;
        let generation = is_draining.then_some(facts.generation);
        self.has_begun = is_draining && generation != self.generation;
        self.generation = generation;
    }

    fn tell_when_begun(&mut self) {
        if self.has_begun {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if let Some(generation) = self.generation {
            self.told = self.counts.borrow_and_update().in_flight;
            self.door.report(generation, Outcome::Unspecified);
        }
    }

    /// Never while the runtime does not drain: nobody is woken by the requests of a busy hour.
    pub(crate) async fn in_flight_changed(&mut self) {
        let told = self.told;
        if self.generation.is_none() {
            return pending().await;
        }
        if self.counts.wait_for(|counts| counts.in_flight != told).await.is_err() {
            pending().await
        }
    }
}
