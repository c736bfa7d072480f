//! Whether the companion is available now, and what is missing if not (contract 9).

use crate::gate::Lifecycle;

/// What the supervisor says of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeTruth {
    /// State of the runtime.
    pub lifecycle: Lifecycle,
    /// The running model's bytes were verified.
    pub model_verified: bool,
    /// The running runtime's bytes were verified.
    pub runtime_verified: bool,
    /// It was unloaded for want of requests, or is being loaded again for one.
    pub asleep: bool,
}

/// Everything availability rests on, as it is at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// `None`: the supervisor's stream is not open.
    pub runtime: Option<RuntimeTruth>,
    /// The loopback listener is bound and serving.
    pub listener_bound: bool,
    /// A loopback token digest is held.
    pub token_digest_set: bool,
    /// Age of the last end-to-end success for the running runtime, if no failure came after it.
    pub health_age_ms: Option<u64>,
    /// Oldest success that still counts.
    pub health_recency_ms: u64,
    /// The front door is ending.
    pub leaving: bool,
}

/// One thing that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// The supervisor does not answer: nothing is known of the runtime.
    SupervisorUnreachable,
    /// The model's bytes are not verified.
    ModelUnverified,
    /// The runtime's bytes are not verified.
    RuntimeUnverified,
    /// The runtime is not `ready`.
    NotReady,
    /// The listener is not serving.
    ListenerUnbound,
    /// No token digest is held.
    TokenDigestUnset,
    /// No recent end-to-end success.
    HealthStale,
    /// The front door is ending.
    ShuttingDown,
    /// The runtime sleeps: the next request has it loaded, and waits for it.
    Asleep,
}

impl Missing {
    /// The fixed word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SupervisorUnreachable => "supervisor_unreachable",
            Self::ModelUnverified => "model_unverified",
            Self::RuntimeUnverified => "runtime_unverified",
            Self::NotReady => "not_ready",
            Self::ListenerUnbound => "listener_unbound",
            Self::TokenDigestUnset => "token_digest_unset",
            Self::HealthStale => "health_stale",
            Self::ShuttingDown => "shutting_down",
            Self::Asleep => "asleep",
        }
    }
}

/// What is missing now; available when that is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Availability {
    missing: Vec<Missing>,
}

impl Availability {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.missing.is_empty()
    }

    /// What is missing, in a fixed order.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }
}

/// Judges the facts. Without the supervisor, all that it would say counts as missing.
pub fn judge(facts: &Facts) -> Availability {
    let runtime = facts.runtime.unwrap_or(RuntimeTruth {
        lifecycle: Lifecycle::Unknown,
        model_verified: false,
        runtime_verified: false,
        asleep: false,
    });
    let healthy = facts.health_age_ms.is_some_and(|age| age <= facts.health_recency_ms);
    let conditions = [
        (facts.runtime.is_some(), Missing::SupervisorUnreachable),
        (runtime.model_verified, Missing::ModelUnverified),
        (runtime.runtime_verified, Missing::RuntimeUnverified),
        (runtime.lifecycle == Lifecycle::Ready, Missing::NotReady),
        (facts.listener_bound, Missing::ListenerUnbound),
        (facts.token_digest_set, Missing::TokenDigestUnset),
        (healthy, Missing::HealthStale),
        (!facts.leaving, Missing::ShuttingDown),
        (!runtime.asleep, Missing::Asleep),
    ];
    let missing = conditions.iter().filter(|(holds, _)| !holds).map(|(_, what)| *what).collect();
    Availability { missing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const READY: RuntimeTruth = RuntimeTruth {
        lifecycle: Lifecycle::Ready,
        model_verified: true,
        runtime_verified: true,
        asleep: false,
    };
    const GOOD: Facts = Facts {
        runtime: Some(READY),
        listener_bound: true,
        token_digest_set: true,
        health_age_ms: Some(15_000),
        health_recency_ms: 15_000,
        leaving: false,
    };

    fn missing(facts: Facts) -> Vec<&'static str> {
        let availability = judge(&facts);
        assert_eq!(availability.is_available(), availability.missing().is_empty());
        availability.missing().iter().map(|m| m.as_str()).collect()
    }

    #[test]
    fn available_with_everything_and_health_exactly_at_its_bound() {
        assert!(judge(&GOOD).is_available());
    }

    #[test]
    fn each_fact_alone_makes_it_unavailable_and_is_named() {
        let runtime = |truth| Facts { runtime: Some(truth), ..GOOD };
        let cases = [
            (runtime(RuntimeTruth { model_verified: false, ..READY }), "model_unverified"),
            (runtime(RuntimeTruth { runtime_verified: false, ..READY }), "runtime_unverified"),
            (runtime(RuntimeTruth { lifecycle: Lifecycle::Draining, ..READY }), "not_ready"),
            (runtime(RuntimeTruth { lifecycle: Lifecycle::Starting, ..READY }), "not_ready"),
            (runtime(RuntimeTruth { lifecycle: Lifecycle::Stopped, ..READY }), "not_ready"),
            (runtime(RuntimeTruth { lifecycle: Lifecycle::Unknown, ..READY }), "not_ready"),
            (Facts { listener_bound: false, ..GOOD }, "listener_unbound"),
            (Facts { token_digest_set: false, ..GOOD }, "token_digest_unset"),
            (Facts { health_age_ms: None, ..GOOD }, "health_stale"),
            (Facts { health_age_ms: Some(15_001), ..GOOD }, "health_stale"),
            (Facts { leaving: true, ..GOOD }, "shutting_down"),
            (runtime(RuntimeTruth { asleep: true, ..READY }), "asleep"),
        ];
        for (facts, word) in cases {
            assert_eq!(missing(facts), [word]);
        }
    }

    #[test]
    fn without_the_supervisor_nothing_it_would_say_is_believed() {
        let words = missing(Facts { runtime: None, ..GOOD });
        let wanted =
            ["supervisor_unreachable", "model_unverified", "runtime_unverified", "not_ready"];
        assert_eq!(words, wanted);
    }

    proptest! {
        #[test]
        fn available_only_with_every_condition(
            there: bool, model: bool, runtime: bool, state in 0usize..5, bound: bool, token: bool,
            age in prop::option::of(0u64..30_000), leaving: bool, asleep: bool,
        ) {
            let lifecycle = [Lifecycle::Unknown, Lifecycle::Stopped, Lifecycle::Starting,
                Lifecycle::Ready, Lifecycle::Draining][state];
            let truth = RuntimeTruth {
                lifecycle, model_verified: model, runtime_verified: runtime, asleep,
            };
            let facts = Facts {
                runtime: there.then_some(truth), listener_bound: bound, token_digest_set: token,
                health_age_ms: age, health_recency_ms: 15_000, leaving,
            };
            let all = there && model && runtime && lifecycle == Lifecycle::Ready && bound && token
                && age.is_some_and(|a| a <= 15_000) && !leaving && !asleep;
            prop_assert_eq!(judge(&facts).is_available(), all);
        }
    }
}
