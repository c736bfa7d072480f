//! Which model is to run: the one a person started, else the configured one. It is asked for
//! again when another supervisor took over, since only the broker can name it with authority.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::catalog::replace_file;
use crate::limits::FIRST_FILE_BYTES;
use crate::serve::read_bounded;

const FILE: &str = "wanted.json";

/// The wish and who has it; kept over a restart of the broker, not of the companion.
pub(crate) struct Wanted {
    dir: PathBuf,
    record: Mutex<Record>,
    changes: tokio::sync::watch::Sender<()>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    start_id: String,
    wish: Option<Wish>,
}

/// A model that is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// Catalog id.
    pub(crate) model: String,
    /// The supervisor that was last asked for it; `None`: none yet.
    pub(crate) asked_of: Option<u32>,
}

impl Wanted {
    /// The wish of this start as it was left, else the configured model, if there is one.
    pub(crate) fn new(state_dir: &Path, start_id: &str, configured: &str) -> Arc<Self> {
        let left = read_bounded(&state_dir.join(FILE), FIRST_FILE_BYTES)
            .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok())
            .filter(|record| record.start_id == start_id);
        let configured =
            (!configured.is_empty()).then(|| Wish { model: configured.to_owned(), asked_of: None });
        let record =
            left.unwrap_or_else(|| Record { start_id: start_id.to_owned(), wish: configured });
        Arc::new(Self {
            dir: state_dir.to_owned(),
            record: Mutex::new(record),
            changes: tokio::sync::watch::Sender::new(()),
        })
    }

    /// The present wish.
    pub(crate) fn wish(&self) -> Option<Wish> {
        self.record().wish.clone()
    }

    /// This model was asked of this supervisor.
    pub(crate) fn asked(&self, model: &str, supervisor_pid: u32) {
        self.change(Some(Wish { model: model.to_owned(), asked_of: Some(supervisor_pid) }));
    }

    /// Nothing is to run, until a person says otherwise.
    pub(crate) fn nothing(&self) {
        self.change(None);
    }

    /// `model` is not to run any more; another one may.
    pub(crate) fn not(&self, model: &str) {
        if self.wish().is_some_and(|wish| wish.model == model) {
            self.nothing();
        }
    }

    /// Wakes whoever waits for a change of the store or of the wish.
    pub(crate) fn nudge(&self) {
        self.changes.send_replace(());
    }

    /// Signals of [`Self::nudge`].
    pub(crate) fn nudges(&self) -> tokio::sync::watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn change(&self, wish: Option<Wish>) {
        let mut record = self.record();
        if record.wish == wish {
            return;
        }
        record.wish = wish;
        let written = serde_json::to_vec(&*record)
            .map_err(std::io::Error::from)
            .and_then(|bytes| replace_file(&self.dir, FILE, &bytes));
        if let Err(error) = written {
            tracing::warn!(io.kind = %error.kind(), "the wanted model cannot be written down");
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, Wish};

    #[test]
    fn the_wish_outlives_the_broker_and_not_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = Wanted::new(dir.path(), "start1", "configured");
        assert_eq!(wanted.wish(), Some(Wish { model: "configured".into(), asked_of: None }));
        wanted.asked("mine", 7);
        let mine = Some(Wish { model: "mine".into(), asked_of: Some(7) });
        assert_eq!(Wanted::new(dir.path(), "start1", "configured").wish(), mine);
        let next = Wanted::new(dir.path(), "start2", "").wish();
        assert_eq!(next, None, "an earlier start's wish came back");
    }

    #[test]
    fn what_a_person_stopped_stays_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = Wanted::new(dir.path(), "start1", "configured");
        wanted.not("another");
        assert!(wanted.wish().is_some());
        wanted.nothing();
        assert_eq!(Wanted::new(dir.path(), "start1", "configured").wish(), None);
    }

    #[test]
    fn a_damaged_record_is_no_wish() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(super::FILE), b"{\"start_id\":").unwrap();
        assert_eq!(Wanted::new(dir.path(), "start1", "").wish(), None);
    }
}
