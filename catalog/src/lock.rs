//! One command at a time changes a catalog; what a killed one left half done goes with the next.
//! The locks are flock(2): they die with their holder.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;

use crate::refusal::Refusal;

/// How the names of what is not finished begin (`tempfile`'s own).
const UNFINISHED: &str = ".tmp";
/// Where such things lie.
const PLACES: [&str; 4] = ["", "metadata", "targets", "keys"];

/// Held while a catalog changes.
#[derive(Debug)]
pub(crate) struct Lock {
    _dir: File,
}

/// Waits until nobody else changes this catalog, and removes what nobody finishes any more.
pub(crate) fn lock(dir: &Path) -> Result<Lock> {
    let lock = hold(dir).with_context(|| {
        Refusal::new("catalog_not_locked", "The catalog cannot be locked", "Check its file system.")
    })?;
    for place in PLACES {
        remove_unfinished(&dir.join(place)).context(Refusal::new(
            "file_not_removed",
            "What an earlier command left cannot be removed",
            "Check the owner and mode of the catalog.",
        ))?;
    }
    Ok(lock)
}

/// An unfinished file among the targets, kept from everybody's tidying while it grows.
pub(crate) fn growing(dir: &Path) -> Result<NamedTempFile> {
    let _lock = hold(dir)?;
    let file = NamedTempFile::new_in(dir.join("targets"))?;
    flock(file.as_file(), FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

fn hold(dir: &Path) -> std::io::Result<Lock> {
    let dir = File::open(dir)?;
    flock(&dir, FlockOperation::LockExclusive)?;
    Ok(Lock { _dir: dir })
}

/// Directories are made under the catalog's lock alone; files that grow have their own.
fn remove_unfinished(place: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        match entry.file_type()? {
            _ if !is_unfinished => {}
            kind if kind.is_dir() => fs::remove_dir_all(entry.path())?,
            kind if kind.is_file() => {
                let file = File::open(entry.path())?;
                if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                    fs::remove_file(entry.path())?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("directory");
        for name in PLACES.iter().filter(|name| !name.is_empty()) {
            fs::create_dir(dir.path().join(name)).expect("directory");
        }
        dir
    }

    #[test]
    fn what_was_left_goes_and_what_grows_or_is_whole_stays() {
        let dir = catalog();
        let targets = dir.path().join("targets");
        let growing = growing(dir.path()).expect("a file");
        fs::write(targets.join(".tmpLEFT"), "half a model").expect("written");
        fs::create_dir(targets.join(".tmpDIR")).expect("made");
        fs::write(targets.join(".tmpDIR/m"), "a link to a model").expect("written");
        fs::write(dir.path().join("metadata/.tmpJSON"), "{").expect("written");
        fs::write(targets.join("aa.m"), "a model").expect("written");

        drop(lock(dir.path()).expect("locked"));
        let left = |place: &str| {
            let entries = fs::read_dir(dir.path().join(place)).expect("listed");
            let mut names: Vec<_> = entries.map(|it| it.expect("entry").file_name()).collect();
            names.sort();
            names
        };
        let own = growing.path().file_name().expect("a name").to_owned();
        assert_eq!(left("targets"), [own, "aa.m".into()]);
        assert_eq!(left("metadata").len(), 0);
    }

    #[test]
    fn a_second_command_waits_for_the_first() {
        let dir = catalog();
        let first = lock(dir.path()).expect("locked");
        let (says, heard) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _second = lock(dir.path()).expect("locked");
                says.send(()).expect("heard");
            });
            let other = File::open(dir.path()).expect("opened");
            assert!(flock(&other, FlockOperation::NonBlockingLockExclusive).is_err());
            assert!(heard.try_recv().is_err(), "it did not wait");
            drop(first);
            heard.recv().expect("the second comes after the first");
        });
    }
}
