//! What an archive became on the disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EntryName;
use crate::{ConfirmedFile, FileIdentity, Reason};

/// The files that a verified archive was unpacked into, and which files those were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnpackedFiles {
    program: String,
    files: BTreeMap<String, FileIdentity>,
}

impl UnpackedFiles {
    /// Remembers what lies there right after the last file was written.
    #[must_use]
    pub fn new(program: &EntryName, files: BTreeMap<String, FileIdentity>) -> Self {
        Self { program: program.as_str().to_owned(), files }
    }

    /// The program's name among them.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Confirms that what lies there now is what was unpacked: no file more, none less, none other.
    ///
    /// # Errors
    /// [`Reason::DigestMismatch`].
    pub fn confirm(
        &self,
        archive: ConfirmedFile,
        observed: &BTreeMap<String, FileIdentity>,
    ) -> Result<ConfirmedFile, Reason> {
        self.check(observed).map(|()| archive)
    }

    /// The same without a launch in mind.
    ///
    /// # Errors
    /// [`Reason::DigestMismatch`].
    pub fn check(&self, observed: &BTreeMap<String, FileIdentity>) -> Result<(), Reason> {
        let is_whole = self.files.contains_key(&self.program);
        if is_whole && self.files == *observed { Ok(()) } else { Err(Reason::DigestMismatch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::name_of;
    use crate::integrity::tests::confirmed;

    #[test]
    fn what_was_unpacked_is_confirmed_whole_or_not_at_all() {
        let of = |inode| FileIdentity { device: 1, inode, size: 3, changed_s: 4, changed_ns: 5 };
        let files = |pairs: &[(&str, u64)]| -> BTreeMap<String, FileIdentity> {
            pairs.iter().map(|(name, inode)| ((*name).to_owned(), of(*inode))).collect()
        };
        let there = files(&[("llama-server", 1), ("lib.so", 2)]);
        let program = name_of(&["llama-server"]).unwrap();
        let unpacked = UnpackedFiles::new(&program, there.clone());
        assert!(unpacked.confirm(confirmed(), &there).is_ok());
        for other in [
            files(&[("llama-server", 1)]),
            files(&[("llama-server", 1), ("lib.so", 3)]),
            files(&[("llama-server", 1), ("lib.so", 2), ("more.so", 3)]),
            files(&[]),
        ] {
            assert_eq!(
                unpacked.confirm(confirmed(), &other).map(|_| ()),
                Err(Reason::DigestMismatch)
            );
        }
        let without = files(&[("lib.so", 2)]);
        let unpacked = UnpackedFiles::new(&program, without.clone());
        assert!(unpacked.confirm(confirmed(), &without).is_err(), "no program");
    }
}
