//! Whether the runtime stays within its resources (contract 9): memory, then GPU memory, then
//! CPU; the first one over gives the reason, and what was not observed is not within.

use crate::Reason;

/// What the runtime may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    max_ram_bytes: u64,
    max_vram_bytes: Option<u64>,
    max_cpu_percent: f64,
}

impl Limits {
    /// Limits in bytes of resident memory, bytes of GPU memory (0: no ceiling) and percent of
    /// the whole machine.
    ///
    /// # Errors
    /// [`Reason::MalformedLimits`] unless memory is positive and the percentage lies in (0, 100].
    pub fn new(ram_bytes: u64, vram_bytes: u64, cpu_percent: f64) -> Result<Self, Reason> {
        let percent_holds = cpu_percent > 0.0 && cpu_percent <= 100.0;
        if ram_bytes == 0 || !percent_holds {
            return Err(Reason::MalformedLimits);
        }
        Ok(Self {
            max_ram_bytes: ram_bytes,
            max_vram_bytes: (vram_bytes != 0).then_some(vram_bytes),
            max_cpu_percent: cpu_percent,
        })
    }

    /// Bytes of resident memory.
    #[must_use]
    pub fn max_ram_bytes(&self) -> u64 {
        self.max_ram_bytes
    }

    /// Bytes of GPU memory; 0: no ceiling.
    #[must_use]
    pub fn max_vram_bytes(&self) -> u64 {
        self.max_vram_bytes.unwrap_or(0)
    }

    /// Percent of the whole machine.
    #[must_use]
    pub fn max_cpu_percent(&self) -> f64 {
        self.max_cpu_percent
    }
}

/// What the probe saw of the runtime.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Resident memory in bytes; never 0 for a process that runs.
    pub ram_bytes: u64,
    /// GPU memory in bytes, device aggregate; 0 without a GPU.
    pub vram_bytes: u64,
    /// Percent of the whole machine, 0 to 100.
    pub cpu_percent: f64,
}

/// Proof that an observation lay within the limits.
#[derive(Debug, PartialEq, Eq)]
pub struct WithinLimits(());

/// Judges what the probe saw; `None` is a failed probe.
///
/// # Errors
/// [`Reason::MalformedObservation`] for a failed or senseless probe, else the reason of the
/// first resource over its limit.
pub fn judge(limits: &Limits, observed: Option<&Observation>) -> Result<WithinLimits, Reason> {
    let observed = observed.ok_or(Reason::MalformedObservation)?;
    if observed.ram_bytes == 0 || !(0.0..=100.0).contains(&observed.cpu_percent) {
        return Err(Reason::MalformedObservation);
    }
    if observed.ram_bytes > limits.max_ram_bytes {
        return Err(Reason::RamOverLimit);
    }
    if limits.max_vram_bytes.is_some_and(|max| observed.vram_bytes > max) {
        return Err(Reason::VramOverLimit);
    }
    if observed.cpu_percent > limits.max_cpu_percent {
        return Err(Reason::CpuOverLimit);
    }
    Ok(WithinLimits(()))
}

/// Tells whether a runtime outside its resources for this reason is drained; for any other,
/// requests are refused for as long as it lasts.
///
/// Memory it holds stays held until it ends. GPU memory is the device's, so other programs' too:
/// its end might free nothing. CPU use passes, and so may a failed probe.
#[must_use]
pub fn is_drained_for(reason: Reason) -> bool {
    reason == Reason::RamOverLimit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CALM: Observation = Observation { ram_bytes: 10, vram_bytes: 10, cpu_percent: 10.0 };

    fn verdict(observed: Observation) -> Result<(), Reason> {
        judge(&Limits::new(10, 10, 10.0).unwrap(), Some(&observed)).map(|_| ())
    }

    #[test]
    fn at_the_limit_is_within_and_past_it_is_not() {
        assert_eq!(verdict(CALM), Ok(()));
        assert_eq!(verdict(Observation { ram_bytes: 11, ..CALM }), Err(Reason::RamOverLimit));
        assert_eq!(verdict(Observation { vram_bytes: 11, ..CALM }), Err(Reason::VramOverLimit));
        assert_eq!(verdict(Observation { cpu_percent: 10.1, ..CALM }), Err(Reason::CpuOverLimit));
    }

    #[test]
    fn memory_then_gpu_memory_then_cpu_gives_the_reason() {
        let all = Observation { ram_bytes: 11, vram_bytes: 11, cpu_percent: 11.0 };
        assert_eq!(verdict(all), Err(Reason::RamOverLimit));
        assert_eq!(verdict(Observation { ram_bytes: 1, ..all }), Err(Reason::VramOverLimit));
    }

    #[test]
    fn only_its_own_memory_drains_a_runtime() {
        assert!(is_drained_for(Reason::RamOverLimit));
        for refused_only in
            [Reason::VramOverLimit, Reason::CpuOverLimit, Reason::MalformedObservation]
        {
            assert!(!is_drained_for(refused_only), "{refused_only:?}");
        }
    }

    #[test]
    fn a_failed_or_senseless_probe_is_malformed() {
        let limits = Limits::new(10, 0, 100.0).unwrap();
        assert_eq!(judge(&limits, None), Err(Reason::MalformedObservation));
        for bad in [
            Observation { ram_bytes: 0, ..CALM },
            Observation { cpu_percent: f64::NAN, ..CALM },
            Observation { cpu_percent: f64::INFINITY, ..CALM },
            Observation { cpu_percent: -0.1, ..CALM },
            Observation { cpu_percent: 100.1, ..CALM },
        ] {
            assert_eq!(judge(&limits, Some(&bad)), Err(Reason::MalformedObservation), "{bad:?}");
        }
    }

    #[test]
    fn limits_that_make_no_sense_are_malformed() {
        for (ram, cpu) in
            [(0, 50.0), (1, 0.0), (1, -1.0), (1, 100.1), (1, f64::NAN), (1, f64::INFINITY)]
        {
            assert_eq!(Limits::new(ram, 0, cpu), Err(Reason::MalformedLimits), "{ram} {cpu}");
        }
        let limits = Limits::new(1, 2, 3.0).unwrap();
        let shown = (limits.max_ram_bytes(), limits.max_vram_bytes(), limits.max_cpu_percent());
        assert_eq!(shown, (1, 2, 3.0));
    }

    #[test]
    fn without_a_ceiling_gpu_memory_is_never_over() {
        let limits = Limits::new(10, 0, 100.0).unwrap();
        assert_eq!(limits.max_vram_bytes(), 0);
        assert!(judge(&limits, Some(&Observation { vram_bytes: u64::MAX, ..CALM })).is_ok());
    }

    proptest! {
        #[test]
        fn within_means_within_each(
            ram in 1u64..40, vram in 0u64..40, cpu in 0.0f64..100.0,
            max_ram in 1u64..40, max_vram in 0u64..40, max_cpu in 0.1f64..100.0,
        ) {
            let limits = Limits::new(max_ram, max_vram, max_cpu).unwrap();
            let observed = Observation { ram_bytes: ram, vram_bytes: vram, cpu_percent: cpu };
            let within = ram <= max_ram && (max_vram == 0 || vram <= max_vram) && cpu <= max_cpu;
            prop_assert_eq!(judge(&limits, Some(&observed)).is_ok(), within);
        }
    }
}
