//! The content-addressed store (contract 8): one private directory, each verified file under
//! its digest, beside it `<sha256>.verified` (which file it was), `.partial`, `.origin` (where that came
//! from) and `.lock`.
//!
//! Everything happens relative to one descriptor of the directory and follows no link.

mod garbage;
mod lock;
mod partial;
#[cfg(test)]
mod tests;
mod unpacked;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime_core::{
    Accumulator, ConfirmedFile, Digest, FileIdentity, IdentityRecord, Reason, Spec, VerifiedFile,
};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, chmodat, fchmod, fstat, fstatvfs, openat, statat,
};
use rustix::io::Errno;

pub(crate) use garbage::keep_collecting;
pub(crate) use lock::{DigestLock, InUse};
pub(crate) use partial::{Origin, Partial};
pub(crate) use unpacked::OpenedRuntime;

use crate::limits::{HASH_PIECE, MAX_RECORD_BYTES};

/// Mode of everything in the store but verified runtimes.
const PRIVATE_FILE: u32 = 0o600;

/// What a file in the store is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Read by the runtime.
    Model,
    /// Executed.
    Runtime,
    /// Unpacked, a program to be executed among its files.
    Archive,
}

impl Kind {
    /// A verified runtime is execute-only: the kernel then keeps the process that runs it
    /// undumpable.
    fn mode(self) -> Mode {
        Mode::from_raw_mode(match self {
            Self::Model | Self::Archive => PRIVATE_FILE,
            Self::Runtime => 0o111,
        })
    }

    fn open_flags(self) -> OFlags {
        let access = match self {
            Self::Model | Self::Archive => OFlags::RDONLY | OFlags::NONBLOCK,
            Self::Runtime => OFlags::PATH,
        };
        access | OFlags::NOFOLLOW | OFlags::CLOEXEC
    }
}

/// An opened file of the store, confirmed to be the verified one.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The model for reading, or the runtime as a path descriptor (`O_PATH`).
    pub(crate) descriptor: OwnedFd,
    /// The proof.
    pub(crate) confirmed: ConfirmedFile,
}

/// The store of this user.
#[derive(Debug)]
pub(crate) struct Store {
    dir: Arc<OwnedFd>,
    /// Verified by this process, or recalled by it from a record: for these the identity is
    /// binding until they are verified anew.
    known: Mutex<HashMap<Digest, VerifiedFile>>,
}

impl Store {
    /// Opens the store.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`] unless it is a directory of this user that nobody else can
    /// enter.
    pub(crate) fn open(path: &Path) -> Result<Self, Reason> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(unavailable)?;
        let stat = fstat(&dir).map_err(unavailable)?;
        let is_ours = stat.st_uid == rustix::process::geteuid().as_raw();
        if !is_ours || stat.st_mode & 0o077 != 0 {
            return Err(Reason::StoreUnavailable);
        }
        Ok(Self { dir: Arc::new(dir), known: Mutex::default() })
    }

    /// The digests of the files in the store. Each got its name by verification; whether it
    /// still is that file is looked at when it is used.
    pub(crate) fn list(&self) -> Result<Vec<Digest>, Reason> {
        self.still_there()?;
        let entries = Dir::read_from(&*self.dir).map_err(unavailable)?;
        let mut digests = Vec::new();
        for entry in entries {
            let entry = entry.map_err(unavailable)?;
            digests
                .extend(entry.file_name().to_str().ok().and_then(|name| Digest::parse(name).ok()));
        }
        digests.sort_by_key(Digest::file_name);
        Ok(digests)
    }

    /// A directory that was removed while it is open looks empty; whatever is made in its place is
    /// another one.
    fn still_there(&self) -> Result<(), Reason> {
        let is_removed = fstat(&*self.dir).map_err(unavailable)?.st_nlink == 0;
        if is_removed { Err(Reason::StoreUnavailable) } else { Ok(()) }
    }

    /// Bytes that this user may still write.
    pub(crate) fn free_bytes(&self) -> Result<u64, Reason> {
        let space = fstatvfs(&*self.dir).map_err(unavailable)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// Bytes that a download of this digest has in place, whoever runs it.
    pub(crate) fn partial_bytes(&self, spec: Spec) -> u64 {
        let name = partial::partial_name(spec);
        statat(&*self.dir, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
            .ok()
            .and_then(|stat| u64::try_from(stat.st_size).ok())
            .unwrap_or(0)
    }

    /// Opens an artifact for the spawn. Blocks while bytes are hashed that no record vouches for.
    ///
    /// # Errors
    /// [`Reason::NotProvisioned`] when it is not in the store; [`Reason::DigestMismatch`] or
    /// [`Reason::SizeMismatch`] when it is not the verified file; [`Reason::StoreUnavailable`].
    pub(crate) fn open_verified(&self, spec: Spec, kind: Kind) -> Result<Opened, Reason> {
        let verified = match self.recall(spec, kind)? {
            Some(verified) => verified,
            None => {
                let lock = self.lock_blocking(spec.digest())?;
                self.verify_anew(spec, kind, &lock)?.ok_or(Reason::NotProvisioned)?
            }
        };
        self.open_as(&verified, kind)
    }

    fn open_as(&self, verified: &VerifiedFile, kind: Kind) -> Result<Opened, Reason> {
        let descriptor = self.open_artifact(verified.spec(), kind)?;
        let confirmed = verified.confirm(&identity_of(&descriptor)?)?;
        Ok(Opened { descriptor, confirmed })
    }

    /// Verifies a present file by its bytes, whatever is known of it; a failed one is deleted,
    /// unless it runs. Blocks. `None`: there is no such file.
    pub(crate) fn verify_anew(
        &self,
        spec: Spec,
        kind: Kind,
        lock: &DigestLock,
    ) -> Result<Option<VerifiedFile>, Reason> {
        let checked = self.check_bytes(spec, kind, lock);
        if let Err(Reason::DigestMismatch | Reason::SizeMismatch) = checked {
            match self.delete(spec.digest()) {
                Ok(_) | Err(Reason::InUse) => {}
                Err(reason) => return Err(reason),
            }
        }
        checked
    }

    /// Verifies a file of the store anew because a person asked. Blocks. A failed one is deleted,
    /// unless this companion or another one runs it: then it is kept, but never started from again.
    ///
    /// # Errors
    /// [`Reason::NotProvisioned`]; [`Reason::InUse`] while a download of it runs;
    /// [`Reason::DigestMismatch`] or [`Reason::SizeMismatch`]; [`Reason::StoreUnavailable`].
    pub(crate) fn verify_stored(&self, spec: Spec, kind: Kind) -> Result<(), Reason> {
        let lock = self.try_lock(spec.digest())?.ok_or(Reason::InUse)?;
        self.verify_anew(spec, kind, &lock)?.ok_or(Reason::NotProvisioned)?;
        match kind {
            Kind::Archive if self.out_of_use(spec.digest())?.is_none() => {
                self.check_unpacked(spec.digest())
            }
            Kind::Archive => self.unpack_anew(spec, &lock),
            Kind::Model | Kind::Runtime => Ok(()),
        }
    }

    fn check_bytes(
        &self,
        spec: Spec,
        kind: Kind,
        _lock: &DigestLock,
    ) -> Result<Option<VerifiedFile>, Reason> {
        let name = spec.digest().file_name();
        match statat(&*self.dir, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {}
            Ok(_) => return Err(Reason::StoreUnavailable),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(unavailable(error)),
        }
        let checked = self.hash_artifact(spec, kind);
        match &checked {
            Ok(verified) => self.remember(verified),
            Err(_) => self.forget(spec.digest())?,
        }
        checked.map(Some)
    }

    /// Whether the file is in the store and still is the one this process verified.
    pub(crate) fn is_known_and_unchanged(&self, spec: Spec, kind: Kind) -> bool {
        let Some(verified) = self.known(spec) else { return false };
        let observed = self.open_artifact(spec, kind).and_then(|file| identity_of(&file));
        observed.is_ok_and(|observed| verified.confirm(&observed).is_ok())
    }

    /// Deletes an artifact and what is left of a download of it; answers the bytes freed.
    ///
    /// # Errors
    /// [`Reason::InUse`] while it, or a download of it, runs in this companion or another one;
    /// [`Reason::NotProvisioned`] when there is nothing of it.
    pub(crate) fn remove(&self, digest: Digest) -> Result<u64, Reason> {
        let _lock = self.try_lock(digest)?.ok_or(Reason::InUse)?;
        match self.delete(digest)? {
            0 => Err(Reason::NotProvisioned),
            freed => Ok(freed),
        }
    }

    /// What this process verified, or remembers from a record that still fits the file.
    fn recall(&self, spec: Spec, kind: Kind) -> Result<Option<VerifiedFile>, Reason> {
        if let Some(verified) = self.known(spec) {
            return Ok(Some(verified));
        }
        let observed = identity_of(&self.open_artifact(spec, kind)?)?;
        let recalled = self
            .read_record(spec.digest())
            .and_then(|record| VerifiedFile::recall(&record, spec, &observed));
        if let Some(verified) = &recalled {
            self.known_files().insert(spec.digest(), verified.clone());
        }
        Ok(recalled)
    }

    fn hash_artifact(&self, spec: Spec, kind: Kind) -> Result<VerifiedFile, Reason> {
        let name = spec.digest().file_name();
        if kind == Kind::Runtime {
            // Execute-only forbids its owner to read it too.
            let readable = Mode::from_raw_mode(0o500);
            chmodat(&*self.dir, name.as_str(), readable, AtFlags::empty()).map_err(unavailable)?;
        }
        let mut file = File::from(self.open_artifact(spec, Kind::Model)?);
        let before = identity_of(&file)?;
        let mut accumulator = Accumulator::new(spec);
        let mut piece = vec![0; HASH_PIECE];
        loop {
            match file.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => accumulator.push(&piece[..read])?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Reason::StoreUnavailable),
            }
        }
        let bytes = accumulator.finalize()?;
        if identity_of(&file)? != before {
            // What was read before the change was not looked at again.
            return Err(Reason::DigestMismatch);
        }
        fchmod(&file, kind.mode()).map_err(unavailable)?;
        bytes.at(identity_of(&file)?)
    }

    fn open_artifact(&self, spec: Spec, kind: Kind) -> Result<OwnedFd, Reason> {
        let name = spec.digest().file_name();
        match openat(&*self.dir, name.as_str(), kind.open_flags(), Mode::empty()) {
            Ok(file) => check_file(&file).map(|_| file),
            Err(Errno::NOENT) => self.still_there().and(Err(Reason::NotProvisioned)),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn delete(&self, digest: Digest) -> Result<u64, Reason> {
        let _unused = self.out_of_use(digest)?.ok_or(Reason::InUse)?;
        self.known_files().remove(&digest);
        let name = digest.file_name();
        let mut freed = 0;
        for ending in ["", ".partial", ".origin", ".verified"] {
            freed += self.unlink(&format!("{name}{ending}"))?;
        }
        Ok(freed + self.remove_unpacked(digest)?)
    }

    fn forget(&self, digest: Digest) -> Result<(), Reason> {
        self.known_files().remove(&digest);
        self.unlink(&record_name(digest)).map(|_| ())
    }

    fn remember(&self, verified: &VerifiedFile) {
        self.known_files().insert(verified.spec().digest(), verified.clone());
        // Without its record the bytes are hashed at the next start of this process: slower,
        // not wrong.
        if self.write_record(verified).is_err() {
            tracing::warn!("identity record not written");
        }
    }

    fn write_record(&self, verified: &VerifiedFile) -> std::io::Result<()> {
        let name = record_name(verified.spec().digest());
        write_private(&self.dir, &name, &serde_json::to_vec(&verified.record())?)
    }

    fn read_record(&self, digest: Digest) -> Option<IdentityRecord> {
        let text = read_private(&self.dir, &record_name(digest), MAX_RECORD_BYTES)?;
        serde_json::from_slice(&text).ok()
    }

    fn known(&self, spec: Spec) -> Option<VerifiedFile> {
        self.known_files().get(&spec.digest()).filter(|known| known.spec() == spec).cloned()
    }

    fn known_files(&self) -> MutexGuard<'_, HashMap<Digest, VerifiedFile>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a small file beside an artifact.
fn write_private(dir: &OwnedFd, name: &str, text: &[u8]) -> std::io::Result<()> {
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(dir, name, flags, Mode::from_raw_mode(PRIVATE_FILE))?;
    File::from(file).write_all(text)
}

/// What [`write_private`] wrote, at most `limit` bytes of it; nothing of a foreign file.
fn read_private(dir: &OwnedFd, name: &str, limit: u64) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty()).ok()?;
    check_file(&file).ok()?;
    let mut text = Vec::new();
    File::from(file).take(limit).read_to_end(&mut text).ok()?;
    Some(text)
}

fn record_name(digest: Digest) -> String {
    format!("{}.verified", digest.file_name())
}

/// Refuses what is no regular file of this user.
fn check_file(file: impl AsFd) -> Result<Stat, Reason> {
    let stat = fstat(file).map_err(unavailable)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let is_ours = stat.st_uid == rustix::process::geteuid().as_raw();
    if is_file && is_ours { Ok(stat) } else { Err(Reason::StoreUnavailable) }
}

fn identity_of(file: impl AsFd) -> Result<FileIdentity, Reason> {
    identity(&fstat(file).map_err(unavailable)?)
}

fn identity(stat: &Stat) -> Result<FileIdentity, Reason> {
    Ok(FileIdentity {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).map_err(|_| Reason::StoreUnavailable)?,
        changed_s: stat.st_ctime,
        changed_ns: i64::try_from(stat.st_ctime_nsec).map_err(|_| Reason::StoreUnavailable)?,
    })
}

fn unavailable(error: Errno) -> Reason {
    match error {
        Errno::NOSPC | Errno::DQUOT => Reason::DiskFull,
        _ => Reason::StoreUnavailable,
    }
}
