//! Moves bytes from a model host, over connections that the launcher opens. Knows nothing of
//! digests; no URL, header or server text of it is ever printed.

use std::fs::File;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use monitor_api::{Destination, MonitorRefusal};
use peer_socket::{Monitor, MonitorError};
use runtime_core::{AllowedSources, PermittedUrl, Reason, follow_redirect};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::limits::{HTTP_BUFFER, MAX_ETAG, STALL};

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
}

/// A response body that is being read.
pub(crate) struct Download {
    /// Where in the file its first byte belongs: what was asked for, or 0 from a server that
    /// has no ranges.
    pub(crate) offset: u64,
    /// The strong entity tag of the file it belongs to.
    pub(crate) etag: Option<String>,
    body: Incoming,
    /// Bytes still to come.
    left: u64,
    _connection: AbortOnDropHandle<()>,
}

impl Fetcher {
    /// A fetcher over connections made by `dial`, that imports nothing.
    pub(crate) fn new(dial: Dial, tls: ClientConfig) -> Self {
        let open_file: OpenFile =
            Arc::new(|_| Box::pin(std::future::ready(Err(Reason::SourceNotAllowed))));
        Self { dial, open_file, tls: TlsConnector::from(Arc::new(tls)) }
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

    /// Asks for the file of `size` bytes from `offset` on, following redirects within the
    /// sources; for all of it if it is no longer the one with this entity tag.
    ///
    /// # Errors
    /// [`Reason::ConnectionFailed`], [`Reason::DownloadStalled`], [`Reason::ServerRefused`],
    /// [`Reason::SizeMismatch`] when the server's file has another size, and those of
    /// [`follow_redirect`].
    pub(crate) async fn open(
        &self,
        url: PermittedUrl,
        sources: &AllowedSources,
        offset: u64,
        etag: Option<&str>,
        size: u64,
    ) -> Result<Download, Reason> {
        let mut url = url;
        let mut followed = 0;
        loop {
            let (response, connection) = self.get(&url, offset, etag).await?;
            let status = response.status();
            if is_redirect(status) {
                let location = header_text(&response, &header::LOCATION);
                let location = location.ok_or(Reason::ServerRefused)?;
                url = follow_redirect(&url, location, followed, sources)?;
                followed += 1;
                continue;
            }
            let offset = offset_of(&response, offset, size)?;
            let left = size - offset;
            return Ok(Download {
                offset,
                etag: strong_etag(&response),
                body: response.into_body(),
                left,
                _connection: connection,
            });
        }
    }

    async fn get(
        &self,
        url: &PermittedUrl,
        offset: u64,
        etag: Option<&str>,
    ) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), Reason> {
        let name = url.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|_| Reason::SourceNotAllowed)?;
        let stream = (self.dial)(url.host().to_owned(), url.port()).await?;
        let stream = in_time(self.tls.connect(name, stream), Reason::ConnectionFailed).await?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(HTTP_BUFFER)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|_| Reason::ConnectionFailed)?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = connection.await;
        }));
        let request = request(url, offset, etag)?;
        let response = in_time(sender.send_request(request), Reason::ConnectionFailed).await?;
        Ok((response, connection))
    }
}

impl Download {
    /// The next bytes, or `None` after the last.
    ///
    /// # Errors
    /// [`Reason::DownloadStalled`] after 30 s without a byte; [`Reason::DownloadTruncated`] when
    /// it ends early; [`Reason::SizeMismatch`] at the first byte too many.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Reason> {
        loop {
            let frame = timeout(STALL, self.body.frame()).await;
            match frame.map_err(|_| Reason::DownloadStalled)? {
                Some(Ok(frame)) => {
                    // Trailers carry no bytes.
                    let Ok(bytes) = frame.into_data() else { continue };
                    let length = u64::try_from(bytes.len()).map_err(|_| Reason::SizeMismatch)?;
                    self.left = self.left.checked_sub(length).ok_or(Reason::SizeMismatch)?;
                    return Ok(Some(bytes));
                }
                Some(Err(_)) => return Err(Reason::DownloadTruncated),
                None if self.left == 0 => return Ok(None),
                None => return Err(Reason::DownloadTruncated),
            }
        }
    }
}

async fn in_time<T, E>(
    act: impl Future<Output = Result<T, E>>,
    failure: Reason,
) -> Result<T, Reason> {
    timeout(STALL, act).await.map_err(|_| Reason::DownloadStalled)?.map_err(|_| failure)
}

fn request(
    url: &PermittedUrl,
    offset: u64,
    etag: Option<&str>,
) -> Result<Request<Empty<Bytes>>, Reason> {
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(url.request_target())
        .header(header::HOST, url.host_header())
        .header(header::ACCEPT, "application/octet-stream")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close");
    if offset > 0 {
        request = request.header(header::RANGE, format!("bytes={offset}-"));
        if let Some(etag) = etag {
            request = request.header(header::IF_RANGE, etag);
        }
    }
    request.body(Empty::new()).map_err(|_| Reason::SourceNotAllowed)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

/// Where the body of this response begins, if it is the rest of a file of `size` bytes
/// (RFC 9110 section 14.4).
fn offset_of(response: &Response<Incoming>, asked: u64, size: u64) -> Result<u64, Reason> {
    let coding = header_text(response, &header::CONTENT_ENCODING).unwrap_or("identity");
    if !coding.eq_ignore_ascii_case("identity") {
        return Err(Reason::ServerRefused);
    }
    let offset = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if asked > 0 => {
            let range = header_text(response, &header::CONTENT_RANGE);
            check_range(range.ok_or(Reason::ServerRefused)?, asked, size)?;
            asked
        }
        // The server's file ends before what was asked for.
        StatusCode::RANGE_NOT_SATISFIABLE if asked > 0 => return Err(Reason::SizeMismatch),
        _ => return Err(Reason::ServerRefused),
    };
    match header_text(response, &header::CONTENT_LENGTH).map(str::parse::<u64>) {
        None => Ok(offset),
        Some(Ok(length)) if length == size - offset => Ok(offset),
        Some(_) => Err(Reason::SizeMismatch),
    }
}

/// `bytes FIRST-LAST/TOTAL`, which must be the rest of the file.
fn check_range(range: &str, asked: u64, size: u64) -> Result<(), Reason> {
    let parts = range.strip_prefix("bytes ").and_then(|rest| {
        let (span, total) = rest.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, total))
    });
    let (first, last, total) = parts.ok_or(Reason::ServerRefused)?;
    if first != asked {
        return Err(Reason::ServerRefused);
    }
    let total_fits = total == "*" || total.parse() == Ok(size);
    if total_fits && last.checked_add(1) == Some(size) { Ok(()) } else { Err(Reason::SizeMismatch) }
}

fn header_text<'a>(response: &'a Response<Incoming>, name: &header::HeaderName) -> Option<&'a str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The entity tag, if it may be compared in `If-Range` (RFC 9110 section 13.1.5): not a weak one.
fn strong_etag(response: &Response<Incoming>) -> Option<String> {
    let etag = header_text(response, &header::ETAG)?;
    let is_strong = etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"');
    (is_strong && etag.len() <= MAX_ETAG).then(|| etag.to_owned())
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
