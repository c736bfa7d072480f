//! The machine's memory against what the runtime may use of it.

use companion_settings::Settings;

use super::super::meminfo::Meminfo;
use super::check::Check;
use crate::terminal::size;

pub(super) fn check(settings: &Settings) -> Check {
    judge(Meminfo::read(), settings.runtime.max_ram_bytes)
}

/// `ceiling` as configured: 0 stands for three quarters of the machine.
fn judge(machine: Option<Meminfo>, configured: u64) -> Check {
    let Some(machine) = machine else {
        return Check::warn(
            "memory",
            "The machine's memory cannot be read.",
            "Look yourself: `grep MemTotal /proc/meminfo`.",
        );
    };
    let (total, ceiling) = (machine.total, machine.ceiling(configured));
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
    Check::ok("memory", format!("The runtime may use {} of {}.", size(ceiling), size(total)))
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_ceiling_above_the_machine_is_a_warning() {
        let machine = Some(Meminfo { total: 8 * GIB, available: GIB });
        assert_eq!(judge(machine, 8 * GIB).state, State::Ok);
        assert_eq!(judge(machine, 8 * GIB + 1).state, State::Warn);
        assert_eq!(judge(None, 0).state, State::Warn);
        let default = judge(machine, 0);
        assert_eq!(default.meaning, "The runtime may use 6.00 GiB of 8.00 GiB.");
    }
}
