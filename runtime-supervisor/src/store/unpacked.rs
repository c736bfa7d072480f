//! Runtimes that come as an archive (`tar.gz`): unpacked beside it into `<sha256>.files/`, with
//! `<sha256>.files.json` saying which files those were. What is half unpacked is called
//! `<sha256>.unpacking/` and never used.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime_core::bounds::{MAX_ARCHIVE_DEPTH, MAX_ARCHIVE_ENTRIES};
use runtime_core::{Digest, EntryName, FileIdentity, Layout, Reason, Spec, UnpackedFiles};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, fchmod, fsync, linkat, mkdirat, openat,
    openat2, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::partial::write_error;
use super::{DigestLock, Kind, Opened, Store, identity, read_private, unavailable, write_private};
use crate::limits::{HASH_PIECE, MAX_FILES_RECORD_BYTES};

/// Libraries and the rest are read; nobody writes them.
const READ_ONLY: Mode = Mode::from_raw_mode(0o400);
const PRIVATE_DIRECTORY: Mode = Mode::from_raw_mode(0o700);

/// What a directory holds, by name.
type Files = BTreeMap<String, FileIdentity>;

/// A runtime, opened for the spawn.
#[derive(Debug)]
pub(crate) struct OpenedRuntime {
    /// The program as a path descriptor (`O_PATH`), and the proof.
    pub(crate) program: Opened,
    /// The directory of an unpacked archive, as a path descriptor: its libraries lie beneath it.
    pub(crate) libraries: Option<OwnedFd>,
}

impl Store {
    /// Opens a runtime for the spawn, unpacking an archive that is not. Blocks.
    ///
    /// # Errors
    /// As [`Store::open_verified`] and [`Store::unpack`]; [`Reason::DigestMismatch`] when the
    /// unpacked files are not those that were unpacked.
    pub(crate) fn open_runtime(&self, spec: Spec, kind: Kind) -> Result<OpenedRuntime, Reason> {
        if kind != Kind::Archive {
            let program = self.open_verified(spec, kind)?;
            return Ok(OpenedRuntime { program, libraries: None });
        }
        self.unpack(spec)?;
        let archive = self.open_verified(spec, Kind::Archive)?;
        let (record, libraries) = self.unpacked(spec.digest())?.ok_or(Reason::DigestMismatch)?;
        let confirmed = record.confirm(archive.confirmed, &observe(&libraries)?)?;
        let descriptor = open_beneath(&libraries, record.program(), OFlags::PATH)?;
        let program = Opened { descriptor, confirmed };
        Ok(OpenedRuntime { program, libraries: Some(libraries) })
    }

    /// Unpacks a verified archive, unless that was done. One that may not be unpacked is deleted.
    /// Blocks.
    ///
    /// # Errors
    /// As [`Store::open_verified`]; [`Reason::MalformedArchive`]; [`Reason::DiskFull`].
    pub(crate) fn unpack(&self, spec: Spec) -> Result<(), Reason> {
        if self.unpacked(spec.digest())?.is_some() {
            return Ok(());
        }
        let lock = self.lock_blocking(spec.digest())?;
        if self.unpacked(spec.digest())?.is_some() {
            return Ok(());
        }
        self.unpack_anew(spec, &lock)
    }

    /// Unpacks a verified archive whatever lies there.
    pub(super) fn unpack_anew(&self, spec: Spec, lock: &DigestLock) -> Result<(), Reason> {
        let verified = match self.recall(spec, Kind::Archive)? {
            Some(verified) => verified,
            None => self.verify_anew(spec, Kind::Archive, lock)?.ok_or(Reason::NotProvisioned)?,
        };
        let archive = self.open_as(&verified, Kind::Archive)?;
        let digest = spec.digest();
        self.remove_unpacked(digest)?;
        let partial = unpacking_name(digest);
        let unpacked = mkdirat(&*self.dir, partial.as_str(), PRIVATE_DIRECTORY)
            .map_err(unavailable)
            .and_then(|()| open_directory(self.dir.as_fd(), &partial))
            .and_then(|into| extract(File::from(archive.descriptor), spec.size(), &into));
        match unpacked {
            Ok(layout) => self.keep_unpacked(digest, &layout),
            Err(Reason::MalformedArchive) => {
                self.delete(digest)?;
                Err(Reason::MalformedArchive)
            }
            Err(reason) => {
                self.remove_unpacked(digest)?;
                Err(reason)
            }
        }
    }

    fn keep_unpacked(&self, digest: Digest, layout: &Layout) -> Result<(), Reason> {
        let name = files_name(digest);
        renameat(&*self.dir, unpacking_name(digest).as_str(), &*self.dir, name.as_str())
            .map_err(unavailable)?;
        fsync(&*self.dir).map_err(unavailable)?;
        let files = observe(&open_directory(self.dir.as_fd(), &name)?)?;
        let record = UnpackedFiles::new(&layout.program, files);
        let text = serde_json::to_vec(&record).map_err(|_| Reason::StoreUnavailable)?;
        write_private(&self.dir, &files_record_name(digest), &text)
            .map_err(|_| Reason::StoreUnavailable)
    }

    /// Whether what was unpacked lies there unchanged.
    pub(super) fn check_unpacked(&self, digest: Digest) -> Result<(), Reason> {
        let (record, files) = self.unpacked(digest)?.ok_or(Reason::NotProvisioned)?;
        record.check(&observe(&files)?)
    }

    /// The record and the directory, where there are both.
    fn unpacked(&self, digest: Digest) -> Result<Option<(UnpackedFiles, OwnedFd)>, Reason> {
        let text = read_private(&self.dir, &files_record_name(digest), MAX_FILES_RECORD_BYTES);
        let record = text.and_then(|text| serde_json::from_slice(&text).ok());
        let Some(record) = record else { return Ok(None) };
        match open_directory(self.dir.as_fd(), &files_name(digest)) {
            Ok(directory) => Ok(Some((record, directory))),
            Err(Reason::NotProvisioned) => Ok(None),
            Err(reason) => Err(reason),
        }
    }

    /// Removes whatever an archive was unpacked into; answers the bytes freed.
    pub(super) fn remove_unpacked(&self, digest: Digest) -> Result<u64, Reason> {
        // The record goes first: without it nothing of the rest is used.
        self.unlink(&files_record_name(digest))?;
        let mut freed = 0;
        for name in [files_name(digest), unpacking_name(digest)] {
            freed += remove_tree(self.dir.as_fd(), &name, 0)?;
        }
        Ok(freed)
    }
}

fn files_name(digest: Digest) -> String {
    format!("{}.files", digest.file_name())
}

fn files_record_name(digest: Digest) -> String {
    format!("{}.files.json", digest.file_name())
}

fn unpacking_name(digest: Digest) -> String {
    format!("{}.unpacking", digest.file_name())
}

/// Writes the files of an archive beneath an empty directory, each on disk when it returns. What is
/// refused is never synced: thousands of small files would take minutes for nothing.
fn extract(archive: File, archive_bytes: u64, into: &OwnedFd) -> Result<Layout, Reason> {
    let mut piece = vec![0; HASH_PIECE];
    let layout = runtime_archive::read(archive, archive_bytes, |name, bytes, from| {
        write_file(from, bytes, &mut piece, into, name)
    })?;
    for name in observe(into)?.keys() {
        fsync(open_beneath(into, name, OFlags::RDONLY)?).map_err(unavailable)?;
    }
    let program = open_beneath(into, layout.program.as_str(), OFlags::RDONLY)?;
    fchmod(&program, Kind::Runtime.mode()).map_err(unavailable)?;
    for (name, file) in &layout.aliases {
        let directory = directory_of(into, name)?;
        linkat(into, file.as_str(), &directory, own_name(name), AtFlags::empty())
            .map_err(unavailable)?;
    }
    Ok(layout)
}

fn write_file(
    from: &mut dyn Read,
    bytes: u64,
    piece: &mut [u8],
    into: &OwnedFd,
    name: &EntryName,
) -> Result<(), Reason> {
    let directory = directory_of(into, name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&directory, own_name(name), flags, READ_ONLY).map_err(unavailable)?;
    let mut file = File::from(file);
    let mut written = 0;
    loop {
        let read = from.read(piece).map_err(|_| Reason::MalformedArchive)?;
        if read == 0 {
            break;
        }
        file.write_all(&piece[..read]).map_err(|error| write_error(&error))?;
        written += u64::try_from(read).map_err(|_| Reason::MalformedArchive)?;
    }
    if written != bytes {
        return Err(Reason::MalformedArchive);
    }
    Ok(())
}

fn own_name(name: &EntryName) -> &str {
    name.segments().next_back().unwrap_or_default()
}

/// The directory of a name, made where it is missing.
fn directory_of(root: &OwnedFd, name: &EntryName) -> Result<OwnedFd, Reason> {
    let mut directory = root.try_clone().map_err(|_| Reason::StoreUnavailable)?;
    let mut segments: Vec<&str> = name.segments().collect();
    segments.pop();
    for segment in segments {
        match mkdirat(&directory, segment, PRIVATE_DIRECTORY) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(unavailable(error)),
        }
        directory = open_directory(directory.as_fd(), segment)?;
    }
    Ok(directory)
}

fn open_directory(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Reason> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(parent, name, flags, Mode::empty()) {
        Ok(directory) => Ok(directory),
        Err(Errno::NOENT) => Err(Reason::NotProvisioned),
        Err(error) => Err(unavailable(error)),
    }
}

/// Opens a file of an unpacked archive, no link on the way.
fn open_beneath(root: &OwnedFd, name: &str, access: OFlags) -> Result<OwnedFd, Reason> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(root, name, flags, Mode::empty(), beneath).map_err(unavailable)
}

/// Every file beneath a directory; whatever is neither file nor directory is a mismatch.
fn observe(root: &OwnedFd) -> Result<Files, Reason> {
    let mut files = Files::new();
    observe_into(&mut files, root, "", 0)?;
    Ok(files)
}

fn observe_into(
    files: &mut Files,
    directory: &OwnedFd,
    above: &str,
    depth: usize,
) -> Result<(), Reason> {
    for name in names_in(directory)? {
        let path = format!("{above}{name}");
        let stat =
            statat(directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(unavailable)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if files.len() < MAX_ARCHIVE_ENTRIES => {
                files.insert(path, identity(&stat)?);
            }
            FileType::Directory if depth < MAX_ARCHIVE_DEPTH => {
                let beneath = open_directory(directory.as_fd(), &name)?;
                observe_into(files, &beneath, &format!("{path}/"), depth + 1)?;
            }
            _ => return Err(Reason::DigestMismatch),
        }
    }
    Ok(())
}

/// Removes a file or a directory with all it holds; answers the bytes freed.
fn remove_tree(parent: BorrowedFd<'_>, name: &str, depth: usize) -> Result<u64, Reason> {
    let stat = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(0),
        Err(error) => return Err(unavailable(error)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        unlinkat(parent, name, AtFlags::empty()).map_err(unavailable)?;
        let is_last_name = stat.st_nlink == 1;
        return Ok(if is_last_name { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 });
    }
    if depth > MAX_ARCHIVE_DEPTH {
        return Err(Reason::StoreUnavailable);
    }
    let directory = open_directory(parent, name)?;
    let mut freed = 0;
    for inner in names_in(&directory)? {
        freed += remove_tree(directory.as_fd(), &inner, depth + 1)?;
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(unavailable)?;
    Ok(freed)
}

fn names_in(directory: &OwnedFd) -> Result<Vec<String>, Reason> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(unavailable)? {
        let entry = entry.map_err(unavailable)?;
        let name = entry.file_name().to_str().map_err(|_| Reason::DigestMismatch)?;
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
