//! Files that `llama-server` reads, with the supervisor above it: measured to be all it needs.

use super::rule::Right::{IoctlDev, ReadDir, ReadFile, WriteFile};
use super::rule::{EXECUTE, FileRule, Right};

const READ: &[Right] = &[ReadFile];

const LIBRARIES: &str = "shared libraries of the jail and the runtime";
const LOADER: &str = "the kernel starts dynamic programs through it";

/// Each is absent on some distribution.
const PLACES: &[(&str, &[Right], &str)] = &[
    ("/lib", READ, LIBRARIES),
    ("/lib64", READ, LIBRARIES),
    ("/usr/lib", READ, LIBRARIES),
    ("/usr/lib64", READ, LIBRARIES),
    ("/etc/ld.so.cache", READ, "where the loader finds shared libraries"),
    ("/lib64/ld-linux-x86-64.so.2", EXECUTE, LOADER),
    ("/lib/ld-linux-aarch64.so.1", EXECUTE, LOADER),
    ("/lib/ld-musl-x86_64.so.1", EXECUTE, LOADER),
    ("/lib/ld-musl-aarch64.so.1", EXECUTE, LOADER),
    ("/proc/cpuinfo", READ, "which instructions the processor has"),
    ("/proc/meminfo", READ, "how much memory the machine has"),
    ("/sys/devices/system/cpu", &[ReadFile, ReadDir], "how many cores the processor has"),
    ("/etc/localtime", READ, "the time zone of log lines"),
    ("/dev/null", &[ReadFile, WriteFile], "standard input of what is started"),
];

/// What NVML opens to tell how much memory of each card is in use (measured with driver 580): the
/// supervisor's, and a runtime's that computes on a card.
const GPU_FIGURES: &[(&str, &[Right], &str)] = &[
    ("/usr/local/nvidia", READ, "the driver's libraries, where a container is given them"),
    ("/proc/driver/nvidia/params", READ, "which device files the driver has"),
    ("/proc/devices", READ, "which device numbers the driver has"),
    ("/dev/nvidiactl", DEVICE, "the driver itself, asked by ioctl"),
];
/// What CUDA opens beside that (not yet exercised in the sandbox on a machine with a card).
const GPU_COMPUTING: &[(&str, &[Right], &str)] =
    &[("/dev/nvidia-uvm", DEVICE, "memory that the card and the processor share")];
const DEVICE: &[Right] = &[ReadFile, WriteFile, IoctlDev];
/// Cards of one machine that are looked for.
const MOST_CARDS: usize = 16;

pub(super) fn programs_and_machine() -> impl Iterator<Item = FileRule> {
    PLACES.iter().map(|(path, rights, reason)| FileRule::if_there(path, rights, reason))
}

/// Absent, all of them, on a machine without such a card.
pub(super) fn gpu_computing() -> impl Iterator<Item = FileRule> {
    GPU_COMPUTING.iter().map(|(path, rights, reason)| FileRule::if_there(path, rights, reason))
}

/// Absent but for the list of devices on a machine without such a card.
pub(super) fn gpu_figures() -> impl Iterator<Item = FileRule> {
    let driver =
        GPU_FIGURES.iter().map(|(path, rights, reason)| FileRule::if_there(path, rights, reason));
    let cards = (0..MOST_CARDS).map(|card| {
        FileRule::if_there(
            &format!("/dev/nvidia{card}"),
            DEVICE,
            "one card, whose memory is measured",
        )
    });
    driver.chain(cards)
}
