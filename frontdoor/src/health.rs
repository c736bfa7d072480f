//! End-to-end health: through the front door's own listener and guard to the runtime and back,
//! with a credential of its own that lives in memory and is good for GET `/health` alone.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use frontdoor_core::Reason;
use frontdoor_core::credential::TokenDigest;
use frontdoor_core::gate::Lifecycle;
use frontdoor_core::routes::HEALTH_PATH;
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use runtime_api::v1::health_report::Outcome;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use crate::door::{Door, Followed, Run};
use crate::limits::{HEALTH_ANSWER_BYTES, HEALTH_PROBE_TIMEOUT, PATH_RETRY};
use crate::runtime_facts;

/// The prober's own credential: 256 random bits.
pub(crate) struct HealthCredential(Zeroizing<String>);

impl HealthCredential {
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bits = Zeroizing::new([0; 32]);
        getrandom::fill(bits.as_mut_slice())?;
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bits.as_slice()))))
    }

    pub(crate) fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.0.as_bytes())
    }

    /// The header of a probe.
    pub(crate) fn expose_bearer(&self) -> Option<HeaderValue> {
        let text = Zeroizing::new(format!("Bearer {}", self.0.as_str()));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Probes as long as a runtime is ready: at once when it becomes so, then at the interval.
pub(crate) async fn probe_on(door: Arc<Door>, credential: HealthCredential) {
    let mut facts = door.facts();
    loop {
        let Some(run) = next_ready(&mut facts, None).await else { return };
        let began = Instant::now();
        let outcome = probe(&door, &credential).await;
        if door.is_leaving() {
            return;
        }
        // Bound to its own line: a borrow of the facts must not outlive the question.
        let still = ready_run(facts.borrow().as_ref());
        if still == Some(run) {
            door.tell_health(run, outcome);
        }
        let interval = door.plan.health_interval;
        let pause =
            if outcome == Outcome::PathFailed { PATH_RETRY.min(interval) } else { interval };
        tokio::select! {
            () = sleep_until(began + pause) => {}
            another = next_ready(&mut facts, Some(run)) => if another.is_none() { return },
        }
    }
}

/// Waits for a ready runtime, other than `known`.
async fn next_ready(
    facts: &mut watch::Receiver<Option<Followed>>,
    known: Option<Run>,
) -> Option<Run> {
    let is_wanted = |followed: &Option<Followed>| {
        ready_run(followed.as_ref()).is_some_and(|run| Some(run) != known)
    };
    let followed = facts.wait_for(is_wanted).await.ok()?;
    ready_run(followed.as_ref())
}

fn ready_run(followed: Option<&Followed>) -> Option<Run> {
    let followed = followed?;
    (runtime_facts::lifecycle(&followed.facts) == Lifecycle::Ready).then(|| followed.run())
}

/// One probe, classified: the runtime's fault only if the front door's own answer says so.
async fn probe(door: &Door, credential: &HealthCredential) -> Outcome {
    match timeout(HEALTH_PROBE_TIMEOUT, ask(door, credential)).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) | Err(_) => Outcome::PathFailed,
    }
}

async fn ask(door: &Door, credential: &HealthCredential) -> Option<Outcome> {
    let stream = door.dial.own_listener().await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = http::Uri::from_static(HEALTH_PATH);
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(&door.plan.bound.to_string()).ok()?);
    headers.insert(AUTHORIZATION, credential.expose_bearer()?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let response = sender.send_request(request).await.ok()?;
    if response.status() == StatusCode::OK {
        return Some(Outcome::Healthy);
    }
    let body = Limited::new(response.into_body(), HEALTH_ANSWER_BYTES).collect().await.ok()?;
    let answer: serde_json::Value = serde_json::from_slice(&body.to_bytes()).ok()?;
    let is_runtimes = answer["error"]["code"] == Reason::HealthFailed.as_str();
    is_runtimes.then_some(Outcome::RuntimeFailed)
}

#[cfg(test)]
mod tests {
    use super::HealthCredential;

    #[test]
    fn each_credential_is_256_bits_of_its_own() {
        let one = HealthCredential::random().expect("random");
        let other = HealthCredential::random().expect("random");
        assert_eq!(one.0.len(), 43);
        assert!(!one.digest().matches(&other.digest()));
        assert!(one.digest().matches(&one.digest()));
        assert!(one.expose_bearer().expect("a header").is_sensitive());
    }
}
