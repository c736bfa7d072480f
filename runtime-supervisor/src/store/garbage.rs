//! What nobody comes back for: partial files older than a week, and what a kill left beside them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use runtime_core::{Digest, Reason};
use rustix::fs::{AtFlags, Dir, statat, unlinkat};
use rustix::io::Errno;

use super::{Store, unavailable};
use crate::limits::{GARBAGE_AGE, GARBAGE_PAUSE};

/// How the names of what lies beside an artifact end.
const SIDE_FILES: [&str; 8] =
    ["partial", "origin", "verified", "lock", "used", "files", "files.json", "unpacking"];

/// Collects at once and once a day, without end.
pub(crate) async fn keep_collecting(store: Arc<Store>) {
    loop {
        let store = Arc::clone(&store);
        let collected =
            tokio::task::spawn_blocking(move || store.collect_garbage(SystemTime::now())).await;
        match collected {
            Ok(Ok(0)) => {}
            Ok(Ok(freed)) => tracing::info!(store.freed_bytes = freed, "old partial files removed"),
            Ok(Err(reason)) => {
                tracing::warn!(store.reason = reason.as_str(), "store not tidied");
            }
            Err(_) => return,
        }
        tokio::time::sleep(GARBAGE_PAUSE).await;
    }
}

impl Store {
    /// Removes partial files that were last written a week before `now` or earlier, and side
    /// files of nothing; answers the bytes freed. What another companion works on is left alone,
    /// as is every name that is not the store's.
    pub(crate) fn collect_garbage(&self, now: SystemTime) -> Result<u64, Reason> {
        let mut freed = 0;
        for digest in self.digests_with_side_files()? {
            let Some(_lock) = self.try_lock(digest)? else { continue };
            let Some(_unused) = self.out_of_use(digest)? else { continue };
            let name = digest.file_name();
            if !self.is_recent(&format!("{name}.partial"), now)? {
                freed += self.unlink(&format!("{name}.partial"))?;
                self.unlink(&format!("{name}.origin"))?;
            }
            if self.modified(&name)?.is_none() {
                self.unlink(&format!("{name}.verified"))?;
                freed += self.remove_unpacked(digest)?;
            }
        }
        Ok(freed)
    }

    fn digests_with_side_files(&self) -> Result<HashSet<Digest>, Reason> {
        let mut digests = HashSet::new();
        for entry in Dir::read_from(&*self.dir).map_err(unavailable)? {
            let entry = entry.map_err(unavailable)?;
            let side_file = entry.file_name().to_str().ok().and_then(|name| name.split_once('.'));
            if let Some((name, ending)) = side_file
                && SIDE_FILES.contains(&ending)
            {
                digests.extend(Digest::parse(name));
            }
        }
        Ok(digests)
    }

    fn is_recent(&self, name: &str, now: SystemTime) -> Result<bool, Reason> {
        // A time to come, from before the clock was set back, is recent.
        Ok(self.modified(name)?.is_some_and(|modified| {
            now.duration_since(modified).is_ok_and(|age| age < GARBAGE_AGE) || modified > now
        }))
    }

    fn modified(&self, name: &str) -> Result<Option<SystemTime>, Reason> {
        match statat(&*self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
                Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Removes a name, if it is there; answers the bytes freed.
    pub(super) fn unlink(&self, name: &str) -> Result<u64, Reason> {
        let size = statat(&*self.dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
        match unlinkat(&*self.dir, name, AtFlags::empty()) {
            Ok(()) => Ok(size),
            Err(Errno::NOENT) => Ok(0),
            Err(error) => Err(unavailable(error)),
        }
    }
}
