//! The memory that this program's processes may come to use: the machine's, or less where a control
//! group says so. The supervisor reads the same.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meminfo {
    pub(super) total: u64,
    /// What could be had just now without swapping.
    pub(super) available: u64,
}

impl Meminfo {
    /// Of this machine; `None` where the kernel does not tell.
    pub(super) fn read() -> Option<Self> {
        let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(memory).ok()?;
        let machine = Self { total: system.total_memory(), available: system.available_memory() };
        let group = system
            .cgroup_limits()
            .map(|group| Self { total: group.total_memory, available: group.free_memory });
        Some(machine.within(group)).filter(|memory| memory.total > 0)
    }

    fn within(self, group: Option<Self>) -> Self {
        group.map_or(self, |group| Self {
            total: self.total.min(group.total),
            available: self.available.min(group.available),
        })
    }

    /// The most that a runtime may take: the configured ceiling, else three quarters.
    pub(super) fn ceiling(self, configured: u64) -> u64 {
        if configured == 0 { self.total / 4 * 3 } else { configured }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_kernel_and_no_more_than_the_control_groups() {
        let told = std::fs::read_to_string("/proc/meminfo").expect("proc_meminfo(5)");
        let total = told.lines().find_map(|line| line.strip_prefix("MemTotal:")).expect("a total");
        let total: u64 = total.trim().trim_end_matches(" kB").parse().expect("a number");
        let real = Meminfo::read().expect("it tells");
        assert!(real.total <= total * 1024 && real.available <= real.total, "{real:?}");

        let machine = Meminfo { total: 16 << 30, available: 4 << 30 };
        let group = Meminfo { total: 8 << 30, available: 8 << 30 };
        assert_eq!(machine.within(None), machine);
        let within = machine.within(Some(group));
        assert_eq!(within, Meminfo { total: 8 << 30, available: 4 << 30 });
        assert_eq!((within.ceiling(0), within.ceiling(7)), (6 << 30, 7));
    }
}
