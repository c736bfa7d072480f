//! Publishes the runtime's figures while it lives.

use std::future::pending;

use runtime_api::v1;
use runtime_core::{Limits, Reason, is_drained_for, judge};
use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::limits::SAMPLE_PAUSE;
use crate::probe::Probe;

/// Publishes the figures of one runtime. Facts of another generation are left alone.
pub(super) struct Sampler {
    probe: Probe,
    facts: watch::Sender<v1::RuntimeFacts>,
    generation: u64,
    limits: Limits,
    over: Option<Reason>,
}

impl Sampler {
    pub(super) fn new(
        probe: Probe,
        facts: watch::Sender<v1::RuntimeFacts>,
        generation: u64,
        limits: Limits,
    ) -> Self {
        Self { probe, facts, generation, limits, over: None }
    }

    /// Samples until it is dropped; `over` hears, once, why the runtime is to be drained.
    pub(super) async fn run(&mut self, mut over: Option<oneshot::Sender<Reason>>) {
        let mut ticks = interval(SAMPLE_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(reason) = self.sample()
                && let Some(over) = over.take()
            {
                let _ = over.send(reason);
            }
        }
    }

    /// Samples and publishes now; answers why the runtime is to be drained, if it is.
    pub(super) fn sample(&mut self) -> Option<Reason> {
        let observed = self.probe.sample().ok();
        self.over = say_what_changed(self.over, judge(&self.limits, observed.as_ref()).err());
        self.facts.send_modify(|facts| {
            if facts.generation == self.generation && facts.runtime_pid != 0 {
                facts.resources =
                    Some(observed.map_or_else(v1::Resources::default, |observed| v1::Resources {
                        observed: true,
                        ram_bytes: observed.ram_bytes,
                        vram_bytes: observed.vram_bytes,
                        cpu_percent: observed.cpu_percent,
                    }));
            }
        });
        self.over.filter(|reason| is_drained_for(*reason))
    }
}

/// A ready runtime under observation, for as long as this is kept; one that cannot be observed
/// stays unobserved.
pub(super) struct Observed {
    over: Option<oneshot::Receiver<Reason>>,
    _sampling: Option<AbortOnDropHandle<()>>,
}

impl Observed {
    pub(super) fn by(sampler: Option<Sampler>) -> Self {
        let Some(mut sampler) = sampler else { return Self { over: None, _sampling: None } };
        let (says, over) = oneshot::channel();
        let sampling = tokio::spawn(async move { sampler.run(Some(says)).await });
        Self { over: Some(over), _sampling: Some(AbortOnDropHandle::new(sampling)) }
    }

    /// Why the runtime is to be drained, once it is.
    pub(super) async fn is_over(&mut self) -> Reason {
        match &mut self.over {
            Some(over) => match over.await {
                Ok(reason) => reason,
                Err(_) => pending().await,
            },
            None => pending().await,
        }
    }
}

fn say_what_changed(before: Option<Reason>, now: Option<Reason>) -> Option<Reason> {
    match now {
        Some(reason) if before != now => {
            tracing::warn!(resources.reason = reason.as_str(), "runtime outside its resources");
        }
        None if before.is_some() => tracing::info!("runtime within its resources again"),
        Some(_) | None => {}
    }
    now
}
