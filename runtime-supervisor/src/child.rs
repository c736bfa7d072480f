//! The spawned runtime: `runtime-jail`, which becomes `llama-server`, in a process group of its
//! own.

use std::io::{self, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use command_fds::{CommandFdExt, FdMapping};
use confine::{
    BINARY_DESCRIPTOR, JailPlan, LIBRARIES_DESCRIPTOR, MODEL_DESCRIPTOR, PLAN_DESCRIPTOR,
};
use runtime_core::{LaunchPlan, Reason};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

use crate::limits::TERM_GRACE;
use crate::output::Output;

/// Exit code of a jail that refused to become the runtime.
const JAIL_REFUSED: i32 = 125;

/// The two opened files of a launch.
#[derive(Debug)]
pub(crate) struct LaunchFiles {
    /// The verified runtime, as a path descriptor.
    pub(crate) binary: OwnedFd,
    /// The verified model, open for reading.
    pub(crate) model: OwnedFd,
    /// The directory of an unpacked archive, if the runtime came as one.
    pub(crate) libraries: Option<OwnedFd>,
}

/// How the runtime ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// The jail refused, or could not become the runtime.
    JailRefused,
    /// It ended by itself with an exit code.
    Exited,
    /// A signal ended it.
    Signalled,
}

/// A running child. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Child {
    process: tokio::process::Child,
    go: Option<Go>,
    pid: Pid,
    serving: Arc<AtomicBool>,
}

/// The plan that the spawned jail still waits for: until it has it, nothing of the runtime runs.
#[derive(Debug)]
pub(crate) struct Go {
    plan: Vec<u8>,
    writer: PipeWriter,
}

impl Go {
    /// Hands the plan over.
    ///
    /// # Errors
    /// [`Reason::SpawnFailed`] when the jail has ended.
    pub(crate) fn go(mut self) -> Result<(), Reason> {
        // Far below the capacity of a pipe (pipe(7)), so it cannot block.
        self.writer.write_all(&self.plan).map_err(|_| Reason::SpawnFailed)
    }
}

impl Child {
    /// Spawns the jail, which waits for its plan until [`Go::go`]. Must be called on the main
    /// thread: the child asks to die with the thread that forked it.
    ///
    /// # Errors
    /// [`Reason::SpawnFailed`].
    pub(crate) fn spawn(
        jail: &Path,
        scratch: &Path,
        plan: &LaunchPlan,
        files: LaunchFiles,
        output: &Arc<Output>,
    ) -> Result<Self, Reason> {
        let jail_plan = JailPlan {
            supervisor_pid: std::process::id(),
            arguments: plan.arguments().to_vec(),
            scratch_dir: scratch.to_owned(),
            max_data_bytes: Some(plan.max_data_bytes()),
            gpu: plan.gpu(),
            libraries: files.libraries.is_some(),
        };
        let text = serde_json::to_vec(&jail_plan).map_err(|_| Reason::SpawnFailed)?;
        spawn(jail, text, files, output).map_err(|_| Reason::SpawnFailed)
    }

    /// Its process id, which is also its group's.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// What sets it going; once.
    pub(crate) fn take_go(&mut self) -> Option<Go> {
        self.go.take()
    }

    /// From now on requests may reach it: what it writes is kept without their text.
    pub(crate) fn serves(&self) {
        self.serving.store(true, Ordering::SeqCst);
    }

    /// Waits for its end and reaps it. Cancellation-safe.
    pub(crate) async fn ended(&mut self) -> Death {
        self.process.wait().await.map_or(Death::Signalled, death_of)
    }

    /// Ends it: TERM to the group, KILL after five seconds.
    pub(crate) async fn end(&mut self) -> Death {
        self.signal(Signal::TERM);
        match tokio::time::timeout(TERM_GRACE, self.ended()).await {
            Ok(death) => death,
            Err(_) => self.kill().await,
        }
    }

    /// Kills its group.
    pub(crate) async fn kill(&mut self) -> Death {
        self.signal(Signal::KILL);
        self.ended().await
    }

    fn signal(&self, signal: Signal) {
        // A reaped child has no id any more: its number may be somebody else's by now.
        if self.process.id().is_some() {
            let _ = kill_process_group(self.pid, signal);
        }
    }
}

fn death_of(status: ExitStatus) -> Death {
    match status.code() {
        Some(JAIL_REFUSED) => Death::JailRefused,
        Some(_) => Death::Exited,
        None => Death::Signalled,
    }
}

fn spawn(
    jail: &Path,
    plan: Vec<u8>,
    files: LaunchFiles,
    output: &Arc<Output>,
) -> io::Result<Child> {
    let (plan_reader, writer) = io::pipe()?;
    let (output_reader, output_writer) = io::pipe()?;
    let mut descriptors = vec![
        FdMapping { parent_fd: plan_reader.into(), child_fd: PLAN_DESCRIPTOR },
        FdMapping { parent_fd: files.binary, child_fd: BINARY_DESCRIPTOR },
        FdMapping { parent_fd: files.model, child_fd: MODEL_DESCRIPTOR },
    ];
    let libraries = files.libraries.into_iter();
    descriptors
        .extend(libraries.map(|parent_fd| FdMapping { parent_fd, child_fd: LIBRARIES_DESCRIPTOR }));
    let mut command = Command::new(jail);
    command
        .env_clear()
        .current_dir("/")
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(output_writer.try_clone()?)
        .stderr(output_writer)
        .fd_mappings(descriptors)
        .map_err(|_| io::ErrorKind::InvalidInput)?;
    let process = command.spawn()?;
    let pid = process.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let pid = pid.ok_or(io::ErrorKind::NotFound)?;
    let serving = Arc::new(AtomicBool::new(false));
    let output = Arc::clone(output);
    tokio::spawn(output.collect(output_reader.into(), Arc::clone(&serving)));
    Ok(Child { process, go: Some(Go { plan, writer }), pid, serving })
}
