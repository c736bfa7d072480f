//! One HTTP connection to a model host, and a response that is being read from it.

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use runtime_core::{PermittedUrl, Reason};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::response;
use crate::limits::{HTTP_BUFFER, STALL};

/// Which bytes of a file are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// All from this offset on, and nothing more over this connection.
    Rest(u64),
    /// These; the connection is used again.
    Part(Part),
}

/// Bytes of a file, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    /// Offset of the first one.
    pub(crate) first: u64,
    /// Offset after the last one.
    pub(crate) end: u64,
}

/// A connection on which nothing is under way.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

/// What a host answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Bytes of the file.
    Bytes(Box<Download>),
    /// The `Location` of a redirect.
    Elsewhere(String),
}

/// A response that is being read.
#[derive(Debug)]
pub(crate) struct Download {
    /// Which bytes it brings: those that were asked for, or all of them from a server that has
    /// no ranges, or no longer this file.
    pub(crate) part: Part,
    /// The strong entity tag of the file they belong to.
    pub(crate) etag: Option<String>,
    /// Where they come from, redirects followed.
    pub(crate) url: PermittedUrl,
    /// Whether the server means to keep the connection open.
    pub(crate) is_kept: bool,
    body: Incoming,
    /// Bytes still to come.
    left: u64,
    connection: Connection,
}

impl Connection {
    /// Speaks HTTP/1.1 over this stream.
    ///
    /// # Errors
    /// [`Reason::ConnectionFailed`].
    pub(super) async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Self, Reason> {
        // A piece is a TLS record, and takes no more memory than its bytes.
        let (sender, driver) = Builder::new()
            .read_buf_exact_size(Some(HTTP_BUFFER))
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|_| Reason::ConnectionFailed)?;
        let driver = AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = driver.await;
        }));
        Ok(Self { sender, _driver: driver })
    }

    /// Asks for bytes of the file of `size` bytes, while it is the one with this entity tag.
    ///
    /// # Errors
    /// [`Reason::ConnectionFailed`], also when it was closed meanwhile;
    /// [`Reason::DownloadStalled`], [`Reason::ServerRefused`], [`Reason::SizeMismatch`].
    pub(crate) async fn ask(
        mut self,
        url: &PermittedUrl,
        wish: Wish,
        etag: Option<&str>,
        size: u64,
    ) -> Result<Answer, Reason> {
        let request = request(url, wish, etag)?;
        let exchange = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let response = in_time(exchange, Reason::ConnectionFailed).await?;
        if response::is_redirect(response.status()) {
            let location = response::text(&response, &header::LOCATION);
            let location = location.ok_or(Reason::ServerRefused)?;
            return Ok(Answer::Elsewhere(location.to_owned()));
        }
        let part = response::part_of(&response, wish, size)?;
        Ok(Answer::Bytes(Box::new(Download {
            part,
            etag: response::strong_etag(&response),
            url: url.clone(),
            is_kept: response::is_kept(&response),
            left: part.end - part.first,
            body: response.into_body(),
            connection: self,
        })))
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

    /// Offset of the next byte.
    pub(crate) fn at(&self) -> u64 {
        self.part.end - self.left
    }

    /// The connection, after the last byte.
    pub(crate) fn into_connection(self) -> Connection {
        self.connection
    }
}

pub(super) async fn in_time<T, E>(
    act: impl Future<Output = Result<T, E>>,
    failure: Reason,
) -> Result<T, Reason> {
    timeout(STALL, act).await.map_err(|_| Reason::DownloadStalled)?.map_err(|_| failure)
}

fn request(
    url: &PermittedUrl,
    wish: Wish,
    etag: Option<&str>,
) -> Result<Request<Empty<Bytes>>, Reason> {
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(url.request_target())
        .header(header::HOST, url.host_header())
        .header(header::ACCEPT, "application/octet-stream")
        .header(header::ACCEPT_ENCODING, "identity");
    let range = match wish {
        Wish::Rest(0) => None,
        Wish::Rest(first) => Some(format!("bytes={first}-")),
        Wish::Part(Part { first, end }) => Some(format!("bytes={first}-{}", end - 1)),
    };
    if matches!(wish, Wish::Rest(_)) {
        request = request.header(header::CONNECTION, "close");
    }
    if let Some(range) = range {
        request = request.header(header::RANGE, range);
        if let Some(etag) = etag {
            request = request.header(header::IF_RANGE, etag);
        }
    }
    request.body(Empty::new()).map_err(|_| Reason::SourceNotAllowed)
}
