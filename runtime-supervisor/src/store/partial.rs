//! An artifact on its way into the store: `<sha256>.partial`, mode 0600.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use runtime_core::{Accumulator, Reason, Spec, VerifiedFile};
use rustix::fs::{AtFlags, Mode, OFlags, fchmod, fsync, openat, renameat, unlinkat};

use super::{DigestLock, Kind, PRIVATE_FILE, Store, check_file, identity_of, unavailable};
use crate::limits::HASH_PIECE;

/// The bytes received so far, each of them hashed. Every method blocks on the disk.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    accumulator: Accumulator,
    lock: DigestLock,
}

impl Partial {
    /// Opens what an earlier download left, or an empty file, and hashes what is there.
    pub(crate) fn resume(store: &Store, spec: Spec, lock: DigestLock) -> Result<Self, Reason> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(PRIVATE_FILE);
        let file =
            openat(&*store.dir, partial_name(spec).as_str(), flags, mode).map_err(unavailable)?;
        let stat = check_file(&file)?;
        let mut partial =
            Self { file: File::from(file), accumulator: Accumulator::new(spec), lock };
        if u64::try_from(stat.st_size).is_ok_and(|size| size <= spec.size()) {
            partial.hash_what_is_there()?;
        } else {
            partial.restart()?;
        }
        Ok(partial)
    }

    /// Bytes in place.
    pub(crate) fn received(&self) -> u64 {
        self.accumulator.received()
    }

    /// Forgets every byte.
    pub(crate) fn restart(&mut self) -> Result<(), Reason> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(|error| write_error(&error))?;
        self.accumulator = Accumulator::new(self.accumulator.spec());
        Ok(())
    }

    /// Takes the next bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        self.accumulator.push(bytes)?;
        self.file.write_all(bytes).map_err(|error| {
            self.accumulator.abort();
            write_error(&error)
        })
    }

    /// Deletes the file: nothing of it may be used.
    pub(crate) fn discard(mut self, store: &Store) {
        self.accumulator.abort();
        let name = partial_name(self.accumulator.spec());
        let _ = unlinkat(&*store.dir, name.as_str(), AtFlags::empty());
    }

    /// Verifies the bytes and moves them into the store. A failed verification deletes them.
    pub(crate) fn finish(mut self, store: &Store, kind: Kind) -> Result<VerifiedFile, Reason> {
        let bytes = match self.accumulator.finalize() {
            Ok(bytes) => bytes,
            Err(reason) => {
                self.discard(store);
                return Err(reason);
            }
        };
        let spec = self.accumulator.spec();
        let name = spec.digest().file_name();
        self.file.sync_all().map_err(|error| write_error(&error))?;
        fchmod(&self.file, kind.mode()).map_err(unavailable)?;
        renameat(&*store.dir, partial_name(spec).as_str(), &*store.dir, name.as_str())
            .map_err(unavailable)?;
        fsync(&*store.dir).map_err(unavailable)?;
        let verified = bytes.at(identity_of(&self.file)?)?;
        store.remember(&verified);
        drop(self.lock);
        Ok(verified)
    }

    fn hash_what_is_there(&mut self) -> Result<(), Reason> {
        let mut piece = vec![0; HASH_PIECE];
        loop {
            match self.file.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => self.accumulator.push(&piece[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Reason::StoreUnavailable),
            }
        }
        let end = SeekFrom::Start(self.accumulator.received());
        self.file.seek(end).map(|_| ()).map_err(|_| Reason::StoreUnavailable)
    }
}

pub(super) fn partial_name(spec: Spec) -> String {
    format!("{}.partial", spec.digest().file_name())
}

fn write_error(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Reason::DiskFull
        }
        _ => Reason::StoreUnavailable,
    }
}
