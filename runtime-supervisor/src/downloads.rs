//! The downloads under way: one for each artifact, whoever asks for it. It lives as long as
//! somebody watches, and everybody who watches sees the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use runtime_core::{Reason, Spec};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::fetch::Fetcher;
use crate::limits::STANDSTILL_PAUSE;
use crate::progress::{Progress, Shown};
use crate::provision::{Wanted, provision};
use crate::store::{Kind, Store};

/// The downloads of this process.
pub(crate) struct Downloads {
    store: Arc<Store>,
    fetcher: Fetcher,
    under_way: Mutex<HashMap<(Spec, Kind), Weak<Download>>>,
}

/// One of them.
#[derive(Debug)]
struct Download {
    seen: watch::Receiver<Seen>,
    _task: AbortOnDropHandle<()>,
}

/// What there is to see of a download.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// How far it is, once that is known.
    shown: Option<Shown>,
    /// How it ended.
    outcome: Option<Result<(), Reason>>,
}

/// Somebody who watches a download, which is cancelled when the last of them goes.
#[derive(Debug)]
pub(crate) struct Watcher {
    _download: Arc<Download>,
    seen: watch::Receiver<Seen>,
    last: Option<Shown>,
}

/// What a watcher is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// How far it is; a watcher that does not keep up misses some of these.
    Progress(Shown),
    /// How it ended.
    Ended(Result<(), Reason>),
}

impl Downloads {
    pub(crate) fn new(store: Arc<Store>, fetcher: Fetcher) -> Self {
        Self { store, fetcher, under_way: Mutex::default() }
    }

    /// Watches the download of this artifact: the one under way, else a new one.
    pub(crate) fn join(&self, wanted: Wanted) -> Watcher {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|_, download| download.strong_count() > 0);
        let which = (wanted.spec, wanted.kind);
        let joined = under_way.get(&which).and_then(Weak::upgrade).filter(|it| !it.has_ended());
        let download = joined.unwrap_or_else(|| {
            let begun = Arc::new(self.begin(wanted));
            under_way.insert(which, Arc::downgrade(&begun));
            begun
        });
        Watcher { seen: download.seen.clone(), _download: download, last: None }
    }

    fn begin(&self, wanted: Wanted) -> Download {
        tracing::info!(artifact.id = wanted.id, "provision begins");
        let (store, fetcher) = (Arc::clone(&self.store), self.fetcher.clone());
        let (seen, watching) = watch::channel(Seen::default());
        let shown = seen.clone();
        let progress = Progress::new(wanted.spec.size(), move |now| {
            shown.send_modify(|seen| seen.shown = Some(now));
        });
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let outcome = tokio::select! {
                outcome = provision(&store, &fetcher, &wanted, &progress) => outcome,
                () = tell_a_standstill(&progress) => return,
            };
            seen.send_modify(|seen| seen.outcome = Some(outcome));
        }));
        Download { seen: watching, _task: task }
    }
}

impl Download {
    fn has_ended(&self) -> bool {
        self.seen.borrow().outcome.is_some() || self.seen.has_changed().is_err()
    }
}

impl Watcher {
    /// What there is to see, then each change of it; after the end the end again.
    pub(crate) async fn next(&mut self) -> Told {
        loop {
            let seen = *self.seen.borrow_and_update();
            if let Some(shown) = seen.shown.filter(|shown| Some(*shown) != self.last) {
                self.last = Some(shown);
                return Told::Progress(shown);
            }
            if let Some(outcome) = seen.outcome {
                return Told::Ended(outcome);
            }
            if self.seen.changed().await.is_err() {
                return Told::Ended(Err(Reason::StoreUnavailable));
            }
        }
    }
}

/// While no byte comes, nobody else says that the rate falls.
async fn tell_a_standstill(progress: &Progress) {
    let mut ticks = interval(STANDSTILL_PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        progress.shows_again();
    }
}
