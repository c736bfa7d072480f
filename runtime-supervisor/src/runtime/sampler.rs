//! Publishes the runtime's figures while it lives.

use runtime_api::v1;
use runtime_core::{Limits, Reason, judge};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

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

    /// Samples until it is dropped.
    pub(super) async fn run(&mut self) {
        let mut ticks = interval(SAMPLE_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sample();
        }
    }

    /// Samples and publishes now.
    pub(super) fn sample(&mut self) {
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
