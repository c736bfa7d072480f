//! Reads an archive of a runtime (`tar.gz`), each entry judged as `runtime_core` judges it. Bytes
//! come in, and the files that may be unpacked go out: where they go is for the caller to say.
//!
//! Two programs read one: the supervisor, which unpacks it, and the parser that tells a catalog's
//! signer what is in it. What one takes the other takes.

#![forbid(unsafe_code)]

mod notes;

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use runtime_core::{ArchiveSurvey, Unpack};
pub use runtime_core::{EntryName, Layout, PROGRAM, Reason};

use crate::notes::Notes;

/// How a compressed file begins (RFC 1952, section 2.3.1).
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bytes of what an archive says of its next entry beside the entry's own header.
const MAX_NOTE_BYTES: u64 = 64 * 1024;
/// Bytes behind the last entry of an archive.
const MAX_PADDING: u64 = 1024 * 1024;

/// Reads the archive of so many bytes to its end. `file` is given each file as it comes: its name,
/// its size, and its bytes, which end there.
///
/// # Errors
/// [`Reason::MalformedArchive`], and whatever `file` answers.
pub fn read(
    archive: impl Read,
    archive_bytes: u64,
    mut file: impl FnMut(&EntryName, u64, &mut dyn Read) -> Result<(), Reason>,
) -> Result<Layout, Reason> {
    let mut archive = tar::Archive::new(MultiGzDecoder::new(archive));
    let mut survey = ArchiveSurvey::of(archive_bytes);
    let mut notes = Notes::default();
    // Raw: what an extension says is read here, within bounds, and nothing of it but names.
    for entry in archive.entries().map_err(malformed)?.raw(true) {
        let mut entry = entry.map_err(malformed)?;
        if notes.take(&mut entry)? {
            continue;
        }
        let notes = std::mem::take(&mut notes);
        if let Unpack::File(name, bytes) = survey.judge(&notes.applied_to(&entry)?)? {
            file(&name, bytes, &mut entry)?;
        }
    }
    ends_soon(archive.into_inner())?;
    survey.finish()
}

/// Reads the padding behind the last entry, and with it the checksum of what was compressed.
fn ends_soon(mut rest: impl Read) -> Result<(), Reason> {
    let padding = io::copy(&mut (&mut rest).take(MAX_PADDING), &mut io::sink());
    match padding.map_err(malformed)? < MAX_PADDING {
        true => Ok(()),
        false => Err(Reason::MalformedArchive),
    }
}

fn malformed(_: io::Error) -> Reason {
    Reason::MalformedArchive
}
