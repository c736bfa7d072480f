//! What `/proc/<pid>/stat` and `/proc/<pid>/statm` say (proc_pid_stat(5), proc_pid_statm(5)).

use crate::Reason;

/// Position of `utime` behind the process's name; `stime` follows it.
const UTIME: usize = 11;

/// Figures of one process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessFigures {
    /// User and system time in clock ticks.
    pub cpu_ticks: u64,
    /// Resident pages.
    pub resident_pages: u64,
}

impl ProcessFigures {
    /// Reads both files.
    ///
    /// # Errors
    /// [`Reason::MalformedObservation`] when a field is missing or no number.
    pub fn parse(stat: &str, statm: &str) -> Result<Self, Reason> {
        let resident_pages = number(statm.split_ascii_whitespace().nth(1))?;
        Ok(Self {
            cpu_ticks: stat_field(stat, UTIME)?
                .checked_add(stat_field(stat, UTIME + 1)?)
                .ok_or(Reason::MalformedObservation)?,
            resident_pages,
        })
    }
}

/// A field of `stat` behind the name, which may itself hold spaces and parentheses.
fn stat_field(stat: &str, position: usize) -> Result<u64, Reason> {
    let (_, fields) = stat.rsplit_once(')').ok_or(Reason::MalformedObservation)?;
    number(fields.split_ascii_whitespace().nth(position))
}

fn number(field: Option<&str>) -> Result<u64, Reason> {
    field.and_then(|text| text.parse().ok()).ok_or(Reason::MalformedObservation)
}

/// The clock and size of the machine that CPU figures are relative to.
#[derive(Debug, Clone, Copy)]
pub struct CpuClock {
    /// Clock ticks a second.
    pub ticks_per_second: u64,
    /// Processors of the whole machine.
    pub processors: u32,
}

/// CPU use between two samples, in percent of the whole machine, 0 to 100. `None` when no time
/// passed or the counter ran backwards.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "ticks and milliseconds between two samples")]
pub fn cpu_percent(clock: CpuClock, before: u64, after: u64, elapsed_ms: u64) -> Option<f64> {
    let ticks = after.checked_sub(before)? as f64;
    let seconds = elapsed_ms as f64 / 1000.0;
    let capacity = seconds * clock.ticks_per_second as f64 * f64::from(clock.processors);
    // The counter moves in whole ticks, so a busy machine can seem a little over itself.
    (capacity > 0.0).then(|| (100.0 * ticks / capacity).clamp(0.0, 100.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAT: &str = "4242 (lla) ma (server) S 1 4242 4242 0 -1 4194304 100 0 0 0 250 50 0 0 20 \
                        0 9 0 987654 200000000 57000 18446744073709551615 1 1 0 0 0 0";
    const STATM: &str = "68000 57000 26000 3600 0 60000 0\n";
    const CLOCK: CpuClock = CpuClock { ticks_per_second: 100, processors: 2 };

    #[test]
    fn the_fields_are_read_behind_any_process_name() {
        assert_eq!(
            ProcessFigures::parse(STAT, STATM),
            Ok(ProcessFigures { cpu_ticks: 300, resident_pages: 57_000 })
        );
    }

    #[test]
    fn figures_that_cannot_be_read_are_malformed() {
        for (stat, statm) in [
            ("", STATM),
            (STAT, ""),
            (STAT, "68000"),
            (STAT, "68000 -1"),
            ("4242 (x) S 1 2 3", STATM),
            ("4242 x S 1 2 3", STATM),
        ] {
            assert_eq!(ProcessFigures::parse(stat, statm), Err(Reason::MalformedObservation));
        }
    }

    #[test]
    fn percent_is_of_the_whole_machine() {
        assert_eq!(cpu_percent(CLOCK, 100, 150, 500), Some(50.0));
        assert_eq!(cpu_percent(CLOCK, 100, 200, 500), Some(100.0));
        assert_eq!(cpu_percent(CLOCK, 100, 250, 500), Some(100.0));
        assert_eq!(cpu_percent(CLOCK, 100, 100, 500), Some(0.0));
        assert_eq!(cpu_percent(CLOCK, 100, 150, 0), None);
        assert_eq!(cpu_percent(CLOCK, 150, 100, 500), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(stat in "\\PC{0,200}", statm in "\\PC{0,60}") {
            let _ = ProcessFigures::parse(&stat, &statm);
        }

        #[test]
        fn a_percentage_lies_between_0_and_100(
            before in any::<u64>(), after in any::<u64>(), elapsed in any::<u64>(),
        ) {
            if let Some(percent) = cpu_percent(CLOCK, before, after, elapsed) {
                prop_assert!((0.0..=100.0).contains(&percent));
            }
        }
    }
}
