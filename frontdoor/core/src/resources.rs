//! Whether the runtime's own figures allow one more request (contract 9).

use crate::Reason;

/// What the supervisor measured, of the runtime's process alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// False: the probe failed, or nothing runs.
    pub observed: bool,
    /// Resident bytes.
    pub ram_bytes: u64,
    /// Device aggregate; 0 without a GPU.
    pub vram_bytes: u64,
    /// 0 to 100 of the whole machine.
    pub cpu_percent: f64,
}

/// The ceilings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Resident bytes; positive.
    pub max_ram_bytes: u64,
    /// 0: no ceiling.
    pub max_vram_bytes: u64,
    /// Above 0, at most 100.
    pub max_cpu_percent: f64,
}

/// Proof that the resources were judged and allow a request.
#[derive(Debug)]
#[must_use]
pub struct WithinLimits(());

/// Judges limits, observation, RAM, VRAM and CPU, in this order; the first fault is the reason.
///
/// # Errors
/// `malformed_limits`, `malformed_observation`, `ram_over_limit`, `vram_over_limit`,
/// `cpu_over_limit`.
pub fn judge(observation: &Observation, limits: &Limits) -> Result<WithinLimits, Reason> {
    if limits.max_ram_bytes == 0
        || !(limits.max_cpu_percent > 0.0 && limits.max_cpu_percent <= 100.0)
    {
        return Err(Reason::MalformedLimits);
    }
    if !observation.observed || !(0.0..=100.0).contains(&observation.cpu_percent) {
        return Err(Reason::MalformedObservation);
    }
    if observation.ram_bytes > limits.max_ram_bytes {
        return Err(Reason::RamOverLimit);
    }
    if limits.max_vram_bytes != 0 && observation.vram_bytes > limits.max_vram_bytes {
        return Err(Reason::VramOverLimit);
    }
    if observation.cpu_percent > limits.max_cpu_percent {
        return Err(Reason::CpuOverLimit);
    }
    Ok(WithinLimits(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { max_ram_bytes: 100, max_vram_bytes: 50, max_cpu_percent: 80.0 };
    const SEEN: Observation =
        Observation { observed: true, ram_bytes: 100, vram_bytes: 50, cpu_percent: 80.0 };

    fn reason(observation: Observation, limits: Limits) -> Option<Reason> {
        judge(&observation, &limits).err()
    }

    #[test]
    fn exactly_at_every_limit_passes() {
        assert_eq!(reason(SEEN, LIMITS), None);
    }

    #[test]
    fn ram_then_vram_then_cpu_gives_the_reason() {
        let all = Observation { ram_bytes: 101, vram_bytes: 51, cpu_percent: 81.0, ..SEEN };
        assert_eq!(reason(all, LIMITS), Some(Reason::RamOverLimit));
        let two = Observation { ram_bytes: 100, ..all };
        assert_eq!(reason(two, LIMITS), Some(Reason::VramOverLimit));
        let one = Observation { vram_bytes: 50, ..two };
        assert_eq!(reason(one, LIMITS), Some(Reason::CpuOverLimit));
    }

    #[test]
    fn no_vram_ceiling_allows_any_vram() {
        let open = Limits { max_vram_bytes: 0, ..LIMITS };
        assert_eq!(reason(Observation { vram_bytes: u64::MAX, ..SEEN }, open), None);
    }

    #[test]
    fn senseless_limits_deny_before_anything_else() {
        let over = Observation { ram_bytes: 101, ..SEEN };
        for cpu in [0.0, -1.0, 100.5, f64::NAN, f64::INFINITY] {
            let limits = Limits { max_cpu_percent: cpu, ..LIMITS };
            assert_eq!(reason(over, limits), Some(Reason::MalformedLimits), "{cpu}");
        }
        let limits = Limits { max_ram_bytes: 0, ..LIMITS };
        assert_eq!(reason(over, limits), Some(Reason::MalformedLimits));
    }

    #[test]
    fn a_failed_or_senseless_probe_denies() {
        let unseen = Observation { observed: false, ..SEEN };
        assert_eq!(reason(unseen, LIMITS), Some(Reason::MalformedObservation));
        for cpu in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            let seen = Observation { cpu_percent: cpu, ..SEEN };
            assert_eq!(reason(seen, LIMITS), Some(Reason::MalformedObservation), "{cpu}");
        }
    }

    proptest! {
        #[test]
        fn whatever_passes_is_observed_and_under_every_ceiling(
            observed: bool, ram: u64, vram: u64, cpu: f64, max_ram: u64, max_vram: u64, max_cpu: f64,
        ) {
            let o = Observation { observed, ram_bytes: ram, vram_bytes: vram, cpu_percent: cpu };
            let l = Limits { max_ram_bytes: max_ram, max_vram_bytes: max_vram, max_cpu_percent: max_cpu };
            if judge(&o, &l).is_ok() {
                prop_assert!(observed && ram <= max_ram && cpu <= max_cpu && max_cpu <= 100.0);
                prop_assert!(max_vram == 0 || vram <= max_vram);
            }
        }
    }
}
