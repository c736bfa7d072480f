//! The files of a `file://` catalog: opened beneath its directory and nowhere else.
//!
//! Who asks could name anything; what is handed out is a regular file, open for reading, that
//! lies where the configuration says. Whether its bytes are the signed ones is judged by others.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use monitor_api::MonitorRefusal;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

/// Longest name of a file (NAME_MAX of limits.h).
const MAX_NAME_BYTES: usize = 255;

/// Where the catalog lies. It is looked up anew at each request: its owner may replace it.
pub(crate) struct CatalogDirectory(PathBuf);

impl CatalogDirectory {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Opens `NAME` in the directory `part` of the catalog, following no link.
    pub(crate) fn open(&self, part: &str, name: &str) -> Result<OwnedFd, MonitorRefusal> {
        if !is_plain(name) {
            return Err(MonitorRefusal::NotAllowed);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(&self.0, flags, Mode::empty()).map_err(refusal)?;
        // Looked at before it is opened: opening a FIFO waits, and opening a device acts.
        let found = openat2(
            &directory,
            format!("{part}/{name}"),
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        )
        .map_err(refusal)?;
        let facts = fstat(&found).map_err(|_| MonitorRefusal::NotThere)?;
        if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
            return Err(MonitorRefusal::WrongPeer);
        }
        let itself = format!("/proc/self/fd/{}", found.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, itself, flags, Mode::empty()).map_err(refusal)
    }
}

/// One path segment of printable ASCII.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

fn refusal(errno: Errno) -> MonitorRefusal {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::ACCESS => MonitorRefusal::NotThere,
        _ => MonitorRefusal::WrongPeer,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{Read, Write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    struct Scene {
        dir: tempfile::TempDir,
        catalog: CatalogDirectory,
    }

    fn scene() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("catalog");
        fs::create_dir_all(root.join("metadata")).unwrap();
        fs::create_dir_all(root.join("targets/inner")).unwrap();
        fs::write(root.join("targets/a.gguf"), b"model").unwrap();
        fs::write(root.join("signing.pem"), b"key").unwrap();
        fs::write(dir.path().join("outside"), b"secret").unwrap();
        Scene { catalog: CatalogDirectory::new(root), dir }
    }

    #[test]
    fn a_regular_file_beneath_the_part_is_opened_for_reading_alone() {
        let scene = scene();
        let mut file = File::from(scene.catalog.open("targets", "a.gguf").unwrap());
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "model");
        assert!(file.write_all(b"x").is_err());
    }

    #[test]
    fn a_name_is_one_plain_segment_or_refused_unopened() {
        let scene = scene();
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for name in [
            "",
            ".",
            "..",
            "../signing.pem",
            "/etc/hostname",
            "inner/x",
            ".hidden",
            "a\0b",
            "a b",
            "a\n",
            "\u{e9}",
            &long,
        ] {
            let refused = scene.catalog.open("targets", name).unwrap_err();
            assert_eq!(refused, MonitorRefusal::NotAllowed, "{name:?}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_nothing_is_not_there() {
        let scene = scene();
        let targets = scene.dir.path().join("catalog/targets");
        fs::set_permissions(&targets, fs::Permissions::from_mode(0o700)).unwrap();
        symlink("../../outside", targets.join("link")).unwrap();
        symlink("a.gguf", targets.join("inside")).unwrap();
        rustix::fs::mknodat(CWD, targets.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _socket = peer_socket::bind_private(&targets.join("socket")).unwrap();
        for name in ["link", "inside", "fifo", "socket", "inner"] {
            let refused = scene.catalog.open("targets", name).unwrap_err();
            assert_eq!(refused, MonitorRefusal::WrongPeer, "{name}");
        }
        let absent = scene.catalog.open("targets", "none").unwrap_err();
        assert_eq!(absent, MonitorRefusal::NotThere);
    }

    #[test]
    fn a_part_that_is_a_link_elsewhere_gives_nothing() {
        let scene = scene();
        let part = scene.dir.path().join("catalog/metadata");
        fs::remove_dir(&part).unwrap();
        symlink(scene.dir.path(), &part).unwrap();
        let refused = scene.catalog.open("metadata", "outside").unwrap_err();
        assert_eq!(refused, MonitorRefusal::WrongPeer);
        let gone = CatalogDirectory::new(scene.dir.path().join("gone"));
        assert_eq!(gone.open("metadata", "x").unwrap_err(), MonitorRefusal::NotThere);
    }
}
