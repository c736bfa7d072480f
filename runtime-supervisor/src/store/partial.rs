//! An artifact on its way into the store: `<sha256>.partial`, mode 0600.

use std::fs::File;
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use runtime_core::{Accumulator, Reason, Spec, VerifiedBytes};
#[cfg(target_os = "linux")]
use rustix::fs::{Advice, fadvise};
use rustix::fs::{AtFlags, Mode, OFlags, fchmod, fsync, openat, renameat, unlinkat};
use serde::{Deserialize, Serialize};

use super::{
    DigestLock, Kind, PRIVATE_FILE, Store, check_file, identity_of, read_private, unavailable,
    write_private,
};
use crate::limits::{HASH_PIECE, MAX_ORIGIN_BYTES, WRITE_BEHIND};

/// The bytes received so far, each of them hashed. Every method blocks on the disk.
#[derive(Debug)]
pub(crate) struct Partial {
    dir: Arc<OwnedFd>,
    file: File,
    accumulator: Accumulator,
    origin: Option<Origin>,
    /// Bytes that the kernel was told to begin to write.
    begun: u64,
    lock: DigestLock,
}

/// Which server file the bytes are a part of; kept beside them as `<sha256>.origin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    /// The catalog's URL.
    pub(crate) source: String,
    /// A strong entity tag (RFC 9110 section 8.8.3).
    pub(crate) etag: String,
}

impl Origin {
    fn write(&self, dir: &OwnedFd, spec: Spec) -> io::Result<()> {
        write_private(dir, &origin_name(spec), &serde_json::to_vec(self)?)
    }

    fn read(dir: &OwnedFd, spec: Spec) -> Option<Self> {
        serde_json::from_slice(&read_private(dir, &origin_name(spec), MAX_ORIGIN_BYTES)?).ok()
    }
}

impl Partial {
    /// Opens what an earlier download left, or an empty file, and hashes what is there.
    pub(crate) fn resume(store: &Store, spec: Spec, lock: DigestLock) -> Result<Self, Reason> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(PRIVATE_FILE);
        let file =
            openat(&*store.dir, partial_name(spec).as_str(), flags, mode).map_err(unavailable)?;
        let stat = check_file(&file)?;
        let mut partial = Self {
            dir: Arc::clone(&store.dir),
            file: File::from(file),
            accumulator: Accumulator::new(spec),
            origin: Origin::read(&store.dir, spec),
            begun: 0,
            lock,
        };
        if u64::try_from(stat.st_size).is_ok_and(|size| size <= spec.size()) {
            partial.hash_what_is_there()?;
        } else {
            partial.restart()?;
        }
        Ok(partial)
    }

    /// What the bytes must turn out to be.
    pub(crate) fn spec(&self) -> Spec {
        self.accumulator.spec()
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
        self.accumulator = Accumulator::new(self.spec());
        self.begun = 0;
        self.forget_origin();
        Ok(())
    }

    /// Takes the next bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        self.append_all(&[bytes])
    }

    /// Takes the next bytes, in pieces.
    pub(crate) fn append_all(&mut self, pieces: &[impl AsRef<[u8]>]) -> Result<(), Reason> {
        for piece in pieces {
            self.accumulator.push(piece.as_ref())?;
        }
        write_all(&mut self.file, pieces).map_err(|error| {
            self.accumulator.abort();
            write_error(&error)
        })?;
        self.begin_writing();
        Ok(())
    }

    /// Has the kernel begin to write what came, which it would otherwise keep for the end. Advice,
    /// whose failure costs time alone; pages on their way to the disk stay in memory.
    fn begin_writing(&mut self) {
        let fresh = self.received() - self.begun;
        if let Some(length) = NonZeroU64::new(fresh).filter(|_| fresh >= WRITE_BEHIND) {
            #[cfg(target_os = "linux")]
            let _ = fadvise(&self.file, self.begun, Some(length), Advice::DontNeed);
            self.begun += length.get();
        }
    }

    /// The tag under which this source served the bytes in place, if all of them came from it.
    pub(crate) fn tag_of(&self, source: &str) -> Option<&str> {
        self.origin.as_ref().filter(|origin| origin.source == source).map(|o| o.etag.as_str())
    }

    /// Says where the next bytes come from: from the first one on, or after those in place.
    pub(crate) fn continues(&mut self, offset: u64, origin: Option<Origin>) -> Result<(), Reason> {
        if offset < self.received() {
            self.restart()?;
        }
        if self.received() == 0 {
            self.origin = origin.filter(|origin| origin.write(&self.dir, self.spec()).is_ok());
        } else if self.origin != origin {
            self.forget_origin();
        }
        Ok(())
    }

    /// Deletes the file: nothing of it may be used.
    pub(crate) fn discard(mut self) {
        self.accumulator.abort();
        self.forget_origin();
        let _ = unlinkat(&*self.dir, partial_name(self.spec()).as_str(), AtFlags::empty());
    }

    /// Compares the bytes with what the catalog says. Bytes that are not those are forgotten.
    pub(crate) fn verify(&mut self) -> Result<VerifiedBytes, Reason> {
        let verified = self.accumulator.finalize();
        if verified.is_err() {
            self.restart()?;
        }
        verified
    }

    /// Moves the verified bytes into the store. The name comes before the mode: a file that only
    /// root could write must never be left behind under the name of a download.
    pub(crate) fn admit(
        mut self,
        bytes: VerifiedBytes,
        store: &Store,
        kind: Kind,
    ) -> Result<(), Reason> {
        let spec = self.spec();
        let name = spec.digest().file_name();
        self.file.sync_all().map_err(|error| write_error(&error))?;
        self.forget_origin();
        renameat(&*self.dir, partial_name(spec).as_str(), &*self.dir, name.as_str())
            .map_err(unavailable)?;
        fchmod(&self.file, kind.mode()).map_err(unavailable)?;
        fsync(&*self.dir).map_err(unavailable)?;
        store.remember(&bytes.at(identity_of(&self.file)?)?);
        drop(self.lock);
        Ok(())
    }

    fn forget_origin(&mut self) {
        self.origin = None;
        let _ = unlinkat(&*self.dir, origin_name(self.spec()).as_str(), AtFlags::empty());
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

/// As few system calls as there can be.
fn write_all(file: &mut File, pieces: &[impl AsRef<[u8]>]) -> io::Result<()> {
    let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece.as_ref())).collect();
    let mut slices = slices.as_mut_slice();
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn partial_name(spec: Spec) -> String {
    format!("{}.partial", spec.digest().file_name())
}

fn origin_name(spec: Spec) -> String {
    format!("{}.origin", spec.digest().file_name())
}

pub(super) fn write_error(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Reason::DiskFull
        }
        _ => Reason::StoreUnavailable,
    }
}
