//! The cache directory: one a user and machine, outside the checkout.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

/// The directory, held by this process alone.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    _held: Flock<File>,
}

impl Cache {
    /// Opens `$COMPANION_DEV_CACHE`, else `companion-dev` in `$XDG_CACHE_HOME` or `~/.cache`, and
    /// waits while another setup holds it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn open() -> Result<Self> {
        let dir = directory(|name| std::env::var_os(name).map(PathBuf::from))?;
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))
            .context("the lock of the cache")?;
        let held = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => held,
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
                eprintln!("     another setup is at work in {}: waiting for it", dir.display());
                match Flock::lock(file, FlockArg::LockExclusive) {
                    Ok(held) => held,
                    Err((_, error)) => bail!("the lock of the cache: {error}"),
                }
            }
            Err((_, error)) => bail!("the lock of the cache: {error}"),
        };
        Ok(Self { dir, _held: held })
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
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(dir)
    }
}

fn directory(env: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let absolute = |name: &str| env(name).filter(|path| path.is_absolute());
    absolute("COMPANION_DEV_CACHE")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|dir| dir.join("companion-dev")))
        .or_else(|| absolute("HOME").map(|dir| dir.join(".cache/companion-dev")))
        .context("no cache directory: set HOME or COMPANION_DEV_CACHE")
}

/// SHA-256 of a file as 64 hexadecimal characters.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let (mut digest, mut piece) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&piece[..read]);
    }
}

/// Refuses a file of another digest, and removes it so that the next run fetches it anew.
///
/// # Errors
/// When it is another file.
pub(crate) fn verify(path: &Path, sha256: &str) -> Result<()> {
    if sha256_of(path)? == sha256 {
        return Ok(());
    }
    fs::remove_file(path)?;
    bail!("{} is not the pinned file (SHA-256 differs); it was removed", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_directory_wins_and_a_relative_one_is_ignored() {
        let env = |name: &str| match name {
            "COMPANION_DEV_CACHE" => Some(PathBuf::from("relative")),
            "XDG_CACHE_HOME" => Some(PathBuf::from("/c")),
            "HOME" => Some(PathBuf::from("/h")),
            _ => None,
        };
        assert_eq!(directory(env).unwrap(), Path::new("/c/companion-dev"));
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/h"));
        assert_eq!(directory(home).unwrap(), Path::new("/h/.cache/companion-dev"));
        assert!(directory(|_| None).is_err());
    }

    #[test]
    fn another_file_is_refused_and_removed() {
        let dir = std::env::temp_dir().join(format!("xtask-verify-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("abc");
        fs::write(&file, b"abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        verify(&file, abc).unwrap();
        fs::write(&file, b"abd").unwrap();
        assert!(verify(&file, abc).is_err());
        assert!(!file.exists());
        fs::remove_dir(&dir).unwrap();
    }
}
