//! Publishes the runtime's figures while it lives.

use runtime_api::v1;
use runtime_core::{Limits, Reason, judge};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::limits::SAMPLE_PAUSE;
use crate::probe::Probe;

/// Samples until it is aborted. Facts of another generation are left alone.
pub(super) async fn sample(
    mut probe: Probe,
    facts: watch::Sender<v1::RuntimeFacts>,
    generation: u64,
    limits: Limits,
) {
    let mut ticks = interval(SAMPLE_PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut over = None;
    loop {
        ticks.tick().await;
        let observed = probe.sample().ok();
        over = say_what_changed(over, judge(&limits, observed.as_ref()).err());
        facts.send_modify(|facts| {
            if facts.generation == generation && facts.runtime_pid != 0 {
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
