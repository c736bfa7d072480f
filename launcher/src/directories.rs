//! The private directories of one installation: made 0700, or refused.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use companion_settings::Dirs;
use rustix::process::geteuid;

/// A directory that is not private, or cannot be made so.
#[derive(Debug, thiserror::Error)]
#[error("{path} must be a directory of yours that nobody else can enter (chmod 700)")]
pub(crate) struct NotPrivate {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The executable file that is no program: what a trial of exec aims at.
pub(crate) fn no_program(dirs: &Dirs) -> PathBuf {
    dirs.runtime.join("no-program")
}

/// Makes every directory of the installation, 0700, and checks those that are there.
pub(crate) fn prepare(dirs: &Dirs) -> Result<(), NotPrivate> {
    for path in [
        &dirs.state,
        &dirs.runtime,
        &dirs.data,
        &dirs.broker_state(),
        &dirs.store(),
        &dirs.runtime_scratch(),
    ] {
        private(path).map_err(|source| NotPrivate { path: path.clone(), source })?;
    }
    make_no_program(&no_program(dirs))
        .map_err(|source| NotPrivate { path: dirs.runtime.clone(), source })
}

/// Made anew: what lay there may have been somebody else's program.
fn make_no_program(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o500).open(path)?;
    file.write_all(b"This is no program.\n")
}

fn private(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        }
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let facts = fs::symlink_metadata(path)?;
    let own = facts.is_dir() && facts.uid() == geteuid().as_raw() && facts.mode() & 0o077 == 0;
    if own { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn directories_are_made_0700_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        private(&path).unwrap();
        private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_directory_open_to_others_and_a_symlink_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(private(&open).is_err());
        let real = dir.path().join("real");
        private(&real).unwrap();
        let link = dir.path().join("link");
        symlink(&real, &link).unwrap();
        assert!(private(&link).is_err());
    }
}
