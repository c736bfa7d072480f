//! What this process may and may not do, and what a runtime may: the latter tried by a probe in a
//! runtime's place, started through the same jail with the same policy.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use capabilities::{Capabilities, Own, Places, ProcessTrials, Server, failed, told};
use command_fds::{CommandFdExt as _, FdMapping};
use companion_settings::split_host;
use confine::{Aims, BINARY_DESCRIPTOR, JailPlan, MODEL_DESCRIPTOR, PLAN_DESCRIPTOR, Trial, Tried};
use monitor_api::{Role, SupervisorCharter};
use peer_socket::Monitor;
use runtime_core::Reason;
use rustix::fs::{Mode, OFlags};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::limits::{PROBE_PATIENCE, PROBE_WORDS};
use crate::runtime::Handle;

/// The runtime's name in the table of roles.
const RUNTIME: &str = "runtime";

/// What is tried by whom.
#[derive(Debug, Clone)]
pub(crate) struct Trials {
    own: Own,
    model_host: Option<(String, u16)>,
    in_its_place: Probe,
}

/// Where the probe is, and what it is given.
#[derive(Debug, Clone)]
struct Probe {
    jail: PathBuf,
    probe: PathBuf,
    scratch: PathBuf,
    no_program: PathBuf,
    gpu: bool,
}

impl Trials {
    pub(crate) fn new(charter: &SupervisorCharter, monitor: &Monitor) -> Self {
        let own_directory = Some(charter.store_dir.clone());
        let aims = Aims { no_program: charter.no_program.clone(), own_directory };
        let (role, who) = (Role::Supervisor, Tried::Supervisor);
        let own = Own { process: "supervisor", role, who, aims, monitor: monitor.clone() };
        let model_host = charter.models.hosts.iter().find_map(|host| split_host(host));
        let in_its_place = Probe {
            jail: charter.jail.clone(),
            probe: charter.probe.clone(),
            scratch: charter.scratch_dir.join("probe"),
            no_program: charter.no_program.clone(),
            gpu: charter.runtime.gpu,
        };
        Self { own, model_host, in_its_place }
    }

    /// The service; `runtime` tells which runtime there is to ask for.
    pub(crate) fn server(self, runtime: Handle) -> Server {
        Capabilities::server(move || {
            let trials = self.clone();
            let runtime_pid = Some(runtime.facts().borrow().runtime_pid).filter(|pid| *pid != 0);
            Box::pin(async move { trials.try_all(runtime_pid).await })
        })
    }

    async fn try_all(self, runtime_pid: Option<u32>) -> Vec<ProcessTrials> {
        let places = Places { model_host: self.model_host, runtime_pid, ..Places::default() };
        let own = self.own.trials(&places).await;
        let in_its_place = match self.in_its_place.try_all().await {
            Ok(tried) => told(RUNTIME, tried),
            Err(error) => {
                tracing::warn!(%error, "the confinement of a runtime could not be tried");
                failed(RUNTIME, Reason::SpawnFailed.as_str())
            }
        };
        vec![own, in_its_place]
    }
}

impl Probe {
    /// Starts the probe, hears it out, and leaves nothing of it. To be called on the main thread,
    /// as every spawn; one at a time.
    ///
    /// # Errors
    /// When it could not be started, or did not tell within its time and length.
    async fn try_all(&self) -> io::Result<Vec<Trial>> {
        DirBuilder::new().mode(0o700).recursive(true).create(&self.scratch)?;
        let told = tokio::time::timeout(PROBE_PATIENCE, self.hear_probe()).await;
        fs::remove_dir_all(&self.scratch)?;
        serde_json::from_slice(&told??).map_err(io::Error::from)
    }

    async fn hear_probe(&self) -> io::Result<Vec<u8>> {
        let (plan_reader, mut plan_writer) = io::pipe()?;
        let nobody_elses = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let probe = rustix::fs::open(&self.probe, nobody_elses, Mode::empty())?;
        let model = File::open("/dev/null")?;
        let mut command = Command::new(&self.jail);
        command
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .fd_mappings(vec![
                FdMapping { parent_fd: plan_reader.into(), child_fd: PLAN_DESCRIPTOR },
                FdMapping { parent_fd: probe, child_fd: BINARY_DESCRIPTOR },
                FdMapping { parent_fd: model.into(), child_fd: MODEL_DESCRIPTOR },
            ])
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut child = command.spawn()?;
        // Far below the capacity of a pipe (pipe(7)), so it cannot block.
        plan_writer.write_all(&self.plan()?)?;
        drop(plan_writer);
        let mut told = Vec::new();
        if let Some(output) = child.stdout.take() {
            output.take(PROBE_WORDS).read_to_end(&mut told).await?;
        }
        child.wait().await?.success().then_some(told).ok_or(io::ErrorKind::Other.into())
    }

    fn plan(&self) -> io::Result<Vec<u8>> {
        let aims =
            Aims { no_program: self.no_program.clone(), own_directory: Some(self.scratch.clone()) };
        let plan = JailPlan {
            supervisor_pid: std::process::id(),
            arguments: vec![serde_json::to_string(&aims)?],
            scratch_dir: self.scratch.clone(),
            max_data_bytes: None,
            gpu: self.gpu,
            libraries: false,
        };
        Ok(serde_json::to_vec(&plan)?)
    }
}
