//! The machine's memory, as the kernel tells it (proc_meminfo(5)).

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
        Self::parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
        };
        Some(Self { total: bytes("MemTotal")?, available: bytes("MemAvailable")? })
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
    fn it_is_read_as_the_kernel_writes_it_or_not_at_all() {
        let usual = "MemTotal:       16 kB\nMemFree: 1 kB\nMemAvailable:    4 kB\n";
        let memory = Meminfo::parse(usual).expect("both are there");
        assert_eq!(memory, Meminfo { total: 16 << 10, available: 4 << 10 });
        assert_eq!((memory.ceiling(0), memory.ceiling(7)), (12 << 10, 7));
        for malformed in [
            "",
            "MemTotal: 1 kB\n",
            "MemTotal: x kB\nMemAvailable: 1 kB\n",
            "MemTotal: 1\nMemAvailable: 1 kB\n",
            "MemTotal: 99999999999999999999 kB\nMemAvailable: 1 kB\n",
        ] {
            assert_eq!(Meminfo::parse(malformed), None, "{malformed}");
        }
        assert!(Meminfo::read().is_some_and(|real| real.available <= real.total));
    }
}
