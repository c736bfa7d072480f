//! The one runtime of this process: one task owns it, everybody else sends it commands and
//! reads its facts.

mod desk;
mod owner;
mod prepare;
mod rest;
mod sampler;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use companion_settings::Runtime;
use peer_socket::Monitor;
use runtime_api::v1;
use runtime_core::{Digest, Limits, Outcome, Reason, Spec};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::gpu::Gpu;
use crate::limits::STREAM_QUEUE;
use crate::machine::Machine;
use crate::output::Output;
use crate::store::{Kind, Store};

/// Commands that wait for the owner.
const COMMAND_QUEUE: usize = 64;

/// A model and the runtime to run it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// Catalog id of the model.
    pub(crate) model_id: String,
    /// Catalog id of the runtime.
    pub(crate) runtime_id: String,
    /// The model's bytes.
    pub(crate) model: Spec,
    /// The runtime's bytes.
    pub(crate) runtime: Spec,
    /// Whether those are a program or an archive.
    pub(crate) runtime_kind: Kind,
}

/// What the owner works with.
#[derive(Debug)]
pub(crate) struct House {
    /// Connections, and news for the launcher.
    pub(crate) monitor: Monitor,
    /// Where the files lie.
    pub(crate) store: Arc<Store>,
    /// The runtime's words.
    pub(crate) output: Arc<Output>,
    /// What the machine has.
    pub(crate) machine: Machine,
    /// Its GPU memory.
    pub(crate) gpu: Arc<Gpu>,
    /// What the runtime may use.
    pub(crate) limits: Limits,
    /// The `[runtime]` section.
    pub(crate) settings: Runtime,
    /// `runtime-jail`.
    pub(crate) jail: PathBuf,
    /// Where the runtime makes its socket.
    pub(crate) scratch: PathBuf,
    /// Longest time from spawn to the first good health answer.
    pub(crate) start_limit: Duration,
}

/// How a start went, told to whoever asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is being spawned.
    Starting,
    /// It is healthy.
    Ready,
    /// It will not be.
    Failed(Reason),
}

/// What the front door says of itself and of the runtime.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Report {
    /// A front door follows.
    Joined,
    /// It no longer does.
    Left,
    /// The outcome of a probe of this generation.
    Probe {
        /// How it ended.
        outcome: Outcome,
        /// The runtime that was probed.
        generation: u64,
    },
    /// Requests at the runtime, told while it drains.
    InFlight(u32),
    /// This generation had no request for as long as makes it be unloaded.
    Idle {
        /// The runtime that rests.
        generation: u64,
    },
    /// A request waits for this generation, which sleeps.
    Wanted {
        /// The runtime that is to come back.
        generation: u64,
    },
}

#[derive(Debug)]
enum Command {
    Start { job: Job, progress: mpsc::Sender<Progress> },
    Stop { done: oneshot::Sender<()> },
    Uses { digest: Digest, answer: oneshot::Sender<bool> },
    Report(Report),
    Shutdown,
}

/// The way to the owner; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    facts: watch::Receiver<v1::RuntimeFacts>,
}

/// Starts the owner on this thread's executor, which must be the main thread's: it spawns.
pub(crate) fn own(house: House) -> (Handle, JoinHandle<()>) {
    let (commands, received) = mpsc::channel(COMMAND_QUEUE);
    let (owner, facts) = owner::Owner::new(house, received);
    (Handle { commands, facts }, tokio::spawn(owner.run()))
}

impl Handle {
    /// The facts of this moment, and each change of them.
    pub(crate) fn facts(&self) -> watch::Receiver<v1::RuntimeFacts> {
        self.facts.clone()
    }

    /// Asks for a start and follows it; the same job again only follows.
    pub(crate) async fn start(&self, job: Job) -> mpsc::Receiver<Progress> {
        let (progress, followed) = mpsc::channel(STREAM_QUEUE);
        let _ = self.commands.send(Command::Start { job, progress }).await;
        followed
    }

    /// Stops what runs; resolves when nothing does.
    pub(crate) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        let _ = self.commands.send(Command::Stop { done }).await;
        let _ = stopped.await;
    }

    /// Whether the job at hand uses this file. An owner that does not answer uses it.
    pub(crate) async fn uses(&self, digest: Digest) -> bool {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Command::Uses { digest, answer }).await;
        answered.await.unwrap_or(true)
    }

    /// Passes on what a front door reported.
    pub(crate) async fn report(&self, report: Report) {
        let _ = self.commands.send(Command::Report(report)).await;
    }

    /// Stops what runs and ends the owner.
    pub(crate) async fn shut_down(&self) {
        let _ = self.commands.send(Command::Shutdown).await;
    }
}
