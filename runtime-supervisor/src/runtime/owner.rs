//! Runs the job at hand: verify, spawn, wait for health, watch, drain, restart after a crash.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use monitor_api::Ask;
use runtime_api::v1;
use runtime_core::{CrashHistory, CrashVerdict, Event, LaunchPlan, Reason};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout, timeout_at};

use super::desk::{Attended, Desk, Interrupt};
use super::prepare::{HeldFiles, Prepared, prepare};
use super::sampler::{Observed, Sampler};
use super::{Command, House, Job};
use crate::child::{Child, Death, LaunchFiles};
use crate::health::until_healthy;
use crate::probe::Probe;

/// The name under which the runtime makes its socket.
const SOCKET: &str = "runtime.sock";

/// The task that owns the runtime.
pub(super) struct Owner {
    house: Arc<House>,
    desk: Desk,
}

/// How one run of the job ended.
enum RunEnd {
    /// As was asked for.
    Wanted,
    /// It was unloaded for want of requests.
    Asleep,
    /// It cannot be started, or left its memory limit; a restart would not help.
    Refused(Reason),
    /// By itself.
    Crashed(Reason),
}

/// How the wait for health ended.
enum StartEnd {
    /// Healthy; it is observed from here on.
    Healthy(Observed),
    /// Healthy, but over a limit that it would be drained for.
    Over(Reason),
    Died(Death),
    TimedOut,
}

impl Owner {
    pub(super) fn new(
        house: House,
        commands: mpsc::Receiver<Command>,
    ) -> (Self, watch::Receiver<v1::RuntimeFacts>) {
        let desk = Desk::new(commands, &house);
        let facts = desk.facts().subscribe();
        (Self { house: Arc::new(house), desk }, facts)
    }

    pub(super) async fn run(mut self) {
        while let Some(job) = self.next_job().await {
            self.keep_running(&job).await;
        }
    }

    /// The job at hand, or the next one that is asked for; none after a shutdown.
    async fn next_job(&mut self) -> Option<Job> {
        while !self.desk.shutdown {
            if let Some(job) = &self.desk.job {
                return Some(job.clone());
            }
            if let Attended::Interrupted(Interrupt::Stop) = self.desk.attend(pending::<()>()).await
            {
                self.desk.settle(None, false);
            }
        }
        None
    }

    async fn keep_running(&mut self, job: &Job) {
        let begun = Instant::now();
        let mut crashes = CrashHistory::new();
        let mut was_ready = false;
        let mut held = None;
        loop {
            match self.run_once(job, &mut held, &mut was_ready).await {
                RunEnd::Wanted => return self.desk.settle(None, false),
                RunEnd::Asleep => {
                    tracing::info!("runtime sleeps");
                    if !self.desk.is_woken().await {
                        return self.desk.settle(None, false);
                    }
                    tracing::info!("runtime is woken");
                }
                RunEnd::Refused(reason) => return self.failed(reason, false),
                RunEnd::Crashed(reason) => {
                    let now = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                    let CrashVerdict::RestartAfter(pause) = crashes.record(now) else {
                        return self.failed(reason, true);
                    };
                    self.desk.ends_for(reason);
                    tracing::warn!(runtime.reason = reason.as_str(), "runtime restarts");
                    let pause = sleep(Duration::from_millis(pause));
                    if let Attended::Interrupted(_) = self.desk.attend(pause).await {
                        return self.desk.settle(None, false);
                    }
                }
            }
        }
    }

    fn failed(&mut self, reason: Reason, is_crash_loop: bool) {
        tracing::error!(
            runtime.reason = reason.as_str(),
            runtime.crash_loop = is_crash_loop,
            "runtime stays stopped"
        );
        self.desk.settle(Some(reason), is_crash_loop);
    }

    async fn run_once(
        &mut self,
        job: &Job,
        held: &mut Option<HeldFiles>,
        was_ready: &mut bool,
    ) -> RunEnd {
        let preparing = prepare(Arc::clone(&self.house), job.clone(), held.clone());
        let Prepared { plan, files, held: now_held } = match self.desk.attend(preparing).await {
            Attended::Done(Ok(prepared)) => prepared,
            Attended::Done(Err(reason)) => return RunEnd::Refused(reason),
            Attended::Interrupted(_) => return RunEnd::Wanted,
        };
        *held = Some(now_held);
        match self.spawn_and_watch(job, &plan, files, was_ready).await {
            Ok(end) => end,
            // The lifecycle has no such arrow: nothing runs on from here.
            Err(reason) => RunEnd::Refused(reason),
        }
    }

    async fn spawn_and_watch(
        &mut self,
        job: &Job,
        plan: &LaunchPlan,
        files: LaunchFiles,
        was_ready: &mut bool,
    ) -> Result<RunEnd, Reason> {
        self.desk.advance(&plan.start_event())?;
        self.house.clear_socket();
        let (jail, scratch) = (&self.house.jail, &self.house.scratch);
        let spawned = Child::spawn(jail, scratch, plan, files, &self.house.output);
        let mut child = match spawned {
            Ok(child) => child,
            Err(reason) => {
                self.desk.advance(&Event::HealthFail)?;
                return Ok(RunEnd::Refused(reason));
            }
        };
        let pid = child.pid();
        tracing::info!(runtime.pid = pid, "runtime spawned");
        let end = self.watch(job, &mut child, was_ready).await;
        drop(child);
        self.house.clear_socket();
        let _ = self.house.monitor.tell(Ask::RuntimeEnded { pid }).await;
        end
    }

    async fn watch(
        &mut self,
        job: &Job,
        child: &mut Child,
        was_ready: &mut bool,
    ) -> Result<RunEnd, Reason> {
        let generation = self.desk.spawned(job, child.pid());
        let start = start_up(Arc::clone(&self.house), child, self.desk.facts(), generation);
        let observed = match self.desk.attend(start).await {
            Attended::Done(StartEnd::Healthy(observed)) => observed,
            Attended::Done(StartEnd::Died(death)) => {
                self.desk.advance(&Event::HealthFail)?;
                return Ok(start_failure(death, *was_ready));
            }
            Attended::Done(StartEnd::TimedOut) => {
                child.kill().await;
                self.desk.advance(&Event::HealthFail)?;
                return Ok(RunEnd::Refused(Reason::HealthFailed));
            }
            Attended::Done(StartEnd::Over(reason)) => {
                child.kill().await;
                self.desk.advance(&Event::HealthFail)?;
                return Ok(RunEnd::Refused(reason));
            }
            Attended::Interrupted(_) => {
                child.end().await;
                self.desk.advance(&Event::HealthFail)?;
                return Ok(RunEnd::Wanted);
            }
        };
        child.serves();
        *was_ready = true;
        self.desk.advance(&Event::HealthOk)?;
        tracing::info!(runtime.pid = child.pid(), "runtime ready");
        self.until_it_ends(child, observed).await
    }

    async fn until_it_ends(
        &mut self,
        child: &mut Child,
        mut observed: Observed,
    ) -> Result<RunEnd, Reason> {
        let end = loop {
            match self.desk.attend(ended_or_over(child, &mut observed)).await {
                Attended::Done(None) => {
                    self.desk.advance(&Event::Drain)?;
                    break RunEnd::Crashed(Reason::RuntimeCrashed);
                }
                Attended::Done(Some(reason)) => {
                    self.desk.ends_for(reason);
                    self.desk.advance(&Event::Drain)?;
                    self.drain(child).await;
                    break RunEnd::Refused(reason);
                }
                Attended::Interrupted(Interrupt::Unhealthy) => {
                    self.desk.advance(&Event::Drain)?;
                    child.kill().await;
                    break RunEnd::Crashed(Reason::HealthFailed);
                }
                Attended::Interrupted(Interrupt::Stop) => {
                    self.desk.advance(&Event::Drain)?;
                    self.drain(child).await;
                    break RunEnd::Wanted;
                }
                Attended::Interrupted(Interrupt::Idle) => {
                    self.desk.falls_asleep()?;
                    self.drain(child).await;
                    break RunEnd::Asleep;
                }
                Attended::Interrupted(Interrupt::Start | Interrupt::Drained) => {}
            }
        };
        self.desk.advance(&Event::Stopped)?;
        Ok(end)
    }

    /// Lets the front door finish what it has at the runtime, then ends it.
    async fn drain(&mut self, child: &mut Child) {
        let limit = Duration::from_secs(self.house.settings.drain_timeout_s);
        let deadline = tokio::time::Instant::now() + limit;
        while self.desk.is_followed() {
            match timeout_at(deadline, self.desk.attend(child.ended())).await {
                Ok(Attended::Done(_)) => return,
                Ok(Attended::Interrupted(Interrupt::Drained)) | Err(_) => break,
                Ok(Attended::Interrupted(_)) => {}
            }
        }
        child.end().await;
    }
}

/// Waits for the runtime's death (none), or for the reason to drain it.
async fn ended_or_over(child: &mut Child, observed: &mut Observed) -> Option<Reason> {
    tokio::select! {
        biased;
        _ = child.ended() => None,
        reason = observed.is_over() => Some(reason),
    }
}

impl House {
    pub(super) fn socket(&self) -> PathBuf {
        self.scratch.join(SOCKET)
    }

    /// A socket left by an earlier runtime would keep the next one from starting.
    fn clear_socket(&self) {
        let _ = std::fs::remove_file(self.socket());
    }
}

/// Tells the launcher, sets the runtime going, begins to sample, and waits for health, death or
/// the time limit. The jail is still dumpable while it waits for its plan: that is when the
/// launcher can raise its out-of-memory score, and a runtime without a record never runs.
async fn start_up(
    house: Arc<House>,
    child: &mut Child,
    facts: watch::Sender<v1::RuntimeFacts>,
    generation: u64,
) -> StartEnd {
    let (pid, spawned, go) = (child.pid(), Instant::now(), child.take_go());
    let start_limit = house.start_limit;
    let healthy = async {
        let told = house.monitor.tell(Ask::RuntimeStarted { pid }).await;
        if told.is_err() || go.is_none_or(|go| go.go().is_err()) {
            tracing::error!("the launcher did not record the runtime");
            return StartEnd::Died(Death::JailRefused);
        }
        let gpu = Arc::clone(&house.gpu);
        let mut sampler = Probe::open(&house.monitor, pid, spawned, house.machine, gpu)
            .await
            .map(|probe| Sampler::new(probe, facts, generation, house.limits))
            .inspect_err(|reason| {
                tracing::warn!(resources.reason = reason.as_str(), "runtime not observed");
            })
            .ok();
        tokio::select! {
            () = until_healthy(&house.monitor) => {}
            () = run(sampler.as_mut()) => {}
        }
        // What is published with `ready` is the loaded runtime's memory, not an earlier figure:
        // while it loads, pages of the model's file that it gives back count too.
        match sampler.as_mut().and_then(Sampler::sample) {
            Some(reason) => StartEnd::Over(reason),
            None => StartEnd::Healthy(Observed::by(sampler)),
        }
    };
    tokio::select! {
        biased;
        death = child.ended() => StartEnd::Died(death),
        healthy = timeout(start_limit, healthy) => healthy.unwrap_or(StartEnd::TimedOut),
    }
}

/// Samples without end; a runtime that cannot be observed stays unobserved.
async fn run(sampler: Option<&mut Sampler>) {
    match sampler {
        Some(sampler) => sampler.run(None).await,
        None => pending().await,
    }
}

/// A runtime that was ready before, or that somebody killed, is worth another try; one that
/// gives up by itself at its first start is not.
fn start_failure(death: Death, was_ready: bool) -> RunEnd {
    match death {
        Death::JailRefused => RunEnd::Refused(Reason::SpawnFailed),
        Death::Signalled => RunEnd::Crashed(Reason::RuntimeCrashed),
        Death::Exited if was_ready => RunEnd::Crashed(Reason::HealthFailed),
        Death::Exited => RunEnd::Refused(Reason::HealthFailed),
    }
}
