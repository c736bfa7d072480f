//! One request, from its head to its answer: guard, route, gate, runtime.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use frontdoor_core::client::ClientId;
use frontdoor_core::framing::NoHead;
use frontdoor_core::guard::Refusal;
use frontdoor_core::routes::{self, Route};
use frontdoor_core::{Reason, gate};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::account::Account;
use crate::door::Door;
use crate::head_gate::Exchange;
use crate::limits::DEATH_KNOWN_WITHIN;
use crate::respond::{self, AnswerBody};
use crate::{body, guard_layer, metrics, proxy, status};

/// Answers a request; every answer leaves through here.
pub(crate) async fn answer(
    door: Arc<Door>,
    exchange: Arc<Exchange>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    // Of what is no request nobody asked for a path: hyper was handed one that says nothing.
    let mut account = Account::open(Arc::clone(&door), request.uri().path());
    let (reason, response) = match exchange.fault() {
        Some(fault) => {
            let reason = no_head_reason(fault);
            (reason, respond::no_head(reason))
        }
        None => match serve(&door, &exchange, request).await {
            Ok(response) => (Reason::Ok, response),
            Err(refusal) => (refusal.reason, respond::refusal(refusal)),
        },
    };
    account.decide(reason);
    let close = exchange.is_last() || door.is_leaving() || reason == Reason::BodyTimeout;
    Ok(respond::finish(response, account, &exchange, close))
}

async fn serve(
    door: &Door,
    exchange: &Exchange,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Refusal> {
    let client = guard_layer::judge(door, &request)?.client();
    exchange.tenure().know();
    let uri = request.uri();
    match routes::find(request.method().as_str(), uri.path(), uri.query())? {
        Route::Relay(path) => relay(door, client, path, request).await,
        Route::Health => Ok(health(door).await?),
        Route::Status => Ok(respond::own("application/json", status::json(door))),
        Route::Metrics => Ok(respond::own(METRICS_TYPE, metrics::render(door))),
    }
}

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Lifecycle, body, admission, and lifecycle and resources as they are when the turn has come. A
/// runtime that sleeps is waited for in the queue, which has it woken.
async fn relay(
    door: &Door,
    client: ClientId,
    path: &'static str,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Refusal> {
    door.may_come()?;
    let method = request.method().clone();
    let checked = match method {
        Method::POST => {
            let body = body::read(request.into_body(), door).await?;
            door.figures.was_asked(body.bytes().len() as u64);
            Some(body)
        }
        _ => None,
    };
    let arrived = Instant::now();
    let mut held = door.queue.admit(client, door.may_no_longer_come()).await?;
    while door.runtime_state().1 {
        // It fell asleep as the turn came.
        drop(held);
        held = door.queue.admit(client, door.may_no_longer_come()).await?;
    }
    let admitted = Instant::now();
    door.figures.waited_for_a_slot(admitted - arrived);
    let (ready, within) = (door.lifecycle()?, door.resources()?);
    let slot = held.slot().ok_or(Reason::MalformedAdmissionState)?;
    let permit = gate::permit(ready, slot, within);
    let position = held.position();
    let mut response = match proxy::relay(permit, door, method, path, checked, held).await {
        Ok(response) => response,
        Err(reason) => return Err(as_known(door, reason).await.into()),
    };
    door.figures.waited_for_the_runtime(admitted.elapsed());
    respond::tell_position(&mut response, position);
    Ok(response)
}

/// The connections of a runtime that dies are closed a moment before the supervisor says that it
/// died. That moment is waited for: who is not answered because of it hears what all others hear.
async fn as_known(door: &Door, reason: Reason) -> Reason {
    if !matches!(reason, Reason::RuntimeUnreachable | Reason::RuntimeFailed) {
        return reason;
    }
    let Ok(known) = timeout(DEATH_KNOWN_WITHIN, door.may_no_longer_come()).await else {
        return reason;
    };
    door.figures.broke_off();
    known
}

/// Health needs no slot: it must be answered while all of them are busy.
async fn health(door: &Door) -> Result<Response<AnswerBody>, Reason> {
    let ready = door.lifecycle()?;
    proxy::ask_health(ready, door).await?;
    Ok(respond::own("application/json", r#"{"status":"ok"}"#))
}

fn no_head_reason(fault: NoHead) -> Reason {
    match fault {
        NoHead::Malformed => Reason::MalformedRequest,
        NoHead::TooLarge => Reason::HeadersTooLarge,
    }
}
