//! Files that `llama-server` reads, with the supervisor above it: measured to be all it needs.

use super::rule::Right::{ReadDir, ReadFile, WriteFile};
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

// GPU devices and driver files get a table of their own here, added only when a GPU is used,
// beside this one and never instead of it; the runtime without one opens no device.

pub(super) fn programs_and_machine() -> impl Iterator<Item = FileRule> {
    PLACES.iter().map(|(path, rights, reason)| FileRule::if_there(path, rights, reason))
}
