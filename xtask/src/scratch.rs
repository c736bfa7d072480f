//! A private directory for what a command makes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Longest directory name that leaves room for socket names (`sun_path`, unix(7)).
const LONGEST_TEMP_DIR: usize = 50;

/// A private directory, removed in the end.
#[derive(Debug)]
pub(crate) struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// Makes one of mode 0700, with a short name.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn make() -> Result<Self> {
        let named = std::env::temp_dir();
        let short = named.is_absolute() && named.as_os_str().len() <= LONGEST_TEMP_DIR;
        let parent = if short { named } else { PathBuf::from("/tmp") };
        Self::make_in(&parent)
    }

    /// Makes one there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn make_in(parent: &Path) -> Result<Self> {
        let dir = nix::unistd::mkdtemp(&parent.join("companion-XXXXXX"))
            .with_context(|| format!("a directory in {}", parent.display()))?;
        Ok(Self { dir })
    }

    /// A name in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A directory in it, made.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        let dir = self.path(name);
        fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        Ok(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("cannot remove {}: {error}", self.dir.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_is_private_and_removed() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::make().unwrap();
        let dir = scratch.dir.clone();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        drop(scratch);
        assert!(!dir.exists());
    }
}
