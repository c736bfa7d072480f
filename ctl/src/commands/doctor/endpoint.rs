//! The endpoint: listening on loopback, guarded, and with a model behind it.

use frontdoor_api::v1::FrontdoorStatus;
use http::StatusCode;

use super::check::{Check, State};
use crate::endpoint::{Endpoint, status_without_key};
use crate::reasons;
use crate::refusal::Refusal;

pub(super) async fn check(door: &FrontdoorStatus) -> Check {
    if door.endpoint.is_empty() {
        return judge("", Err(Refusal::new("listener_unbound")));
    }
    let answer = match Endpoint::parse(&door.endpoint) {
        Ok(endpoint) => status_without_key(endpoint, "/health").await,
        Err(refusal) => Err(refusal),
    };
    judge(&door.endpoint, answer)
}

/// What came back for a request without a key.
fn judge(endpoint: &str, answer: Result<StatusCode, Refusal>) -> Check {
    match answer {
        Ok(StatusCode::UNAUTHORIZED) => Check::ok(
            "endpoint",
            format!("{endpoint} listens, and refuses a request without the key."),
        ),
        // The guard counts before it asks for the key.
        Ok(StatusCode::TOO_MANY_REQUESTS) => {
            Check::refused("endpoint", State::Warn, &Refusal::new("rate_limited"))
        }
        Ok(status) if status.is_success() => Check::fail(
            "endpoint",
            format!("{endpoint} answers without a key: something else listens, or no guard does."),
            "Stop the companion and report it; do not send private text there.",
        ),
        Ok(_) => Check::refused("endpoint", State::Fail, &Refusal::new("unexpected_answer")),
        Err(refusal) => Check::refused("endpoint", State::Fail, &refusal),
    }
}

/// A model that is not started is a step ahead, and no fault.
pub(super) fn judge_availability(door: &FrontdoorStatus) -> Check {
    if door.available {
        return Check::ok("model", "A verified model answers through the whole path.");
    }
    if reasons::is_only_asleep(&door.missing) {
        return Check::refused("model", State::Ok, &Refusal::new("asleep"));
    }
    match reasons::causes(&door.missing).first() {
        Some(cause) => Check::refused("model", State::Warn, &Refusal::told(cause)),
        None => Check::refused("model", State::Warn, &Refusal::new("not_ready")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_for_want_of_a_key_is_well() {
        for (status, state) in [
            (401, State::Ok),
            (429, State::Warn),
            (200, State::Fail),
            (204, State::Fail),
            (403, State::Fail),
            (404, State::Fail),
            (503, State::Fail),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(judge("http://127.0.0.1:1", Ok(status)).state, state, "{status}");
        }
        let nobody = judge("http://127.0.0.1:1", Err(Refusal::new("endpoint_unreachable")));
        assert_eq!(nobody.state, State::Fail);
    }

    #[tokio::test]
    async fn an_endpoint_off_this_computer_is_never_asked() {
        for (endpoint, reason) in
            [("", "listener_unbound"), ("http://192.0.2.1:80", "endpoint_not_loopback")]
        {
            let door =
                FrontdoorStatus { endpoint: endpoint.to_owned(), ..FrontdoorStatus::default() };
            assert_eq!(check(&door).await.reason.as_deref(), Some(reason));
        }
    }

    #[test]
    fn what_is_missing_is_told_with_its_mend() {
        let mut door = FrontdoorStatus { available: true, ..FrontdoorStatus::default() };
        assert_eq!(judge_availability(&door).state, State::Ok);
        door.available = false;
        door.missing = vec!["model_unverified".to_owned(), "not_ready".to_owned()];
        let check = judge_availability(&door);
        assert_eq!((check.state, check.reason.as_deref()), (State::Warn, Some("not_ready")));
        assert!(check.mend.unwrap().contains("companionctl start"));
        door.missing.push("asleep".to_owned());
        assert_eq!(judge_availability(&door).state, State::Ok, "resting is no fault");
    }
}
