//! Starting a child with nothing but its descriptors, and starting it again when it dies.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use companion_settings::{Dirs, Settings};
use monitor_api::{
    BrokerCharter, CharterError, FrontdoorCharter, Role, SupervisorCharter, descriptor,
};
use peer_socket::MAX_CHARTER_BYTES;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::dialer::Dialer;
use crate::limits::{RESTART_PAUSE, SETTLED_AFTER};
use crate::listeners::Listeners;
use crate::sealed::sealed;
use crate::voice::Output;
use crate::{directories, monitor};

/// What stops a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Keep it running.
    No,
    /// TERM, then wait.
    Gently,
    /// KILL.
    Now,
}

/// One of the three: its program, its charter, the sockets it inherits.
pub(crate) struct ChildPlan {
    pub(crate) role: Role,
    program: PathBuf,
    charter: Vec<u8>,
    sockets: Vec<(OwnedFd, i32)>,
    output: Arc<Output>,
}

/// A plan that cannot be made or a child that cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChildError {
    #[error("the program {0} is not beside this one")]
    ProgramMissing(&'static str),
    #[error("the configuration is too long to hand on")]
    Charter,
    #[error("a child process could not be started")]
    Spawn(#[source] io::Error),
}

/// The plans of all three, in the order they start.
pub(crate) fn plans(
    settings: &Settings,
    dirs: &Dirs,
    listeners: Listeners,
    start_id: &str,
    output: Output,
) -> Result<[ChildPlan; 3], ChildError> {
    let bound = listeners.bound;
    let output = Arc::new(output);
    Ok([
        ChildPlan {
            role: Role::Supervisor,
            program: beside("runtime-supervisor")?,
            charter: supervisor_charter(settings, dirs)?,
            sockets: vec![
                (listeners.supervisor, descriptor::SUPERVISOR_SOCKET),
                (listeners.supervisor_control, descriptor::SUPERVISOR_CONTROL),
                (listeners.supervisor_status, descriptor::SUPERVISOR_STATUS),
            ],
            output: Arc::clone(&output),
        },
        ChildPlan {
            role: Role::Frontdoor,
            program: beside("frontdoor")?,
            charter: frontdoor_charter(settings, dirs, bound)?,
            sockets: vec![
                (listeners.frontdoor, descriptor::FRONTDOOR_SOCKET),
                (listeners.frontdoor_control, descriptor::FRONTDOOR_CONTROL),
                (listeners.endpoint, descriptor::FRONTDOOR_TCP),
            ],
            output: Arc::clone(&output),
        },
        ChildPlan {
            role: Role::Broker,
            program: beside("authority-broker")?,
            charter: broker_charter(settings, dirs, start_id)?,
            sockets: vec![(listeners.broker, descriptor::BROKER_SOCKET)],
            output,
        },
    ])
}

fn beside(name: &'static str) -> Result<PathBuf, ChildError> {
    std::env::current_exe()
        .ok()
        .as_deref()
        .and_then(Path::parent)
        .map(|dir| dir.join(name))
        .filter(|path| path.is_file())
        .ok_or(ChildError::ProgramMissing(name))
}

fn broker_charter(settings: &Settings, dirs: &Dirs, start_id: &str) -> Result<Vec<u8>, ChildError> {
    let charter = BrokerCharter {
        launcher_pid: std::process::id(),
        start_id: start_id.to_owned(),
        profile: settings.profile.clone(),
        gateway: settings.gateway.clone(),
        keychain: settings.keychain.clone(),
        model_hosts: settings.models.hosts.clone(),
        autostart_model: settings.runtime.model.clone(),
        state_dir: dirs.broker_state(),
        no_program: directories::no_program(dirs),
    };
    fit(charter.encode())
}

fn supervisor_charter(settings: &Settings, dirs: &Dirs) -> Result<Vec<u8>, ChildError> {
    let charter = SupervisorCharter {
        launcher_pid: std::process::id(),
        models: settings.models.clone(),
        runtime: settings.runtime.clone(),
        store_dir: dirs.store(),
        scratch_dir: dirs.runtime_scratch(),
        jail: beside("runtime-jail")?,
        probe: beside("runtime-probe")?,
        no_program: directories::no_program(dirs),
    };
    fit(charter.encode())
}

fn frontdoor_charter(
    settings: &Settings,
    dirs: &Dirs,
    bound: SocketAddr,
) -> Result<Vec<u8>, ChildError> {
    let charter = FrontdoorCharter {
        launcher_pid: std::process::id(),
        frontdoor: settings.frontdoor.clone(),
        bound,
        health_interval_s: settings.runtime.health_interval_s,
        health_recency_s: settings.runtime.health_recency_s,
        drain_timeout_s: settings.runtime.drain_timeout_s,
        idle_unload_s: settings.runtime.idle_unload_s,
        no_program: directories::no_program(dirs),
    };
    fit(charter.encode())
}

fn fit(charter: Result<Vec<u8>, CharterError>) -> Result<Vec<u8>, ChildError> {
    charter.ok().filter(|bytes| bytes.len() as u64 <= MAX_CHARTER_BYTES).ok_or(ChildError::Charter)
}

/// Runs one child until it is told to stop, again after each death; the sockets stay bound in
/// between, so callers wait rather than fail.
///
/// # Errors
/// When it cannot be started the first time; later failures are tried again.
pub(crate) async fn keep_running(
    plan: ChildPlan,
    dialer: Arc<Dialer>,
    ready: mpsc::UnboundedSender<Role>,
    mut stop: watch::Receiver<Stop>,
) -> Result<(), ChildError> {
    let mut backoff = Backoff::default();
    let mut running = Some(plan.start(&dialer, &ready).await?);
    loop {
        let started = Instant::now();
        if let Some(child) = running.take() {
            let status = child.wait(&mut stop).await;
            plan.has_ended(&dialer).await;
            if *stop.borrow() == Stop::No {
                let status = status.map(|status| status.to_string());
                tracing::error!(child.role = ?plan.role, child.status = status,
                    "a process ended; it is started again");
            }
        }
        let pause = backoff.pause_after(started.elapsed());
        let told = tokio::time::timeout(pause, stop.wait_for(|stop| *stop != Stop::No));
        if told.await.is_ok() {
            return Ok(());
        }
        running = match plan.start(&dialer, &ready).await {
            Ok(child) => Some(child),
            Err(error) => {
                tracing::error!(child.role = ?plan.role, %error, "a process could not be started");
                None
            }
        };
    }
}

/// How long a child that died is left before the next start.
#[derive(Debug, Default)]
struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Nothing after a life of some length; then more each time, up to a bound.
    fn pause_after(&mut self, lived: Duration) -> Duration {
        if lived >= SETTLED_AFTER {
            self.next = Duration::ZERO;
        }
        let pause = self.next;
        self.next = (pause * 2).clamp(RESTART_PAUSE.0, RESTART_PAUSE.1);
        pause
    }
}

impl ChildPlan {
    async fn start(
        &self,
        dialer: &Arc<Dialer>,
        ready: &mpsc::UnboundedSender<Role>,
    ) -> Result<RunningChild, ChildError> {
        if self.role == Role::Supervisor {
            dialer.end_leftover_runtime().await;
        }
        let (own_end, child_end) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|errno| ChildError::Spawn(errno.into()))?;
        let child = self
            .command(child_end)
            .map_err(ChildError::Spawn)?
            .kill_on_drop(true)
            .spawn()
            .map_err(ChildError::Spawn)?;
        if let (Role::Supervisor, Some(pid)) = (self.role, child.id()) {
            dialer.supervisor_is(pid).await;
        }
        let (role, dialer, ready) = (self.role, Arc::clone(dialer), ready.clone());
        let monitor = tokio::spawn(async move {
            if monitor::serve(role, own_end, dialer, ready).await.is_err() {
                tracing::warn!(child.role = ?role, "the monitor of a process broke");
            }
        });
        Ok(RunningChild { child, monitor })
    }

    /// No argument, no environment, no descriptor but the named ones; a process group of its
    /// own, so that Ctrl-C at the terminal reaches the launcher alone, which then drains.
    fn command(&self, monitor: OwnedFd) -> io::Result<Command> {
        let mut mappings = vec![
            FdMapping {
                parent_fd: sealed("charter", &self.charter)?,
                child_fd: descriptor::CHARTER,
            },
            FdMapping { parent_fd: monitor, child_fd: descriptor::MONITOR },
        ];
        for (socket, child_fd) in &self.sockets {
            mappings.push(FdMapping { parent_fd: socket.try_clone()?, child_fd: *child_fd });
        }
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(self.output.stdio()?)
            .stderr(self.output.stdio()?)
            .fd_mappings(mappings)
            .map_err(io::Error::other)?;
        Ok(command)
    }

    async fn has_ended(&self, dialer: &Dialer) {
        if self.role == Role::Supervisor {
            dialer.supervisor_has_ended().await;
        }
    }
}

struct RunningChild {
    child: Child,
    monitor: JoinHandle<()>,
}

impl RunningChild {
    /// Waits for the child's end, passing on how it is to stop. A child that closed its end of
    /// the monitor can do nothing more and is ended.
    async fn wait(mut self, stop: &mut watch::Receiver<Stop>) -> Option<ExitStatus> {
        self.obey(*stop.borrow_and_update());
        let mut has_monitor = true;
        let mut has_master = true;
        loop {
            tokio::select! {
                status = self.child.wait() => return status.ok(),
                _ = &mut self.monitor, if has_monitor => {
                    has_monitor = false;
                    if *stop.borrow() == Stop::No {
                        self.obey(Stop::Now);
                    }
                }
                changed = stop.changed(), if has_master => {
                    has_master = changed.is_ok();
                    self.obey(if has_master { *stop.borrow_and_update() } else { Stop::Now });
                }
            }
        }
    }

    fn obey(&self, order: Stop) {
        let signal = match order {
            Stop::No => return,
            Stop::Gently => Signal::TERM,
            Stop::Now => Signal::KILL,
        };
        // The child is not yet reaped, so its number is still its own.
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && kill_process(pid, signal).is_err()
        {
            tracing::warn!("a process could not be signalled");
        }
    }
}

#[cfg(test)]
#[path = "children_tests.rs"]
mod tests;
