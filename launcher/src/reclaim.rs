//! The record of the running runtime, and ending one that an earlier start left behind.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use companion_settings::Dirs;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::figures::{Identity, has_argument};
use crate::limits::{RECLAIM_LIMIT, RUNTIME_OOM_SCORE};
use crate::runtime_socket;

const NAME: &str = "runtime.json";
/// Longest record that is read.
const MAX_RECORD_BYTES: u64 = 4096;

/// Where the record lies: the launcher's own state, which no child can reach.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    path: PathBuf,
    /// The argument that every runtime of this installation is started with.
    runtime_socket: PathBuf,
}

impl Record {
    pub(crate) fn of(dirs: &Dirs) -> Self {
        Self {
            path: dirs.state.join(NAME),
            runtime_socket: dirs.runtime_scratch().join(runtime_socket::NAME),
        }
    }

    /// Lets the kernel take the runtime that was just spawned first when memory runs out, and
    /// writes it down.
    pub(crate) fn keep(&self, pid: u32) -> io::Result<()> {
        // At once: when the jail is no longer dumpable an ordinary user may not any more.
        if fs::write(format!("/proc/{pid}/oom_score_adj"), RUNTIME_OOM_SCORE).is_err() {
            tracing::warn!(runtime.pid = pid, "the out-of-memory score could not be raised");
        }
        let identity = Identity::of(pid)?;
        let text = serde_json::to_vec(&identity)?;
        let directory = self.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }

    fn forget(&self) {
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => tracing::warn!("the runtime's record could not be removed"),
        }
    }

    /// Ends the recorded process if it is still that one, and forgets it. The record is input
    /// like any other: one that cannot be read names nobody.
    pub(crate) fn reclaim(&self) -> io::Result<bool> {
        let ended = match self.read() {
            Some(recorded) => self.end(&recorded)?,
            None => false,
        };
        self.forget();
        Ok(ended)
    }

    fn read(&self) -> Option<Identity> {
        let facts = fs::symlink_metadata(&self.path).ok()?;
        if !facts.is_file() || facts.len() > MAX_RECORD_BYTES {
            return None;
        }
        serde_json::from_slice(&fs::read(&self.path).ok()?).ok()
    }

    /// The pidfd is taken first and the identity compared after: from then on the number cannot
    /// come to mean another process.
    fn end(&self, recorded: &Identity) -> io::Result<bool> {
        let pid = i32::try_from(recorded.pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
        let Some(pidfd) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            return Ok(false);
        };
        if !Identity::of(recorded.pid).is_ok_and(|now| self.is_ours(recorded, &now)) {
            return Ok(false);
        }
        match pidfd_send_signal(&pidfd, Signal::KILL) {
            Err(Errno::SRCH) => return Ok(false),
            sent => sent?,
        }
        let limit = Timespec { tv_sec: RECLAIM_LIMIT.as_secs().cast_signed(), tv_nsec: 0 };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit))? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(true),
        }
    }

    /// The recorded process, and either still the program it was when it was written down (the
    /// jail) or, since that becomes the runtime in the same process, one that was started to
    /// listen where this installation's runtime does.
    fn is_ours(&self, recorded: &Identity, now: &Identity) -> bool {
        recorded.is_same_process(now)
            && (recorded.is_same_program(now)
                || has_argument(now.pid, self.runtime_socket.as_os_str().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use companion_settings::Overrides;

    use super::*;

    fn sleeper() -> Child {
        Command::new("/bin/sleep").arg("60").spawn().unwrap()
    }

    fn runtime_started_with(argument: &std::path::Path) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 60 & echo; wait", "runtime"]).arg(argument);
        let mut child = command.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        // Its arguments are in place once it speaks, not yet when the spawn returns.
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        child
    }

    fn dirs(base: &std::path::Path) -> Dirs {
        let overrides = Overrides {
            runtime: Some(base.join("run")),
            state: Some(base.to_owned()),
            data: Some(base.join("data")),
        };
        Dirs::resolve("default", &overrides, |_| None)
    }

    fn kept(record: &Record) -> Identity {
        serde_json::from_slice(&fs::read(&record.path).unwrap()).unwrap()
    }

    fn put(record: &Record, identity: &Identity) {
        fs::write(&record.path, serde_json::to_vec(identity).unwrap()).unwrap();
    }

    #[test]
    fn a_left_over_runtime_is_ended_and_its_score_was_raised() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::of(&dirs(dir.path()));
        let mut child = sleeper();
        record.keep(child.id()).unwrap();
        let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", child.id())).unwrap();
        assert_eq!(score.trim(), RUNTIME_OOM_SCORE);
        assert!(record.reclaim().unwrap());
        assert!(!child.wait().unwrap().success());
        assert!(!record.reclaim().unwrap());
    }

    /// Recorded as the jail, found as what the jail became.
    #[test]
    fn a_runtime_is_recognised_by_its_socket_where_its_executable_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::of(&dirs(dir.path()));
        for (argument, ours) in
            [(record.runtime_socket.clone(), true), (dir.path().join("other.sock"), false)]
        {
            let mut child = runtime_started_with(&argument);
            record.keep(child.id()).unwrap();
            put(&record, &Identity { executable: Some((1, 1)), ..kept(&record) });
            assert_eq!(record.reclaim().unwrap(), ours);
            let group = Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
            child.wait().unwrap();
        }
    }

    #[test]
    fn a_process_that_is_not_the_recorded_one_is_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::of(&dirs(dir.path()));
        let mut child = sleeper();
        record.keep(child.id()).unwrap();
        let genuine = kept(&record);
        let of = |identity: Identity| serde_json::to_vec(&identity).unwrap();
        let forged = [
            of(Identity { start_time: 1, ..genuine.clone() }),
            of(Identity { boot_id: String::new(), ..genuine.clone() }),
            of(Identity { executable: Some((1, 1)), ..genuine.clone() }),
            of(Identity { executable: None, ..genuine.clone() }),
            of(Identity { pid: 1, ..genuine.clone() }),
            of(Identity { pid: 0, ..genuine.clone() }),
            of(Identity { pid: u32::MAX, ..genuine }),
            b"{".to_vec(),
            Vec::new(),
            vec![b' '; 1 << 20],
        ];
        for text in forged {
            fs::write(&record.path, text).unwrap();
            assert!(!record.reclaim().unwrap());
            assert!(child.try_wait().unwrap().is_none());
            assert!(!record.path.exists());
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Contract 9: the number is really given to another process, of the same program.
    #[test]
    fn a_process_that_was_given_the_number_of_a_dead_runtime_is_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::of(&dirs(dir.path()));
        let mut runtime = sleeper();
        record.keep(runtime.id()).unwrap();
        let dead = kept(&record);
        runtime.kill().unwrap();
        runtime.wait().unwrap();
        let mut foreign = process_numbered(dead.pid, dead.start_time);
        assert!(!record.reclaim().unwrap());
        assert!(foreign.try_wait().unwrap().is_none());
        foreign.kill().unwrap();
        foreign.wait().unwrap();
    }

    /// A process with this number that started later; others may be quicker to take it
    /// (`proc_sys_kernel(5)`, `ns_last_pid`). As anybody but root the test would prove nothing, and
    /// so it fails.
    fn process_numbered(pid: u32, after: u64) -> Child {
        for _ in 0..10_000 {
            let chosen = fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string());
            chosen.expect("the next number is root's to choose: run this test as root");
            let mut child = sleeper();
            if child.id() == pid && Identity::of(pid).unwrap().start_time > after {
                return child;
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
        panic!("somebody else has the number");
    }

    #[test]
    fn a_record_that_is_a_link_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::of(&dirs(dir.path()));
        let mut child = sleeper();
        record.keep(child.id()).unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&record.path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &record.path).unwrap();
        assert!(!record.reclaim().unwrap());
        assert!(child.try_wait().unwrap().is_none());
        assert!(elsewhere.exists() && !record.path.exists());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
