//! Moves the bytes of a catalog of this disk: from a file that the launcher opened, through the
//! same accumulator into the same store.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use runtime_core::Reason;

use crate::fetch::Fetcher;
use crate::limits::{HASH_PIECE, IMPORT_STEP};
use crate::progress::Progress;
use crate::store::Partial;

/// Takes every missing byte of the file. Gives the partial file back with those that came, and
/// [`Reason::SizeMismatch`], [`Reason::DownloadTruncated`] when the file shrinks meanwhile, or
/// the reason of the opening or of the disk.
///
/// # Errors
/// [`Reason::StoreUnavailable`] when the partial file is lost.
pub(crate) async fn import(
    fetcher: &Fetcher,
    name: &str,
    mut partial: Partial,
    progress: &Progress,
) -> Result<(Partial, Result<(), Reason>), Reason> {
    let mut file = match opened(fetcher, name, &mut partial).await {
        Ok(file) => file,
        Err(reason) => return Ok((partial, Err(reason))),
    };
    progress.begins_at(partial.received());
    let size = partial.spec().size();
    while partial.received() < size {
        let step = tokio::task::spawn_blocking(move || {
            let outcome = take_some(&mut file, &mut partial);
            (file, partial, outcome)
        });
        let outcome;
        (file, partial, outcome) = step.await.map_err(|_| Reason::StoreUnavailable)?;
        if outcome.is_err() {
            return Ok((partial, outcome));
        }
        progress.shows(partial.received());
    }
    Ok((partial, Ok(())))
}

/// The file at the first missing byte, if its size is the signed one.
async fn opened(fetcher: &Fetcher, name: &str, partial: &mut Partial) -> Result<File, Reason> {
    let mut file = fetcher.open_file(name).await?;
    let facts = file.metadata().map_err(|_| Reason::SourceUnavailable)?;
    if facts.len() != partial.spec().size() {
        return Err(Reason::SizeMismatch);
    }
    let start = partial.received();
    partial.continues(start, None)?;
    file.seek(SeekFrom::Start(start)).map_err(|_| Reason::SourceUnavailable)?;
    Ok(file)
}

/// Takes a step's worth of bytes; blocks on both disks.
fn take_some(file: &mut File, partial: &mut Partial) -> Result<(), Reason> {
    let end = partial.spec().size().min(partial.received() + IMPORT_STEP);
    let mut piece = vec![0; HASH_PIECE];
    while partial.received() < end {
        match file.read(&mut piece) {
            Ok(0) => return Err(Reason::DownloadTruncated),
            Ok(read) => partial.append(&piece[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(Reason::SourceUnavailable),
        }
    }
    Ok(())
}
