//! Failed health probes in a row (contract 9).

use crate::bounds::MAX_HEALTH_FAILURES;

/// How one end-to-end probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The runtime answered through the whole path.
    Healthy,
    /// The runtime did not answer or answered wrongly.
    RuntimeFailed,
    /// The path failed before the runtime; says nothing about it.
    PathFailed,
}

/// Failures of one runtime in a row.
#[derive(Debug, Default)]
pub struct HealthStreak {
    failures: u32,
}

impl HealthStreak {
    /// A streak that has seen nothing, as for a fresh runtime.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one outcome; true when the runtime must be ended.
    #[must_use]
    pub fn ends_runtime(&mut self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Healthy => self.failures = 0,
            Outcome::RuntimeFailed => self.failures = self.failures.saturating_add(1),
            Outcome::PathFailed => {}
        }
        self.failures >= MAX_HEALTH_FAILURES
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Outcome::{Healthy, PathFailed, RuntimeFailed};

    fn ends(outcomes: &[Outcome]) -> bool {
        let mut streak = HealthStreak::new();
        outcomes.iter().fold(false, |_, outcome| streak.ends_runtime(*outcome))
    }

    #[test]
    fn three_failures_of_the_runtime_in_a_row_end_it() {
        assert!(!ends(&[RuntimeFailed, RuntimeFailed]));
        assert!(ends(&[RuntimeFailed, RuntimeFailed, RuntimeFailed]));
        assert!(!ends(&[RuntimeFailed, RuntimeFailed, Healthy, RuntimeFailed]));
    }

    #[test]
    fn a_failing_path_is_not_the_runtimes_fault_and_hides_nothing() {
        assert!(!ends(&[PathFailed; 50]));
        assert!(ends(&[RuntimeFailed, PathFailed, RuntimeFailed, PathFailed, RuntimeFailed]));
    }

    proptest! {
        #[test]
        fn it_ends_exactly_after_three_failures_without_a_success_between(
            outcomes in prop::collection::vec(
                prop::sample::select(&[Healthy, RuntimeFailed, PathFailed][..]), 0..40),
        ) {
            let mut streak = HealthStreak::new();
            let mut seen: Vec<Outcome> = Vec::new();
            for outcome in outcomes {
                seen.push(outcome);
                let since = seen.iter().rev().take_while(|o| **o != Healthy);
                let failed = since.filter(|o| **o == RuntimeFailed).count();
                prop_assert_eq!(streak.ends_runtime(outcome), failed >= 3);
            }
        }
    }
}
