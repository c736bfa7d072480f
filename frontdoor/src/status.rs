//! The status as one message, and as JSON.

use frontdoor_api::v1::{FrontdoorStatus, Refused};
use frontdoor_core::lane::{self, Capabilities, LaneFacts};

use crate::door::Door;

/// The status now.
pub(crate) fn message(door: &Door) -> FrontdoorStatus {
    let availability = door.availability();
    let counts = door.queue.counts();
    FrontdoorStatus {
        available: availability.is_available(),
        missing: availability.missing().iter().map(|what| what.as_str().to_owned()).collect(),
        endpoint: format!("http://{}", door.plan.bound),
        in_flight: counts.in_flight,
        queued: counts.queued,
        queue_wait_ms: door.queue.next_wait_ms(),
        health_age_ms: door.health_age_ms(),
        lane: plain_lane(availability.is_available()).to_owned(),
        requests: door.figures.requests(),
        frontdoor_pid: std::process::id(),
        landlock_abi: confine::landlock_abi_in_force(),
        streamed_pieces: door.figures.streamed_pieces(),
        last_refusals: last_refusals(door),
    }
}

fn last_refusals(door: &Door) -> Vec<Refused> {
    let last = door.figures.last_refusals().into_iter();
    last.map(|(age, route, reason)| Refused {
        age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        route: route.to_owned(),
        reason: reason.as_str().to_owned(),
    })
    .collect()
}

/// The status as the body of GET `/companion/v1/status`.
pub(crate) fn json(door: &Door) -> String {
    let status = message(door);
    let model = door.facts().borrow().as_ref().map(|followed| followed.facts.model_id.clone());
    let model = model.filter(|id| !id.is_empty());
    serde_json::json!({
        "available": status.available,
        "missing": status.missing,
        "model": model,
        "endpoint": status.endpoint,
        "lane": status.lane,
        "in_flight": status.in_flight,
        "queued": status.queued,
        "queue_wait_ms": status.queue_wait_ms,
        "health_age_ms": status.health_age_ms,
        "requests": status.requests,
    })
    .to_string()
}

/// The lane of a plain inference call of the owner on this machine, where only the companion
/// itself is known to be there.
fn plain_lane(available: bool) -> &'static str {
    let capabilities = Capabilities { local: available, ..Capabilities::default() };
    lane::decide(&LaneFacts { capabilities, ..LaneFacts::default() }).lane.as_str()
}

#[cfg(test)]
mod tests {
    use super::plain_lane;

    #[test]
    fn a_plain_call_goes_to_the_companion_or_nowhere() {
        assert_eq!(plain_lane(true), "local");
        assert_eq!(plain_lane(false), "disabled");
    }
}
