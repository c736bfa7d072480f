//! Locks over every companion that shares the store: flock(2) on a file beside an artifact. They
//! die with their holder; the file is removed again by whoever held it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use runtime_core::{Digest, Reason};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::{PRIVATE_FILE, Store, unavailable};
use crate::limits::LOCK_PAUSE;

/// One writer per digest: `<sha256>.lock`, held while its files change; released when dropped.
#[derive(Debug)]
pub(crate) struct DigestLock(Held);

/// What runs is not removed: `<sha256>.used`, held by everybody who has a job that needs the
/// files of a digest, or by the one who deletes them; released when dropped.
#[derive(Debug)]
pub(crate) struct InUse(Held);

#[derive(Debug)]
struct Held {
    dir: Arc<OwnedFd>,
    name: String,
    /// The lock lives as long as this descriptor.
    file: OwnedFd,
}

impl Held {
    /// Only while nobody else can hold it: whoever opened it before then finds another file, or
    /// none, under the name, and tries again.
    fn remove(&self) {
        let _ = unlinkat(&*self.dir, self.name.as_str(), AtFlags::empty());
    }
}

impl Drop for DigestLock {
    fn drop(&mut self) {
        self.0.remove();
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let is_last = flock(&self.0.file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if is_last {
            self.0.remove();
        }
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
        Ok(self.hold(name, FlockOperation::NonBlockingLockExclusive)?.map(DigestLock))
    }

    /// Keeps every companion from removing what has this digest. Blocks while one removes it.
    ///
    /// # Errors
    /// [`Reason::DiskFull`], [`Reason::StoreUnavailable`].
    pub(crate) fn use_of(&self, digest: Digest) -> Result<InUse, Reason> {
        loop {
            let held = self.hold(used_name(digest), FlockOperation::NonBlockingLockShared)?;
            if let Some(held) = held {
                return Ok(InUse(held));
            }
            std::thread::sleep(LOCK_PAUSE);
        }
    }

    /// Keeps every companion from starting what has this digest; `None` while one runs it.
    pub(super) fn out_of_use(&self, digest: Digest) -> Result<Option<InUse>, Reason> {
        Ok(self.hold(used_name(digest), FlockOperation::NonBlockingLockExclusive)?.map(InUse))
    }

    fn hold(&self, name: String, how: FlockOperation) -> Result<Option<Held>, Reason> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        loop {
            let file = openat(&*self.dir, name.as_str(), flags, Mode::from_raw_mode(PRIVATE_FILE))
                .map_err(unavailable)?;
            match flock(&file, how) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(None),
                Err(error) => return Err(unavailable(error)),
            }
            let named = statat(&*self.dir, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
            let held = fstat(file.as_fd()).map_err(unavailable)?;
            if named.is_ok_and(|named| (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)) {
                return Ok(Some(Held { dir: Arc::clone(&self.dir), name, file }));
            }
        }
    }
}

fn used_name(digest: Digest) -> String {
    format!("{}.used", digest.file_name())
}
