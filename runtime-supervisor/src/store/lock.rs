//! One writer per digest, over every companion that shares the store: flock(2) on
//! `<sha256>.lock`, which is removed again by whoever held it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use runtime_core::{Digest, Reason};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::{PRIVATE_FILE, Store, unavailable};
use crate::limits::LOCK_PAUSE;

/// Held while the files of one digest change; released when dropped.
#[derive(Debug)]
pub(crate) struct DigestLock {
    dir: Arc<OwnedFd>,
    name: String,
    /// The lock lives as long as this descriptor.
    _file: OwnedFd,
}

impl Drop for DigestLock {
    fn drop(&mut self) {
        // Removed while still held: whoever opened it before then finds another file, or none,
        // under the name, and tries again.
        let _ = unlinkat(&*self.dir, self.name.as_str(), AtFlags::empty());
    }
}

impl Store {
    /// Waits until nobody else works on this digest.
    pub(crate) async fn lock(&self, digest: Digest) -> Result<DigestLock, Reason> {
        loop {
            if let Some(lock) = self.try_lock(digest)? {
                return Ok(lock);
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
    }

    /// As [`Store::lock`], on a thread that may block.
    pub(super) fn lock_blocking(&self, digest: Digest) -> Result<DigestLock, Reason> {
        loop {
            if let Some(lock) = self.try_lock(digest)? {
                return Ok(lock);
            }
            std::thread::sleep(LOCK_PAUSE);
        }
    }

    pub(crate) fn try_lock(&self, digest: Digest) -> Result<Option<DigestLock>, Reason> {
        let name = format!("{}.lock", digest.file_name());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(&*self.dir, name.as_str(), flags, Mode::from_raw_mode(PRIVATE_FILE))
            .map_err(unavailable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(None),
            Err(error) => return Err(unavailable(error)),
        }
        let named = statat(&*self.dir, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        let held = fstat(file.as_fd()).map_err(unavailable)?;
        let is_current =
            named.is_ok_and(|named| (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino));
        Ok(is_current.then(|| DigestLock { dir: Arc::clone(&self.dir), name, _file: file }))
    }
}
