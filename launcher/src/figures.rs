//! What `/proc` says of a process: its parent, its start, its figures.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use monitor_api::MonitorRefusal;
use serde::{Deserialize, Serialize};

/// Bytes of a process's arguments that are looked at.
const MAX_ARGUMENT_BYTES: u64 = 64 * 1024;

/// Names one process for good: the number alone may be used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    /// Clock ticks after boot at which it started (proc_pid_stat(5), field 22).
    pub(crate) start_time: u64,
    /// The boot those ticks count from.
    pub(crate) boot_id: String,
    /// Device and inode of its executable, where the kernel shows it: not to an ordinary user
    /// for a process that is not dumpable (proc(5)).
    pub(crate) executable: Option<(u64, u64)>,
}

impl Identity {
    /// The process of this number, now.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let executable =
            fs::metadata(format!("/proc/{pid}/exe")).ok().map(|facts| (facts.dev(), facts.ino()));
        Ok(Self { pid, start_time: stat(pid)?.start_time, boot_id: boot_id()?, executable })
    }

    /// Whether `now` is the recorded process: number, start and boot, not yet what it runs.
    pub(crate) fn is_same_process(&self, now: &Self) -> bool {
        self.pid == now.pid && self.start_time == now.start_time && self.boot_id == now.boot_id
    }

    /// Whether `now` runs the recorded executable; one that cannot be seen is not known to be it.
    pub(crate) fn is_same_program(&self, now: &Self) -> bool {
        self.executable.is_some() && self.executable == now.executable
    }
}

/// Whether the process was started with this argument; anybody may read that of any process,
/// dumpable or not.
pub(crate) fn has_argument(pid: u32, argument: &[u8]) -> bool {
    let Ok(file) = File::open(format!("/proc/{pid}/cmdline")) else { return false };
    let mut arguments = Vec::new();
    file.take(MAX_ARGUMENT_BYTES).read_to_end(&mut arguments).is_ok()
        && arguments.split(|byte| *byte == 0).any(|one| one == argument)
}

/// `/proc/<pid>/stat` and `statm`, opened for the supervisor: only of its own child.
pub(crate) fn open(pid: u32, supervisor: u32) -> Result<Vec<OwnedFd>, MonitorRefusal> {
    require_child(pid, supervisor)?;
    let open = |name: &str| {
        File::open(format!("/proc/{pid}/{name}"))
            .map(OwnedFd::from)
            .map_err(|_| MonitorRefusal::NotThere)
    };
    let opened = vec![open("stat")?, open("statm")?];
    require_child(pid, supervisor)?;
    Ok(opened)
}

/// The process is a child of the supervisor at this moment.
pub(crate) fn require_child(pid: u32, supervisor: u32) -> Result<(), MonitorRefusal> {
    let parent = stat(pid).map_err(|_| MonitorRefusal::NotThere)?.parent;
    if parent == supervisor { Ok(()) } else { Err(MonitorRefusal::WrongPeer) }
}

struct Stat {
    parent: u32,
    start_time: u64,
}

fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command name, field 2, may hold anything; what follows its last parenthesis may not.
    let (_, fields) = text.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<u64>().ok())
            .ok_or(io::ErrorKind::InvalidData)
    };
    let parent = u32::try_from(number(1)?).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Stat { parent, start_time: number(19)? })
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_opened_of_a_child_alone() {
        let own = std::process::id();
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        assert_eq!(open(child.id(), own).unwrap().len(), 2);
        assert_eq!(open(child.id(), own + 1).unwrap_err(), MonitorRefusal::WrongPeer);
        assert_eq!(open(own, own).unwrap_err(), MonitorRefusal::WrongPeer);
        let gone = child.id();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(open(gone, own).is_err());
    }

    #[test]
    fn a_reused_number_is_another_process() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.is_same_process(&own.clone()));
        let later = Identity { start_time: own.start_time + 1, ..own.clone() };
        assert!(!own.is_same_process(&later));
        let before_the_boot = Identity { boot_id: "other".to_owned(), ..own.clone() };
        assert!(!own.is_same_process(&before_the_boot));
        let another = Identity { pid: own.pid + 1, ..own.clone() };
        assert!(!own.is_same_process(&another));
    }

    #[test]
    fn an_executable_that_cannot_be_seen_is_not_taken_for_the_recorded_one() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.is_same_program(&own.clone()));
        let unseen = Identity { executable: None, ..own.clone() };
        assert!(!own.is_same_program(&unseen));
        assert!(!unseen.is_same_program(&own));
        assert!(!unseen.is_same_program(&unseen));
        assert!(!own.is_same_program(&Identity { executable: Some((0, 0)), ..own.clone() }));
    }

    #[test]
    fn arguments_are_compared_whole() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "echo; read x", "marker"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // Its arguments are in place once it speaks, not yet when the spawn returns.
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert!(has_argument(child.id(), b"marker"));
        assert!(!has_argument(child.id(), b"mark"));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
