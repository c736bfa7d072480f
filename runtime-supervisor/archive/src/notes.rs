//! What an archive says of an entry beside the entry's own header.

use std::borrow::Cow;
use std::io::Read;

use runtime_core::{EntryKind, Reason, UntrustedEntry};
use tar::{Entry, EntryType, PaxExtensions};

use crate::{MAX_NOTE_BYTES, malformed};

/// What extension entries say of the next entry.
#[derive(Default)]
pub(super) struct Notes {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Notes {
    /// Takes an extension entry (pax of POSIX.1-2024, long names of GNU tar); false for any other.
    pub(super) fn take<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<bool, Reason> {
        match entry.header().entry_type() {
            EntryType::XGlobalHeader => note(entry).map(|_| ())?,
            EntryType::GNULongName => self.name = Some(c_string(note(entry)?)),
            EntryType::GNULongLink => self.link = Some(c_string(note(entry)?)),
            EntryType::XHeader => {
                for said in PaxExtensions::new(&note(entry)?) {
                    let said = said.map_err(malformed)?;
                    match said.key_bytes() {
                        b"path" => self.name = Some(said.value_bytes().to_vec()),
                        b"linkpath" => self.link = Some(said.value_bytes().to_vec()),
                        // Another size than the header's: nothing after it would be what it seems.
                        b"size" => return Err(Reason::MalformedArchive),
                        key if key.starts_with(b"GNU.sparse.") => {
                            return Err(Reason::MalformedArchive);
                        }
                        _ => {}
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The entry that they are about.
    pub(super) fn applied_to<'e, R: Read>(
        self,
        entry: &'e Entry<'_, R>,
    ) -> Result<UntrustedEntry<'e>, Reason> {
        let header = entry.header();
        let link = || {
            let link = self.link.map(Cow::Owned).or_else(|| header.link_name_bytes());
            link.ok_or(Reason::MalformedArchive)
        };
        let kind = match header.entry_type() {
            EntryType::Regular => EntryKind::File(header.entry_size().map_err(malformed)?),
            EntryType::Directory => EntryKind::Directory,
            EntryType::Link => EntryKind::HardLink(link()?),
            EntryType::Symlink => EntryKind::SymbolicLink(link()?),
            _ => return Err(Reason::MalformedArchive),
        };
        let name = self.name.map_or_else(|| header.path_bytes(), Cow::Owned);
        Ok(UntrustedEntry { name, kind, mode: header.mode().map_err(malformed)? })
    }
}

/// The bytes of an extension entry.
fn note<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, Reason> {
    if entry.size() > MAX_NOTE_BYTES {
        return Err(Reason::MalformedArchive);
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(malformed)?;
    Ok(bytes)
}

/// GNU tar ends a name with a zero.
fn c_string(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}
