//! A body read from a file piece by piece, with its fault.

use std::io::{self, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::watch;

use super::pacer::Pacer;
use super::range::ByteRange;
use super::{Fault, ModelHostCounts, ModelHostSwitches, Shared};

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

/// Pieces a second of a paced body.
const PACED_PIECES: u64 = 20;

/// Time for what was sent before a cut to leave this machine's buffers.
const FLUSH_BEFORE_CUT: Duration = Duration::from_millis(100);

/// The bytes of one response.
#[derive(Debug)]
pub(super) struct FileBody {
    file: File,
    /// Offset in the file of the next byte.
    offset: u64,
    /// Bytes of the part still to send.
    left: u64,
    fault: Fault,
    pace: Option<u64>,
    pacer: Arc<Pacer>,
    open: OpenBody,
}

impl FileBody {
    pub(super) async fn open(
        mut file: File,
        part: ByteRange,
        switches: &ModelHostSwitches,
        shared: &Shared,
    ) -> io::Result<Self> {
        file.seek(SeekFrom::Start(part.first)).await?;
        Ok(Self {
            file,
            offset: part.first,
            left: part.length,
            fault: switches.fault.clone(),
            pace: switches.pace,
            pacer: Arc::clone(&shared.pacer),
            open: OpenBody::new(shared.counts.clone()),
        })
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> {
        futures_util::stream::try_unfold(self, |mut body| async move {
            Ok(body.next().await?.map(|bytes| (bytes, body)))
        })
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.left == 0 {
            if self.fault != Fault::Endless {
                return Ok(None);
            }
            self.start_again().await?;
        }
        let wanted = self.allowance().await?;
        let mut bytes = BytesMut::zeroed(wanted);
        self.file.read_exact(&mut bytes).await?;
        self.flip(&mut bytes);
        let length = wanted as u64;
        self.offset += length;
        self.left -= length;
        self.open.count(length);
        Ok(Some(bytes.freeze()))
    }

    /// How many bytes the next piece may have, after waiting for its turn.
    async fn allowance(&self) -> io::Result<usize> {
        let mut wanted = self.left.min(CHUNK as u64);
        if let Fault::CutAfter { bytes } | Fault::StallAfter { bytes } = self.fault {
            wanted = wanted.min(bytes.saturating_sub(self.offset));
        }
        if wanted == 0 {
            if matches!(self.fault, Fault::CutAfter { .. }) {
                tokio::time::sleep(FLUSH_BEFORE_CUT).await;
                return Err(io::Error::other("cut as told"));
            }
            std::future::pending::<()>().await;
        }
        if let Some(pace) = self.pace {
            wanted = wanted.min((pace / PACED_PIECES).max(1));
            tokio::time::sleep_until(self.pacer.turn_of(wanted, pace)).await;
        }
        usize::try_from(wanted).map_err(io::Error::other)
    }

    async fn start_again(&mut self) -> io::Result<()> {
        self.left = self.file.metadata().await?.len();
        self.offset = self.file.seek(SeekFrom::Start(0)).await?;
        if self.left == 0 {
            return Err(io::Error::other("an empty file has no endless body"));
        }
        Ok(())
    }

    fn flip(&self, bytes: &mut [u8]) {
        if let Fault::FlipByte { offset } = self.fault
            && let Some(place) = offset.checked_sub(self.offset)
            && let Some(byte) = usize::try_from(place).ok().and_then(|place| bytes.get_mut(place))
        {
            *byte ^= 1;
        }
    }
}

/// Counts a body from its first moment until it is sent or dropped.
#[derive(Debug)]
struct OpenBody(watch::Sender<ModelHostCounts>);

impl OpenBody {
    fn new(counts: watch::Sender<ModelHostCounts>) -> Self {
        counts.send_modify(|counts| counts.open_bodies += 1);
        Self(counts)
    }

    fn count(&self, bytes: u64) {
        self.0.send_modify(|counts| counts.bytes_sent += bytes);
    }
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        self.0.send_modify(|counts| counts.open_bodies -= 1);
    }
}
