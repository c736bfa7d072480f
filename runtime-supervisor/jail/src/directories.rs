//! HOME and TMPDIR of the runtime: private, and empty at every launch.

use std::fs::{DirBuilder, remove_dir_all};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::refusal::Refusal;

pub(crate) struct Private {
    pub(crate) home: PathBuf,
    pub(crate) temporary: PathBuf,
}

/// Makes both anew beneath the scratch directory, mode 0700; what an earlier runtime left goes.
pub(crate) fn made_anew(scratch_dir: &Path) -> Result<Private, Refusal> {
    let private = Private { home: scratch_dir.join("home"), temporary: scratch_dir.join("tmp") };
    for directory in [&private.home, &private.temporary] {
        make_anew(directory).map_err(|_| Refusal::NoDirectories)?;
    }
    Ok(private)
}

/// `mkdir` refuses whatever is left there, a planted link included.
fn make_anew(directory: &Path) -> io::Result<()> {
    match remove_dir_all(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    DirBuilder::new().mode(0o700).create(directory)
}
