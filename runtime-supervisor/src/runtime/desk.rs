//! Where commands arrive and facts leave: attended to while the owner waits for anything else.

use std::future::Future;

use runtime_api::v1;
use runtime_core::{Event, HealthStreak, Reason, State, step};
use tokio::sync::{mpsc, oneshot, watch};

use super::rest::Rest;
use super::{Command, House, Job, Progress, Report};

/// What came first.
pub(super) enum Attended<T> {
    /// What was waited for.
    Done(T),
    /// A command that changes the course.
    Interrupted(Interrupt),
}

/// A change of course.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// A start where there was no job, or of a runtime that sleeps.
    Start,
    /// A stop or a shutdown.
    Stop,
    /// Three failed health probes in a row.
    Unhealthy,
    /// A draining runtime has nothing left to answer.
    Drained,
    /// Nobody asked it anything for long enough.
    Idle,
}

#[derive(Debug)]
pub(super) struct Desk {
    commands: mpsc::Receiver<Command>,
    facts: watch::Sender<v1::RuntimeFacts>,
    state: State,
    /// What is being started, runs, or waits for its restart.
    pub(super) job: Option<Job>,
    pub(super) shutdown: bool,
    asked_to_stop: Vec<oneshot::Sender<()>>,
    following: Vec<mpsc::Sender<Progress>>,
    streak: HealthStreak,
    front_doors: u32,
    rest: Rest,
}

impl Desk {
    pub(super) fn new(commands: mpsc::Receiver<Command>, house: &House) -> Self {
        let limits = &house.limits;
        let (facts, _) = watch::channel(v1::RuntimeFacts {
            lifecycle: v1::Lifecycle::Stopped.into(),
            resources: Some(v1::Resources::default()),
            limits: Some(v1::ResourceLimits {
                max_ram_bytes: limits.max_ram_bytes(),
                max_vram_bytes: limits.max_vram_bytes(),
                max_cpu_percent: limits.max_cpu_percent(),
            }),
            supervisor_pid: std::process::id(),
            landlock_abi: confine::landlock_abi_in_force(),
            ..v1::RuntimeFacts::default()
        });
        Self {
            commands,
            facts,
            state: State::Stopped,
            job: None,
            shutdown: false,
            asked_to_stop: Vec::new(),
            following: Vec::new(),
            streak: HealthStreak::new(),
            front_doors: 0,
            rest: Rest::after_s(house.settings.idle_unload_s),
        }
    }

    pub(super) fn facts(&self) -> watch::Sender<v1::RuntimeFacts> {
        self.facts.clone()
    }

    /// Waits for `act` while taking commands. A change of course drops `act`.
    pub(super) async fn attend<T>(&mut self, act: impl Future<Output = T>) -> Attended<T> {
        tokio::pin!(act);
        loop {
            tokio::select! {
                biased;
                done = &mut act => return Attended::Done(done),
                command = self.commands.recv() => {
                    if let Some(interrupt) = self.take(command.unwrap_or(Command::Shutdown)) {
                        return Attended::Interrupted(interrupt);
                    }
                }
            }
        }
    }

    /// Takes one step of the lifecycle and publishes it.
    pub(super) fn advance(&mut self, event: &Event) -> Result<(), Reason> {
        self.state = step(self.state, event)?;
        let state = self.state;
        if state == State::Ready {
            self.rest.ready();
        }
        let asleep = self.rest.lasts();
        self.facts.send_modify(|facts| {
            facts.lifecycle = lifecycle_of(state).into();
            facts.asleep = asleep;
            if state == State::Stopped {
                forget_process(facts);
            }
        });
        match state {
            State::Starting => self.tell(Progress::Starting),
            State::Ready => {
                self.streak = HealthStreak::new();
                self.tell(Progress::Ready);
                self.following.clear();
            }
            State::Draining | State::Stopped => {}
        }
        Ok(())
    }

    /// Publishes which process runs the job; answers its generation.
    pub(super) fn spawned(&mut self, job: &Job, pid: u32) -> u64 {
        self.facts.send_modify(|facts| {
            facts.model_id = job.model_id.clone();
            facts.runtime_id = job.runtime_id.clone();
            facts.model_verified = true;
            facts.runtime_verified = true;
            facts.runtime_pid = pid;
            facts.generation += 1;
        });
        self.facts.borrow().generation
    }

    /// Begins to drain a runtime that is unloaded until it is wanted again.
    pub(super) fn falls_asleep(&mut self) -> Result<(), Reason> {
        self.rest.begin();
        self.advance(&Event::Drain)
    }

    /// Waits until what sleeps is wanted again; false when it is to be stopped instead.
    pub(super) async fn is_woken(&mut self) -> bool {
        while self.rest.is_undisturbed() && !self.must_stop() {
            let _ = self.attend(std::future::pending::<()>()).await;
        }
        !self.must_stop()
    }

    fn must_stop(&self) -> bool {
        self.shutdown || !self.asked_to_stop.is_empty()
    }

    /// Publishes why this run ends, before the job does.
    pub(super) fn ends_for(&mut self, reason: Reason) {
        self.facts.send_modify(|facts| facts.last_failure = reason.as_str().to_owned());
    }

    /// Ends the job: it was stopped, or it failed for this reason.
    pub(super) fn settle(&mut self, failure: Option<Reason>, is_crash_loop: bool) {
        self.job = None;
        self.rest.forget();
        self.facts.send_modify(|facts| {
            facts.asleep = false;
            forget_process(facts);
            facts.last_failure = failure.map_or("", Reason::as_str).to_owned();
            facts.crash_loop = is_crash_loop;
        });
        let told =
            if is_crash_loop { Reason::CrashLoop } else { failure.unwrap_or(Reason::Stopped) };
        self.tell(Progress::Failed(told));
        self.following.clear();
        for done in self.asked_to_stop.drain(..) {
            let _ = done.send(());
        }
    }

    /// Whether a front door may have work at the runtime.
    pub(super) fn is_followed(&self) -> bool {
        self.front_doors > 0
    }

    fn begin(&mut self, job: Job) {
        self.job = Some(job);
        self.facts.send_modify(|facts| {
            facts.last_failure.clear();
            facts.crash_loop = false;
        });
    }

    fn take(&mut self, command: Command) -> Option<Interrupt> {
        match command {
            Command::Start { job, progress } => self.asked_to_start(job, progress),
            Command::Stop { done } => {
                self.asked_to_stop.push(done);
                Some(Interrupt::Stop)
            }
            Command::Uses { digest, answer } => {
                let uses =
                    |job: &Job| [job.model, job.runtime].iter().any(|s| s.digest() == digest);
                let _ = answer.send(self.job.as_ref().is_some_and(uses));
                None
            }
            Command::Report(report) => self.reported(report),
            Command::Shutdown => {
                self.shutdown = true;
                Some(Interrupt::Stop)
            }
        }
    }

    fn asked_to_start(&mut self, job: Job, progress: mpsc::Sender<Progress>) -> Option<Interrupt> {
        let is_ending = self.shutdown || (self.state == State::Draining && !self.rest.lasts());
        if self.job.is_none() && !is_ending {
            self.begin(job);
            self.following.push(progress);
            return Some(Interrupt::Start);
        }
        if self.job.as_ref() != Some(&job) || is_ending {
            let _ = progress.try_send(Progress::Failed(Reason::AlreadyRunning));
            return None;
        }
        if matches!(self.state, State::Starting | State::Ready) {
            let _ = progress.try_send(Progress::Starting);
        }
        if self.state == State::Ready {
            let _ = progress.try_send(Progress::Ready);
        } else {
            self.following.push(progress);
        }
        self.wake()
    }

    fn wake(&mut self) -> Option<Interrupt> {
        self.rest.wake().then_some(Interrupt::Start)
    }

    fn reported(&mut self, report: Report) -> Option<Interrupt> {
        let is_draining = self.state == State::Draining;
        let is_of_now = |generation| generation == self.facts.borrow().generation;
        match report {
            Report::Joined => {
                self.front_doors += 1;
                None
            }
            Report::Left => {
                self.front_doors = self.front_doors.saturating_sub(1);
                (is_draining && self.front_doors == 0).then_some(Interrupt::Drained)
            }
            Report::InFlight(count) => (is_draining && count == 0).then_some(Interrupt::Drained),
            Report::Probe { outcome, generation } => {
                let is_of_this_runtime = self.state == State::Ready && is_of_now(generation);
                (is_of_this_runtime && self.streak.ends_runtime(outcome))
                    .then_some(Interrupt::Unhealthy)
            }
            Report::Idle { generation } => {
                let is_of_this_runtime = self.state == State::Ready && is_of_now(generation);
                (is_of_this_runtime && self.rest.may_begin()).then_some(Interrupt::Idle)
            }
            Report::Wanted { generation } => {
                if is_of_now(generation) {
                    self.wake()
                } else {
                    None
                }
            }
        }
    }

    fn tell(&mut self, progress: Progress) {
        self.following.retain(|follower| follower.try_send(progress).is_ok());
    }
}

/// Of one that sleeps it stays known what it is.
fn forget_process(facts: &mut v1::RuntimeFacts) {
    if !facts.asleep {
        facts.model_id.clear();
        facts.runtime_id.clear();
    }
    facts.model_verified = false;
    facts.runtime_verified = false;
    facts.runtime_pid = 0;
    facts.resources = Some(v1::Resources::default());
}

fn lifecycle_of(state: State) -> v1::Lifecycle {
    match state {
        State::Stopped => v1::Lifecycle::Stopped,
        State::Starting => v1::Lifecycle::Starting,
        State::Ready => v1::Lifecycle::Ready,
        State::Draining => v1::Lifecycle::Draining,
    }
}
