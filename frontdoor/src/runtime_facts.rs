//! The supervisor's message as the core's values. What is absent or unknown is the closed value.

use frontdoor_core::gate::Lifecycle;
use frontdoor_core::resources::{Limits, Observation};
use runtime_api::v1::{Lifecycle as Wire, RuntimeFacts};

pub(crate) fn lifecycle(facts: &RuntimeFacts) -> Lifecycle {
    match Wire::try_from(facts.lifecycle) {
        Ok(Wire::Stopped) => Lifecycle::Stopped,
        Ok(Wire::Starting) => Lifecycle::Starting,
        Ok(Wire::Ready) => Lifecycle::Ready,
        Ok(Wire::Draining) => Lifecycle::Draining,
        Ok(Wire::Unspecified) | Err(_) => Lifecycle::Unknown,
    }
}

pub(crate) fn observation(facts: &RuntimeFacts) -> Observation {
    facts.resources.as_ref().map_or(
        Observation { observed: false, ram_bytes: 0, vram_bytes: 0, cpu_percent: 0.0 },
        |seen| Observation {
            observed: seen.observed,
            ram_bytes: seen.ram_bytes,
            vram_bytes: seen.vram_bytes,
            cpu_percent: seen.cpu_percent,
        },
    )
}

pub(crate) fn limits(facts: &RuntimeFacts) -> Limits {
    facts.limits.as_ref().map_or(
        Limits { max_ram_bytes: 0, max_vram_bytes: 0, max_cpu_percent: 0.0 },
        |limits| Limits {
            max_ram_bytes: limits.max_ram_bytes,
            max_vram_bytes: limits.max_vram_bytes,
            max_cpu_percent: limits.max_cpu_percent,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use frontdoor_core::{Reason, resources};

    #[test]
    fn an_unknown_lifecycle_is_the_closed_one() {
        for lifecycle_word in [0, 5, -1, i32::MAX] {
            let facts = RuntimeFacts { lifecycle: lifecycle_word, ..RuntimeFacts::default() };
            assert_eq!(lifecycle(&facts), Lifecycle::Unknown);
        }
        let ready = RuntimeFacts { lifecycle: Wire::Ready.into(), ..RuntimeFacts::default() };
        assert_eq!(lifecycle(&ready), Lifecycle::Ready);
    }

    #[test]
    fn facts_without_figures_deny() {
        let facts = RuntimeFacts::default();
        let reason = resources::judge(&observation(&facts), &limits(&facts)).err();
        assert_eq!(reason, Some(Reason::MalformedLimits));
    }
}
