//! The per-request gate: lifecycle, then admission, then resources; all three must pass.

use crate::Reason;
use crate::admission::Slot;
use crate::resources::WithinLimits;

/// Where the supervisor says the runtime is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// Nobody says, or the word is not known.
    Unknown,
    /// Nothing runs.
    Stopped,
    /// Started, not healthy yet.
    Starting,
    /// Healthy.
    Ready,
    /// Ending: no new work.
    Draining,
}

/// Proof that the lifecycle was `ready`.
#[derive(Debug)]
#[must_use]
pub struct IsReady(());

/// Judges the lifecycle; a front door that is leaving takes no new work either.
///
/// # Errors
/// `not_ready` in every other case.
pub fn lifecycle(lifecycle: Lifecycle, leaving: bool) -> Result<IsReady, Reason> {
    match (lifecycle, leaving) {
        (Lifecycle::Ready, false) => Ok(IsReady(())),
        (Lifecycle::Ready, true)
        | (
            Lifecycle::Unknown | Lifecycle::Stopped | Lifecycle::Starting | Lifecycle::Draining,
            true | false,
        ) => Err(Reason::NotReady),
    }
}

/// Judges whether a request may come in at all: to a ready runtime, or to wait for one that sleeps.
///
/// # Errors
/// `not_ready` in every other case.
pub fn arrival(state: Lifecycle, asleep: bool, leaving: bool) -> Result<(), Reason> {
    match (state, asleep, leaving) {
        (Lifecycle::Ready, _, false)
        | (Lifecycle::Stopped | Lifecycle::Starting | Lifecycle::Draining, true, false) => Ok(()),
        (Lifecycle::Unknown, _, _)
        | (_, _, true)
        | (Lifecycle::Stopped | Lifecycle::Starting | Lifecycle::Draining, false, false) => {
            Err(Reason::NotReady)
        }
    }
}

/// The right to put one request to the runtime: made of all three passes, and of nothing else.
#[derive(Debug)]
#[must_use]
pub struct RelayPermit(());

/// Joins the three passes.
pub fn permit(_ready: IsReady, _slot: &Slot, _resources: WithinLimits) -> RelayPermit {
    RelayPermit(())
}

#[cfg(test)]
mod tests {
    use super::{Lifecycle, arrival, lifecycle, permit};
    use crate::Reason;
    use crate::admission::{Admission, Arrival, Bounds};
    use crate::client::ClientId;
    use crate::resources::{Limits, Observation, judge};

    #[test]
    fn only_ready_and_staying_passes() {
        for state in
            [Lifecycle::Unknown, Lifecycle::Stopped, Lifecycle::Starting, Lifecycle::Draining]
        {
            for leaving in [false, true] {
                assert_eq!(lifecycle(state, leaving).err(), Some(Reason::NotReady), "{state:?}");
            }
        }
        assert!(lifecycle(Lifecycle::Ready, false).is_ok());
        assert_eq!(lifecycle(Lifecycle::Ready, true).err(), Some(Reason::NotReady));
    }

    #[test]
    fn who_comes_may_wait_for_one_that_sleeps_and_for_no_other_that_is_not_ready() {
        let not_ready = [Lifecycle::Stopped, Lifecycle::Starting, Lifecycle::Draining];
        for state in not_ready {
            assert_eq!(arrival(state, true, false), Ok(()), "{state:?}");
            assert_eq!(arrival(state, false, false), Err(Reason::NotReady), "{state:?}");
            assert!(lifecycle(state, false).is_err(), "waiting is not passing");
        }
        assert_eq!(arrival(Lifecycle::Ready, false, false), Ok(()));
        for asleep in [false, true] {
            assert_eq!(arrival(Lifecycle::Unknown, asleep, false), Err(Reason::NotReady));
            for state in not_ready.into_iter().chain([Lifecycle::Ready]) {
                assert_eq!(arrival(state, asleep, true), Err(Reason::NotReady), "{state:?}");
            }
        }
    }

    #[test]
    fn a_permit_needs_all_three() {
        let mut admission =
            Admission::new(Bounds { max_in_flight: 1, queue_bound: 1, queue_timeout_ms: 1 });
        let Ok(Arrival::Admitted(slot)) = admission.arrive(ClientId::UNNAMED, 0) else {
            panic!("a free slot")
        };
        let seen = Observation { observed: true, ram_bytes: 1, vram_bytes: 0, cpu_percent: 1.0 };
        let limits = Limits { max_ram_bytes: 1, max_vram_bytes: 0, max_cpu_percent: 1.0 };
        let ready = lifecycle(Lifecycle::Ready, false).expect("ready");
        let _permit = permit(ready, &slot, judge(&seen, &limits).expect("within"));
    }
}
