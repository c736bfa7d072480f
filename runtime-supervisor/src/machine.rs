//! What the machine has, read before confinement.

use std::collections::BTreeSet;
use std::fs;

use companion_settings::Runtime;
use runtime_core::{CpuClock, Limits};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::error::Fatal;

/// Facts that stay the same while this process lives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    /// Bytes of memory that this process tree may come to use, cgroup limit included.
    pub(crate) memory_bytes: u64,
    /// Processor cores, siblings counted once.
    pub(crate) physical_cores: u32,
    /// What CPU figures are relative to.
    pub(crate) clock: CpuClock,
    /// Bytes of a page of memory.
    pub(crate) page_bytes: u64,
}

impl Machine {
    /// Reads them.
    ///
    /// # Errors
    /// [`Fatal::Machine`] when the size of memory cannot be read.
    pub(crate) fn read() -> Result<Self, Fatal> {
        let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(memory).map_err(|_| Fatal::Machine)?;
        let of_cgroup = system.cgroup_limits().map_or(u64::MAX, |cgroup| cgroup.total_memory);
        let memory_bytes = system.total_memory().min(of_cgroup);
        if memory_bytes == 0 {
            return Err(Fatal::Machine);
        }
        let processors = online_processors();
        Ok(Self {
            memory_bytes,
            physical_cores: physical_cores().unwrap_or(processors),
            clock: CpuClock {
                ticks_per_second: rustix::param::clock_ticks_per_second(),
                processors,
            },
            page_bytes: u64::try_from(rustix::param::page_size()).map_err(|_| Fatal::Machine)?,
        })
    }

    /// The limits of the `[runtime]` section on this machine: without a ceiling for memory,
    /// three quarters of it.
    ///
    /// # Errors
    /// [`Fatal::Limits`] when they make no sense.
    pub(crate) fn limits(&self, runtime: &Runtime) -> Result<Limits, Fatal> {
        let ram = match runtime.max_ram_bytes {
            0 => self.memory_bytes / 4 * 3,
            configured => configured,
        };
        Limits::new(ram, runtime.max_vram_bytes, runtime.max_cpu_percent).map_err(Fatal::Limits)
    }
}

fn online_processors() -> u32 {
    let listed = fs::read_to_string("/sys/devices/system/cpu/online").ok();
    let counted = listed.and_then(|list| count_listed(list.trim())).filter(|count| *count > 0);
    counted.unwrap_or_else(|| {
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        u32::try_from(available).unwrap_or(1)
    })
}

/// Processors in a list such as `0-3,8` (cputopology of the kernel's documentation).
fn count_listed(list: &str) -> Option<u32> {
    list.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            last.checked_sub(first)?.checked_add(1)
        })
        .sum()
}

fn physical_cores() -> Option<u32> {
    let mut cores = BTreeSet::new();
    for entry in fs::read_dir("/sys/devices/system/cpu").ok()? {
        let topology = entry.ok()?.path().join("topology");
        let read = |name: &str| fs::read_to_string(topology.join(name)).ok();
        // A directory without a topology is no processor, or one that is switched off.
        if let (Some(package), Some(core)) = (read("physical_package_id"), read("core_id")) {
            cores.insert((package, core));
        }
    }
    u32::try_from(cores.len()).ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_lists_are_counted() {
        for (list, count) in
            [("0", Some(1)), ("0-3", Some(4)), ("0-3,8,10-11", Some(7)), ("", None), ("3-0", None)]
        {
            assert_eq!(count_listed(list), count, "{list}");
        }
    }

    /// As in a container. The test starts its own program again, where this directory is mounted in
    /// the place of the control groups.
    #[test]
    fn it_has_no_more_memory_than_its_control_group() {
        const TEST: &str = "machine::tests::it_has_no_more_memory_than_its_control_group";
        if std::env::var_os("COMPANION_TEST_IN_A_GROUP").is_some() {
            println!("memory {}", Machine::read().unwrap().memory_bytes);
            return;
        }
        let group = tempfile::tempdir().unwrap();
        for (name, told) in
            [("memory.max", "268435456"), ("memory.current", "4096"), ("memory.stat", "anon 4096")]
        {
            fs::write(group.path().join(name), told).unwrap();
        }
        let user = if rustix::process::geteuid().is_root() { "--mount" } else { "--map-root-user" };
        let mut child = std::process::Command::new("unshare");
        child.args(["--mount", user, "sh", "-c"]);
        child.arg("mount --bind \"$0\" /sys/fs/cgroup && exec \"$@\"").arg(group.path());
        child.arg(std::env::current_exe().unwrap()).args([TEST, "--exact", "--nocapture"]);
        let output = child.env("COMPANION_TEST_IN_A_GROUP", "").output().unwrap();
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(said.contains("memory 268435456\n"), "{output:?}");
    }

    #[test]
    fn this_machine_can_be_read_and_its_memory_ceiling_is_three_quarters() {
        let machine = Machine::read().unwrap();
        assert!(machine.physical_cores >= 1 && machine.clock.processors >= machine.physical_cores);
        let limits = machine.limits(&Runtime::default()).unwrap();
        assert_eq!(limits.max_ram_bytes(), machine.memory_bytes / 4 * 3);
        let configured = Runtime { max_ram_bytes: 5, ..Runtime::default() };
        assert_eq!(machine.limits(&configured).unwrap().max_ram_bytes(), 5);
        let senseless = Runtime { max_cpu_percent: 0.0, ..Runtime::default() };
        assert!(machine.limits(&senseless).is_err());
    }
}
