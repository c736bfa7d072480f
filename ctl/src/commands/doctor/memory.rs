//! The machine's memory against what the runtime may use of it.

use companion_settings::Settings;

use super::check::Check;
use crate::terminal::size;

pub(super) fn check(settings: &Settings) -> Check {
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_bytes(&text));
    judge(total, settings.runtime.max_ram_bytes)
}

/// `MemTotal` of proc_meminfo(5).
fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// `ceiling` as configured: 0 stands for three quarters of the machine.
fn judge(total: Option<u64>, ceiling: u64) -> Check {
    let Some(total) = total else {
        return Check::warn(
            "memory",
            "The machine's memory cannot be read.",
            "Look yourself: `grep MemTotal /proc/meminfo`.",
        );
    };
    if ceiling > total {
        return Check::warn(
            "memory",
            format!(
                "The runtime may use {}, and the machine has {}: the kernel would end it first.",
                size(ceiling),
                size(total)
            ),
            "Lower [runtime] max_ram_bytes; 0 is three quarters of the machine.",
        );
    }
    let ceiling = if ceiling == 0 { total / 4 * 3 } else { ceiling };
    Check::ok("memory", format!("The runtime may use {} of {}.", size(ceiling), size(total)))
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_ceiling_above_the_machine_is_a_warning() {
        assert_eq!(judge(Some(8 * GIB), 8 * GIB).state, State::Ok);
        assert_eq!(judge(Some(8 * GIB), 8 * GIB + 1).state, State::Warn);
        assert_eq!(judge(None, 0).state, State::Warn);
        let default = judge(Some(8 * GIB), 0);
        assert_eq!(default.meaning, "The runtime may use 6.00 GiB of 8.00 GiB.");
    }

    #[test]
    fn the_total_is_read_from_meminfo_or_not_at_all() {
        assert_eq!(total_bytes("MemTotal:   2 kB\nMemFree: 1 kB\n"), Some(2048));
        for malformed in ["", "MemTotal: x kB", "MemTotal: 2", "MemTotal: 99999999999999999999 kB"]
        {
            assert_eq!(total_bytes(malformed), None);
        }
    }
}
