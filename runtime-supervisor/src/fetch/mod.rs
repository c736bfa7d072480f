//! Moves bytes from a model host, over connections that the launcher opens. Knows nothing of
//! digests; no URL, header or server text of it is ever printed.

mod connection;
mod response;

use std::fs::File;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use monitor_api::{Destination, MonitorRefusal};
use peer_socket::{Monitor, MonitorError};
use runtime_core::{AllowedSources, PermittedUrl, Reason, follow_redirect};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_rustls::TlsConnector;

use self::connection::in_time;
pub(crate) use self::connection::{Answer, Connection, Download, Part, Wish};
use crate::limits::{READ_AHEAD, SEGMENT};
use crate::progress::Progress;

type Dialled = Pin<Box<dyn Future<Output = Result<TcpStream, Reason>> + Send>>;
/// Opens a TCP connection to a host and port.
pub(crate) type Dial = Arc<dyn Fn(String, u16) -> Dialled + Send + Sync>;

type Opened = Pin<Box<dyn Future<Output = Result<File, Reason>> + Send>>;
/// Opens a file of a catalog of this disk by its name.
pub(crate) type OpenFile = Arc<dyn Fn(String) -> Opened + Send + Sync>;

/// Fetches permitted URLs, and files that are imported.
#[derive(Clone)]
pub(crate) struct Fetcher {
    dial: Dial,
    open_file: OpenFile,
    tls: TlsConnector,
    segment: u64,
    /// Whoever fetches has it; the others wait in order.
    turn: Arc<Semaphore>,
}

impl Fetcher {
    /// A fetcher over connections made by `dial`, that imports nothing.
    pub(crate) fn new(dial: Dial, tls: ClientConfig) -> Self {
        let open_file: OpenFile =
            Arc::new(|_| Box::pin(std::future::ready(Err(Reason::SourceNotAllowed))));
        let (tls, turn) = (TlsConnector::from(Arc::new(tls)), Arc::new(Semaphore::new(1)));
        Self { dial, open_file, tls, segment: SEGMENT, turn }
    }

    /// Waits for the downloads that were asked for earlier: one at a time has the whole of the
    /// line, so that the first one is there soonest. Meanwhile this one, of which so many bytes
    /// are in place, is shown to wait.
    pub(crate) async fn turn(
        &self,
        received: u64,
        progress: &Progress,
    ) -> Option<SemaphorePermit<'_>> {
        if let Ok(turn) = self.turn.try_acquire() {
            return Some(turn);
        }
        progress.waits(received);
        // It is never closed.
        let turn = self.turn.acquire().await.ok();
        progress.begins_at(received);
        turn
    }

    /// The same, and it imports what `open_file` opens.
    pub(crate) fn importing(self, open_file: OpenFile) -> Self {
        Self { open_file, ..self }
    }

    /// A fetcher whose connections and files the launcher opens.
    pub(crate) fn over(monitor: Monitor, tls: ClientConfig) -> Self {
        let files = monitor.clone();
        let open_file: OpenFile = Arc::new(move |name| {
            let monitor = files.clone();
            Box::pin(async move {
                let destination = Destination::ImportedFile { name };
                monitor.open_file(destination).await.map_err(|error| open_refusal(&error))
            })
        });
        let dial: Dial = Arc::new(move |host, port| {
            let monitor = monitor.clone();
            Box::pin(async move {
                let destination = Destination::ModelHost { host, port };
                monitor.open_tcp(destination).await.map_err(|error| dial_refusal(&error))
            })
        });
        Self::new(dial, tls).importing(open_file)
    }

    /// Opens a file of a catalog of this disk.
    ///
    /// # Errors
    /// [`Reason::SourceNotAllowed`] unless it is a regular file beneath the catalog;
    /// [`Reason::SourceUnavailable`] when it is not there.
    pub(crate) async fn open_file(&self, name: &str) -> Result<File, Reason> {
        (self.open_file)(name.to_owned()).await
    }

    /// Bytes of a file that one request asks for where several connections fetch it.
    pub(crate) fn segment(&self) -> u64 {
        self.segment
    }

    /// The same, with segments of another size.
    #[cfg(test)]
    pub(crate) fn in_segments_of(self, segment: u64) -> Self {
        Self { segment, ..self }
    }

    /// Asks for bytes of the file of `size` bytes, following redirects within the sources; for
    /// all of it if it is no longer the one with this entity tag.
    ///
    /// # Errors
    /// [`Reason::ConnectionFailed`], [`Reason::DownloadStalled`], [`Reason::ServerRefused`],
    /// [`Reason::SizeMismatch`] when the server's file has another size, and those of
    /// [`follow_redirect`].
    pub(crate) async fn open(
        &self,
        url: PermittedUrl,
        sources: &AllowedSources,
        wish: Wish,
        etag: Option<&str>,
        size: u64,
    ) -> Result<Download, Reason> {
        let mut url = url;
        let mut followed = 0;
        loop {
            match self.connect(&url).await?.ask(&url, wish, etag, size).await? {
                Answer::Bytes(download) => return Ok(*download),
                Answer::Elsewhere(location) => {
                    url = follow_redirect(&url, &location, followed, sources)?;
                    followed += 1;
                }
            }
        }
    }

    /// Opens a connection to the host of this URL.
    ///
    /// # Errors
    /// [`Reason::ConnectionFailed`], [`Reason::DownloadStalled`], [`Reason::SourceNotAllowed`].
    pub(crate) async fn connect(&self, url: &PermittedUrl) -> Result<Connection, Reason> {
        let name = url.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|_| Reason::SourceNotAllowed)?;
        let stream = (self.dial)(url.host().to_owned(), url.port()).await?;
        // rustls reads 4 KiB at a time.
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        let stream = in_time(self.tls.connect(name, stream), Reason::ConnectionFailed).await?;
        Connection::over(stream).await
    }
}

fn open_refusal(error: &MonitorError) -> Reason {
    match error {
        MonitorError::Refused(MonitorRefusal::NotThere)
        | MonitorError::Gone
        | MonitorError::Timeout => Reason::SourceUnavailable,
        MonitorError::Refused(_) => Reason::SourceNotAllowed,
    }
}

fn dial_refusal(error: &MonitorError) -> Reason {
    match error {
        MonitorError::Refused(MonitorRefusal::NotAllowed | MonitorRefusal::AddressNotAllowed) => {
            Reason::SourceNotAllowed
        }
        MonitorError::Refused(_) | MonitorError::Gone | MonitorError::Timeout => {
            Reason::ConnectionFailed
        }
    }
}
