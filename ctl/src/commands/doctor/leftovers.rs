//! What an earlier start left: sockets nobody listens on, and a runtime without its supervisor.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use companion_settings::Dirs;
use runtime_api::v1::RuntimeFacts;

use super::check::Check;

/// Most of a command line that is read, in bytes.
const MAX_ARGUMENT_BYTES: u64 = 64 * 1024;

pub(super) fn check(dirs: &Dirs, runs: bool, supervisor: Option<&RuntimeFacts>) -> Check {
    let sockets = if runs { 0 } else { sockets_in(&dirs.runtime) };
    let marker = dirs.runtime_scratch().join("runtime.sock");
    let runtimes = match (runs, supervisor) {
        // Whose child a runtime is cannot be told while the supervisor is silent.
        (true, None) => Vec::new(),
        (true, Some(facts)) => runtimes(marker.as_os_str().as_bytes(), facts.supervisor_pid),
        (false, _) => runtimes(marker.as_os_str().as_bytes(), 0),
    };
    judge(sockets, &runtimes)
}

fn sockets_in(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket())).count()
}

/// Processes that were started to listen where this installation's runtime does, and are not
/// the supervisor's child. A runtime is not dumpable: its arguments are what can be read of it.
fn runtimes(marker: &[u8], supervisor: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| has_argument(*pid, marker))
        .filter(|pid| parent(*pid).is_some_and(|parent| parent != supervisor))
        .collect()
}

fn has_argument(pid: u32, argument: &[u8]) -> bool {
    let Ok(file) = File::open(format!("/proc/{pid}/cmdline")) else { return false };
    let mut arguments = Vec::new();
    file.take(MAX_ARGUMENT_BYTES).read_to_end(&mut arguments).is_ok()
        && arguments.split(|byte| *byte == 0).any(|one| one == argument)
}

/// `PPid` of proc_pid_status(5); `None` when the process has ended.
fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn judge(sockets: usize, runtimes: &[u32]) -> Check {
    if let Some(pid) = runtimes.first() {
        return Check::fail(
            "leftovers",
            format!("A runtime of an earlier start still runs as process {pid}."),
            format!("End it: `kill {pid}`."),
        );
    }
    if sockets > 0 {
        return Check::warn(
            "leftovers",
            format!("{sockets} sockets of an earlier start are left; nobody listens on them."),
            "The next start replaces them: `companion up`.",
        );
    }
    Check::ok("leftovers", "No process and no socket of an earlier start is left.")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Child, Command, Stdio};

    use super::super::check::State;
    use super::*;

    #[test]
    fn a_runtime_fails_and_sockets_are_a_warning() {
        assert_eq!(judge(0, &[]).state, State::Ok);
        assert_eq!(judge(6, &[]).state, State::Warn);
        let left = judge(6, &[4711]);
        assert_eq!(left.state, State::Fail);
        assert_eq!(left.mend.as_deref(), Some("End it: `kill 4711`."));
    }

    struct Started(Child);

    impl Drop for Started {
        fn drop(&mut self) {
            // Its input ends, and with it the process.
            drop(self.0.stdin.take());
            let _ended = self.0.wait();
        }
    }

    #[test]
    fn a_runtime_is_known_by_its_socket_and_by_its_parent() {
        let marker = tempfile::tempdir().unwrap().path().join("runtime.sock");
        let marker = marker.as_os_str().as_bytes();
        assert_eq!(runtimes(marker, 0), [0; 0]);
        let child = Command::new("/bin/sh")
            .args(["-c", "echo; read -r end", "runtime"])
            .arg(std::ffi::OsStr::from_bytes(marker))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut started = Started(child);
        // Its arguments are in place once it speaks.
        started.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert_eq!(runtimes(marker, 0), [started.0.id()]);
        assert_eq!(runtimes(marker, std::process::id()), [0; 0]);
    }
}
