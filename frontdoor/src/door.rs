//! The state that all parts of the front door share: facts in, judged anew at every look.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use frontdoor_core::Reason;
use frontdoor_core::admission::Bounds;
use frontdoor_core::availability::{self, Availability, Facts, RuntimeTruth};
use frontdoor_core::credential::TokenDigest;
use frontdoor_core::gate::{self, IsReady, Lifecycle};
use frontdoor_core::guard::{
    AllowedHosts, GuardPolicy, Permit, RateState, Refusal, UntrustedRequest, judge,
};
use frontdoor_core::resources::{self, WithinLimits};
use monitor_api::FrontdoorCharter;
use runtime_api::v1::health_report::{Demand, Outcome};
use runtime_api::v1::{HealthReport, RuntimeFacts};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::account::RequestIds;
use crate::admission_queue::AdmissionQueue;
use crate::clock::Clock;
use crate::dial::Dial;
use crate::limits::BODIES_IN_MEMORY;
use crate::metrics::Figures;
use crate::runtime_facts;
use crate::upstream::Upstreams;

/// What the charter says, in the units that are used.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) bound: SocketAddr,
    pub(crate) max_body_bytes: u64,
    pub(crate) max_connections: u32,
    pub(crate) health_interval: Duration,
    pub(crate) health_recency_ms: u64,
    pub(crate) drain_timeout: Duration,
    /// `None`: the runtime stays loaded.
    pub(crate) idle_unload: Option<Duration>,
    bounds: Bounds,
    rate_requests: u32,
    rate_window_ms: u64,
}

impl Plan {
    pub(crate) fn of(charter: &FrontdoorCharter) -> Self {
        let section = &charter.frontdoor;
        Self {
            bound: charter.bound,
            max_body_bytes: section.max_body_bytes,
            max_connections: section.max_connections,
            health_interval: Duration::from_secs(charter.health_interval_s.max(1)),
            health_recency_ms: charter.health_recency_s.saturating_mul(1000),
            drain_timeout: Duration::from_secs(charter.drain_timeout_s),
            idle_unload: (charter.idle_unload_s > 0)
                .then(|| Duration::from_secs(charter.idle_unload_s)),
            bounds: Bounds {
                max_in_flight: section.max_in_flight,
                queue_bound: section.queue_bound,
                queue_timeout_ms: section.queue_timeout_s.saturating_mul(1000),
            },
            rate_requests: section.rate_limit_requests,
            rate_window_ms: section.rate_limit_window_s.saturating_mul(1000),
        }
    }
}

/// The front door.
pub(crate) struct Door {
    pub(crate) plan: Plan,
    pub(crate) dial: Box<dyn Dial>,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) queue: Arc<AdmissionQueue>,
    pub(crate) figures: Figures,
    pub(crate) ids: RequestIds,
    /// Memory for bodies, in KiB.
    pub(crate) body_memory: Arc<Semaphore>,
    pub(crate) clock: Clock,
    hosts: AllowedHosts,
    rate: Mutex<Option<RateState>>,
    token: Mutex<Token>,
    health_credential: TokenDigest,
    health: Mutex<Health>,
    facts: watch::Sender<Option<Followed>>,
    streams: AtomicU64,
    reports: Mutex<Option<mpsc::Sender<HealthReport>>>,
    serving: AtomicBool,
    leaving: watch::Sender<bool>,
    holders: AtomicU64,
    changes: watch::Sender<()>,
}

/// What the supervisor says, and on which of its streams.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    stream: u64,
    pub(crate) facts: RuntimeFacts,
}

impl Followed {
    /// Names the runtime. A supervisor that was restarted counts its spawns anew: so generations
    /// are told apart by the stream, too.
    pub(crate) fn run(&self) -> Run {
        Run { stream: self.stream, generation: self.facts.generation }
    }
}

/// One run of the runtime, as far as this process can tell it from others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Run {
    stream: u64,
    pub(crate) generation: u64,
}

/// Who holds a digest, and which.
#[derive(Default)]
struct Token {
    holder: u64,
    digest: Option<TokenDigest>,
}

/// The last end-to-end success without a failure after it.
#[derive(Default)]
struct Health {
    run: Run,
    success_ms: Option<u64>,
}

impl Door {
    pub(crate) fn new(
        plan: Plan,
        hosts: AllowedHosts,
        dial: Box<dyn Dial>,
        health_credential: TokenDigest,
    ) -> Arc<Self> {
        let clock = Clock::start();
        let kib = (plan.max_body_bytes.saturating_mul(BODIES_IN_MEMORY)).div_ceil(1024);
        let memory = usize::try_from(kib).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            queue: AdmissionQueue::new(plan.bounds, clock),
            rate: Mutex::new(Some(RateState::new(plan.rate_requests, plan.rate_window_ms))),
            body_memory: Arc::new(Semaphore::new(memory)),
            plan,
            dial,
            upstreams: Arc::default(),
            figures: Figures::default(),
            ids: RequestIds::of_this_start(),
            clock,
            hosts,
            token: Mutex::default(),
            health_credential,
            health: Mutex::default(),
            facts: watch::Sender::new(None),
            streams: AtomicU64::new(0),
            reports: Mutex::default(),
            serving: AtomicBool::new(false),
            leaving: watch::Sender::new(false),
            holders: AtomicU64::new(0),
            changes: watch::Sender::new(()),
        })
    }

    // --- The guard and the gate ---

    /// Judges a request by the guard. The rate state is out while it is judged: should that ever
    /// panic, the state is lost and nothing passes any more.
    pub(crate) fn guard(&self, request: &UntrustedRequest<'_>) -> Result<Permit, Refusal> {
        let owner = lock(&self.token).digest.clone();
        let policy = GuardPolicy {
            allowed_hosts: &self.hosts,
            owner: owner.as_ref(),
            health: Some(&self.health_credential),
        };
        let mut rate = lock(&self.rate);
        let (verdict, after) = judge(request, &policy, rate.take(), self.clock.now_ms());
        *rate = after;
        verdict
    }

    /// First part of the gate.
    pub(crate) fn lifecycle(&self) -> Result<IsReady, Reason> {
        let (lifecycle, _) = self.runtime_state();
        gate::lifecycle(lifecycle, self.is_leaving())
    }

    /// Whether a request may come in: to run, or to wait for a runtime that sleeps.
    pub(crate) fn may_come(&self) -> Result<(), Reason> {
        let (lifecycle, asleep) = self.runtime_state();
        gate::arrival(lifecycle, asleep, self.is_leaving())
    }

    /// Where the runtime is, and whether it sleeps or is being woken.
    pub(crate) fn runtime_state(&self) -> (Lifecycle, bool) {
        self.facts.borrow().as_ref().map_or((Lifecycle::Unknown, false), |followed| {
            (runtime_facts::lifecycle(&followed.facts), followed.facts.asleep)
        })
    }

    /// Last part of the gate.
    pub(crate) fn resources(&self) -> Result<WithinLimits, Reason> {
        let followed = self.facts.borrow();
        let facts = &followed.as_ref().ok_or(Reason::MalformedObservation)?.facts;
        resources::judge(&runtime_facts::observation(facts), &runtime_facts::limits(facts))
    }

    /// Ends when no request may come, nor wait, any more.
    pub(crate) async fn may_no_longer_come(&self) -> Reason {
        let (mut facts, mut leaving) = (self.facts.subscribe(), self.leaving.subscribe());
        loop {
            facts.mark_unchanged();
            leaving.mark_unchanged();
            if let Err(reason) = self.may_come() {
                return reason;
            }
            tokio::select! {
                changed = facts.changed() => if changed.is_err() { return Reason::NotReady },
                changed = leaving.changed() => if changed.is_err() { return Reason::NotReady },
            }
        }
    }

    // --- What others tell it ---

    /// What the supervisor says now; `None`: its stream has ended. While the runtime sleeps the
    /// queue is closed: whoever comes waits in it.
    pub(crate) fn tell_facts(&self, facts: Option<RuntimeFacts>) {
        if facts.is_none() {
            self.streams.fetch_add(1, Ordering::Relaxed);
        }
        let stream = self.streams.load(Ordering::Relaxed);
        let was_asleep = self.runtime_state().1;
        self.facts.send_replace(facts.map(|facts| Followed { stream, facts }));
        match (was_asleep, self.runtime_state().1) {
            (false, true) => self.queue.close(),
            (true, false) => self.queue.open(),
            (false, false) | (true, true) => {}
        }
        self.changed();
    }

    /// The runtime that is spoken of now.
    pub(crate) fn run(&self) -> Option<Run> {
        self.facts.borrow().as_ref().map(Followed::run)
    }

    pub(crate) fn facts(&self) -> watch::Receiver<Option<Followed>> {
        self.facts.subscribe()
    }

    /// A new stream that may hold the digest; the newest holder alone counts.
    pub(crate) fn new_holder(self: &Arc<Self>) -> TokenHolder {
        let holder = self.holders.fetch_add(1, Ordering::Relaxed) + 1;
        TokenHolder { door: Arc::clone(self), holder }
    }

    /// The outcome of an end-to-end probe: remembered here, and told to the supervisor.
    pub(crate) fn tell_health(&self, run: Run, outcome: Outcome) {
        let healthy = outcome == Outcome::Healthy;
        let success_ms = healthy.then(|| self.clock.now_ms());
        *lock(&self.health) = Health { run, success_ms };
        self.report(run.generation, outcome);
        self.changed();
    }

    /// Sends the outcome of a probe, or none to say how much is in flight.
    pub(crate) fn report(&self, generation: u64, outcome: Outcome) {
        self.send(HealthReport { outcome: outcome.into(), generation, ..HealthReport::default() });
    }

    /// Says whether the runtime is wanted.
    pub(crate) fn report_demand(&self, generation: u64, demand: Demand) {
        self.send(HealthReport { demand: demand.into(), generation, ..HealthReport::default() });
    }

    /// Sends a report, if the supervisor listens and keeps up.
    fn send(&self, report: HealthReport) {
        if let Some(reports) = lock(&self.reports).as_ref() {
            let report = HealthReport { in_flight: self.queue.counts().in_flight, ..report };
            if reports.try_send(report).is_err() {
                tracing::warn!("a report was not sent");
            }
        }
    }

    /// Where reports go, while a stream is open.
    pub(crate) fn report_to(&self, reports: Option<mpsc::Sender<HealthReport>>) {
        *lock(&self.reports) = reports;
    }

    pub(crate) fn set_serving(&self, serving: bool) {
        self.serving.store(serving, Ordering::Release);
        self.changed();
    }

    /// No new work from now on.
    pub(crate) fn leave(&self) {
        self.leaving.send_replace(true);
        self.changed();
    }

    // --- What it says ---

    pub(crate) fn is_leaving(&self) -> bool {
        *self.leaving.borrow()
    }

    pub(crate) fn availability(&self) -> Availability {
        let runtime = self.facts.borrow().as_ref().map(|followed| RuntimeTruth {
            lifecycle: runtime_facts::lifecycle(&followed.facts),
            model_verified: followed.facts.model_verified,
            runtime_verified: followed.facts.runtime_verified,
            asleep: followed.facts.asleep,
        });
        availability::judge(&Facts {
            runtime,
            listener_bound: self.serving.load(Ordering::Acquire),
            token_digest_set: lock(&self.token).digest.is_some(),
            health_age_ms: self.health_age_ms(),
            health_recency_ms: self.plan.health_recency_ms,
            leaving: self.is_leaving(),
        })
    }

    /// Age of the last success for the runtime that runs now.
    pub(crate) fn health_age_ms(&self) -> Option<u64> {
        let run = self.facts.borrow().as_ref()?.run();
        let health = lock(&self.health);
        let success_ms = health.success_ms.filter(|_| health.run == run)?;
        Some(self.clock.now_ms().saturating_sub(success_ms))
    }

    /// Woken at every change of what [`Self::availability`] would say, but for the ageing of a
    /// success.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_replace(());
    }
}

/// One stream's hold on the token digest; dropping it withdraws the digest.
pub(crate) struct TokenHolder {
    door: Arc<Door>,
    holder: u64,
}

impl TokenHolder {
    /// Sets or withdraws the digest, unless a newer stream has spoken.
    pub(crate) fn hold(&self, digest: Option<TokenDigest>) {
        {
            let mut token = lock(&self.door.token);
            if token.holder > self.holder {
                return;
            }
            *token = Token { holder: self.holder, digest };
        }
        self.door.changed();
    }
}

impl Drop for TokenHolder {
    fn drop(&mut self) {
        self.hold(None);
    }
}

/// A poisoned lock is taken as it is: every value behind one is judged again when it is used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
