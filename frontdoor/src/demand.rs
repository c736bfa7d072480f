//! Whether anybody wants the runtime: the supervisor hears when nobody has for `idle_unload_s`, and
//! when somebody waits for a runtime that sleeps. Health probes take no slot, so they are no use.

use std::future::pending;

use frontdoor_core::admission::Counts;
use frontdoor_core::gate::Lifecycle;
use runtime_api::v1::RuntimeFacts;
use runtime_api::v1::health_report::Demand;
use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::door::Door;
use crate::runtime_facts;

/// What the supervisor said last, as far as demand depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Ready, and looked at anew from then on.
    Ready {
        generation: u64,
        since_ms: u64,
    },
    Asleep {
        generation: u64,
    },
    Other,
}

/// The demand for the runtime that one stream speaks of.
pub(crate) struct RuntimeDemand<'d> {
    door: &'d Door,
    counts: watch::Receiver<Counts>,
    heard: Heard,
    /// For how many that wait the runtime was asked for.
    told_of: u32,
}

impl<'d> RuntimeDemand<'d> {
    pub(crate) fn new(door: &'d Door) -> Self {
        let counts = door.queue.watch();
        Self { door, counts, heard: Heard::Other, told_of: 0 }
    }

    pub(crate) fn hear(&mut self, facts: &RuntimeFacts) {
        let generation = facts.generation;
        let is_ready = runtime_facts::lifecycle(facts) == Lifecycle::Ready;
        self.heard = match self.heard {
            Heard::Ready { generation: known, .. } if is_ready && known == generation => self.heard,
            _ if is_ready => Heard::Ready { generation, since_ms: self.door.clock.now_ms() },
            _ if facts.asleep => Heard::Asleep { generation },
            _ => Heard::Other,
        };
        if is_ready {
            self.told_of = 0;
        }
    }

    /// Ends when there is something to tell. Cancellation-safe.
    pub(crate) async fn is_clear(&mut self) -> (u64, Demand) {
        match (self.heard, self.door.plan.idle_unload) {
            (Heard::Ready { generation, since_ms }, Some(idle)) => {
                self.rests_for(idle, since_ms).await;
                (generation, Demand::Idle)
            }
            (Heard::Asleep { generation }, _) => {
                let told_of = self.told_of;
                let one_more = self.counts.wait_for(|counts| counts.queued > told_of);
                if one_more.await.is_err() {
                    pending::<()>().await;
                }
                (generation, Demand::Wanted)
            }
            (Heard::Ready { .. } | Heard::Other, _) => pending().await,
        }
    }

    /// Waits until nobody has run or waited for so long. While somebody does, it is enough to look
    /// again after as long.
    async fn rests_for(&self, idle: std::time::Duration, since_ms: u64) {
        loop {
            let now = tokio::time::Instant::now();
            let rest = self.door.queue.at_rest_since_ms();
            let until = rest.map_or(now, |rest| self.door.clock.instant(rest.max(since_ms))) + idle;
            if until <= now {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// Tells it: again for each more that waits, and of an idle runtime that is kept after as long.
    pub(crate) fn tell(&mut self, generation: u64, demand: Demand) {
        self.door.report_demand(generation, demand);
        match demand {
            Demand::Wanted => self.told_of = self.counts.borrow().queued,
            Demand::Idle | Demand::Unspecified => {
                self.heard = Heard::Ready { generation, since_ms: self.door.clock.now_ms() };
            }
        }
    }
}
