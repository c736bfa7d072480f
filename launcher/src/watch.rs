//! Watching over the three until TERM or INT, and stopping them in order.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use monitor_api::Role;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::children::{self, ChildError, ChildPlan, Stop};
use crate::dialer::Dialer;
use crate::limits::STOP_GRACE;
use crate::notify::notify;
use crate::up::UpError;
use crate::voice::Voice;

/// Runs until a signal, or until a child cannot be started at all; then nothing runs any more.
pub(crate) async fn watch_over(
    plans: [ChildPlan; 3],
    dialer: Arc<Dialer>,
    bound: SocketAddr,
    drain: Duration,
    voice: Voice,
) -> Result<(), UpError> {
    let mut signals = Signals::new().map_err(UpError::Prepare)?;
    let (ready_sender, ready) = mpsc::unbounded_channel();
    tokio::spawn(announce(ready, bound, voice));
    let mut household = Household::start(plans, &dialer, &ready_sender);
    drop(ready_sender);

    let outcome = tokio::select! {
        () = signals.next() => Ok(()),
        ended = household.running.join_next() => ended_early(ended),
    };
    notify("STOPPING=1");
    tracing::info!("stopping");
    voice.say(&format!(
        "\nStopping. Answers under way are given {} s to end; Ctrl-C again stops at once.",
        drain.as_secs()
    ));
    let in_time = tokio::select! {
        () = household.stop_in_order(drain) => true,
        () = sleep(drain + STOP_GRACE) => false,
        () = signals.next() => false,
    };
    if !in_time {
        tracing::warn!("what still runs is killed");
        household.stop_now().await;
    }
    tracing::info!("stopped");
    voice.say("Stopped: nothing of it runs any more.");
    outcome
}

type Ended = Result<(), ChildError>;

fn ended_early(ended: Option<Result<Ended, JoinError>>) -> Result<(), UpError> {
    match ended {
        Some(ended) => Ok(ended??),
        None => Ok(()),
    }
}

/// The tasks that keep the three running, and how each is told to stop.
struct Household {
    running: JoinSet<Ended>,
    supervisor: watch::Sender<Stop>,
    others: watch::Sender<Stop>,
    /// Resolves when nothing keeps the front door running any more, whatever the reason.
    frontdoor_ended: oneshot::Receiver<()>,
}

impl Household {
    fn start(
        plans: [ChildPlan; 3],
        dialer: &Arc<Dialer>,
        ready: &mpsc::UnboundedSender<Role>,
    ) -> Self {
        let (supervisor, others) = (watch::Sender::new(Stop::No), watch::Sender::new(Stop::No));
        let (frontdoor_runs, frontdoor_ended) = oneshot::channel();
        let mut frontdoor_runs = Some(frontdoor_runs);
        let mut running = JoinSet::new();
        for plan in plans {
            let orders = if plan.role == Role::Supervisor { &supervisor } else { &others };
            let runs = if plan.role == Role::Frontdoor { frontdoor_runs.take() } else { None };
            let keeping =
                children::keep_running(plan, Arc::clone(dialer), ready.clone(), orders.subscribe());
            running.spawn(async move {
                let _runs = runs;
                keeping.await
            });
        }
        Self { running, supervisor, others, frontdoor_ended }
    }

    /// The supervisor goes last: the front door's last streams still need the runtime.
    async fn stop_in_order(&mut self, drain: Duration) {
        self.others.send_replace(Stop::Gently);
        let _ = timeout(drain, &mut self.frontdoor_ended).await;
        self.supervisor.send_replace(Stop::Gently);
        while self.running.join_next().await.is_some() {}
    }

    async fn stop_now(&mut self) {
        self.others.send_replace(Stop::Now);
        self.supervisor.send_replace(Stop::Now);
        while self.running.join_next().await.is_some() {}
    }
}

/// Says once, when all three serve, where the endpoint is and what to type next.
async fn announce(mut ready: mpsc::UnboundedReceiver<Role>, bound: SocketAddr, voice: Voice) {
    let mut serving = HashSet::new();
    while let Some(role) = ready.recv().await {
        serving.insert(role);
        if serving.len() == 3 {
            eprintln!("The companion is up at http://{bound} (next: companionctl status)");
            voice.say("It runs until Ctrl-C.");
            notify("READY=1");
            return;
        }
    }
}

struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
