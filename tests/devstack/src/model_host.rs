//! The development model host: files over HTTPS with ranges, and a switch for each way in which
//! a host of large files goes wrong.

mod body;
mod pacer;
mod range;

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, LOCATION, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::watch;

use crate::MODEL_HOST_NAME;
use crate::certs::DevelopmentCa;
use crate::listen::{self, Server};

use body::FileBody;
use pacer::Pacer;
use range::{Asked, ByteRange};

/// Path under which the files lie.
const FILES_PATH: &str = "/files";

/// A model host that is bound but does not serve yet, so that its URLs can be signed.
#[derive(Debug)]
pub struct BoundModelHost {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// A running model host. Dropping it closes every connection.
#[derive(Debug)]
pub struct ModelHost {
    shared: Arc<Shared>,
    server: Server,
}

/// How the host behaves; the default is honest and as fast as it can be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelHostSwitches {
    /// What goes wrong.
    pub fault: Fault,
    /// The one file it goes wrong for; `None`: every file.
    pub only: Option<String>,
    /// Bytes a second of all responses together, by a schedule; `None`: no limit.
    pub pace: Option<u64>,
}

/// What goes wrong with a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The lowest bit of the byte at this offset of the file is flipped.
    FlipByte {
        /// Offset in the file; nothing is flipped beyond its end.
        offset: u64,
    },
    /// The connection closes after this many bytes of the file, whichever part was asked for.
    CutAfter {
        /// At most this many arrive.
        bytes: u64,
    },
    /// Nothing more is sent after this many bytes of the file; the connection stays open.
    StallAfter {
        /// Exactly this many are sent of the whole file.
        bytes: u64,
    },
    /// 302 to this address.
    Redirect {
        /// Value of `Location`.
        to: String,
    },
    /// This many 302 answers within this host before the file itself.
    RedirectChain {
        /// Number of redirects.
        hops: u32,
    },
    /// A body without an announced length that starts as the file and never ends.
    Endless,
    /// `Content-Length` claims this; the body is the file, as far as it fits.
    ContentLength {
        /// Claimed bytes.
        bytes: u64,
    },
    /// A range is answered with the whole file and 200.
    IgnoreRange,
    /// A range is answered with 206 and the bytes from the start of the file.
    WrongRange,
    /// This status and no file.
    Status(u16),
}

/// Counters since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelHostCounts {
    /// Requests for files, of any outcome.
    pub requests: u64,
    /// Requests that asked for a part.
    pub range_requests: u64,
    /// The first byte asked for by each of them, in order.
    pub range_starts: Vec<u64>,
    /// Body bytes handed to the connection.
    pub bytes_sent: u64,
    /// Bodies being sent now.
    pub open_bodies: u64,
    /// Requests that carried `Authorization` or `Cookie`: there must be none.
    pub requests_with_credentials: u64,
}

#[derive(Debug)]
struct Shared {
    files: BTreeMap<String, PathBuf>,
    switches: Mutex<ModelHostSwitches>,
    counts: watch::Sender<ModelHostCounts>,
    pacer: Arc<Pacer>,
}

impl BoundModelHost {
    /// Binds a port of the kernel's choice on 127.0.0.1.
    ///
    /// # Errors
    /// When the kernel has no port to give.
    pub fn bind() -> Result<Self> {
        let (listener, address) = listen::bind_loopback()?;
        Ok(Self { listener, address })
    }

    /// `models.localhost:PORT`.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{MODEL_HOST_NAME}:{}", self.address.port())
    }

    /// Where a file of this name is served.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("https://{}{FILES_PATH}/{name}", self.authority())
    }

    /// Serves these files by name. Call inside a tokio runtime.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn serve(self, ca: &DevelopmentCa, files: BTreeMap<String, PathBuf>) -> Result<ModelHost> {
        let shared = Arc::new(Shared {
            files,
            switches: Mutex::default(),
            counts: watch::Sender::new(ModelHostCounts::default()),
            pacer: Arc::default(),
        });
        let router = Router::new()
            .route(&format!("{FILES_PATH}/{{name}}"), get(serve_file))
            .with_state(Arc::clone(&shared));
        let tls = ca.server_config(&[MODEL_HOST_NAME, "127.0.0.1"])?;
        Ok(ModelHost { shared, server: listen::serve_tls(self.listener, tls, router)? })
    }
}

impl ModelHost {
    /// `models.localhost:PORT`: an entry for `[models] hosts`.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{MODEL_HOST_NAME}:{}", self.server.address().port())
    }

    /// Where a file of this name is served.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("https://{}{FILES_PATH}/{name}", self.authority())
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Changes how it behaves, from the next response on.
    pub fn switch(&self, change: impl FnOnce(&mut ModelHostSwitches)) {
        change(&mut self.shared.switches.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Makes it honest again.
    pub fn behave(&self) {
        self.switch(|switches| *switches = ModelHostSwitches::default());
    }

    /// What it has seen until now.
    #[must_use]
    pub fn counts(&self) -> ModelHostCounts {
        self.shared.counts.borrow().clone()
    }

    /// Waits until what it has seen satisfies a condition; put a time limit around it.
    ///
    /// # Errors
    /// Never while the host lives.
    pub async fn until(&self, condition: impl FnMut(&ModelHostCounts) -> bool) -> Result<()> {
        let mut counts = self.shared.counts.subscribe();
        counts.wait_for(condition).await.context("the model host has ended")?;
        Ok(())
    }
}

impl Shared {
    fn switches_for(&self, name: &str) -> ModelHostSwitches {
        let switches = self.switches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let concerned = switches.only.as_deref().is_none_or(|only| only == name);
        if concerned { switches } else { ModelHostSwitches { fault: Fault::None, ..switches } }
    }
}

async fn serve_file(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let credentials = ["authorization", "cookie"].iter().any(|name| headers.contains_key(*name));
    shared.counts.send_modify(|counts| {
        counts.requests += 1;
        counts.requests_with_credentials += u64::from(credentials);
    });
    let Some(path) = shared.files.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let switches = shared.switches_for(&name);
    if let Some(response) = instead_of_the_file(&switches.fault, &name, query.as_deref()) {
        return response;
    }
    match open(path).await {
        Ok((file, metadata)) => {
            respond(&shared, &switches, file, &metadata, &method, &headers).await
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The faults that answer without a file.
fn instead_of_the_file(fault: &Fault, name: &str, query: Option<&str>) -> Option<Response> {
    match fault {
        Fault::Redirect { to } => Some(redirect(to)),
        Fault::RedirectChain { hops } => {
            let taken = query.and_then(|q| q.strip_prefix("hop=")).and_then(|n| n.parse().ok());
            let taken: u32 = taken.unwrap_or(0);
            (taken < *hops).then(|| redirect(&format!("{FILES_PATH}/{name}?hop={}", taken + 1)))
        }
        Fault::Status(code) => Some(
            StatusCode::from_u16(*code)
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
                .into_response(),
        ),
        Fault::None
        | Fault::FlipByte { .. }
        | Fault::CutAfter { .. }
        | Fault::StallAfter { .. }
        | Fault::Endless
        | Fault::ContentLength { .. }
        | Fault::IgnoreRange
        | Fault::WrongRange => None,
    }
}

fn redirect(to: &str) -> Response {
    (StatusCode::FOUND, [(LOCATION, to)]).into_response()
}

async fn open(path: &PathBuf) -> std::io::Result<(tokio::fs::File, Metadata)> {
    let file = tokio::fs::File::open(path).await?;
    let metadata = file.metadata().await?;
    Ok((file, metadata))
}

async fn respond(
    shared: &Arc<Shared>,
    switches: &ModelHostSwitches,
    file: tokio::fs::File,
    metadata: &Metadata,
    method: &Method,
    headers: &HeaderMap,
) -> Response {
    let length = metadata.len();
    let etag = etag(metadata);
    let asked = asked_part(shared, headers, length, &etag);
    if asked == Asked::Unsatisfiable {
        let whole = format!("bytes */{length}");
        return (StatusCode::RANGE_NOT_SATISFIABLE, [(CONTENT_RANGE, whole)]).into_response();
    }
    let part = match (&switches.fault, asked) {
        (Fault::IgnoreRange | Fault::Endless, _) | (_, Asked::Whole | Asked::Unsatisfiable) => None,
        (_, Asked::Part(part)) => Some(part),
    };
    let sent = match (&switches.fault, part) {
        (Fault::WrongRange, Some(part)) => ByteRange { first: 0, length: part.length },
        (_, Some(part)) => part,
        (_, None) => ByteRange { first: 0, length },
    };
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        match FileBody::open(file, sent, switches, shared).await {
            Ok(body) => Body::from_stream(body.into_stream()),
            Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    match switches.fault {
        Fault::Endless => {}
        Fault::ContentLength { bytes } => {
            headers.insert(CONTENT_LENGTH, bytes.into());
        }
        _ => {
            headers.insert(CONTENT_LENGTH, sent.length.into());
        }
    }
    if let Some(part) = part {
        if let Ok(value) = HeaderValue::from_str(&part.content_range(length)) {
            headers.insert(CONTENT_RANGE, value);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// The part the client wants, counted; an `If-Range` that does not match asks for the whole
/// (RFC 9110 section 13.1.5).
fn asked_part(shared: &Shared, headers: &HeaderMap, length: u64, etag: &str) -> Asked {
    let Some(value) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else {
        return Asked::Whole;
    };
    let asked = range::parse(value, length);
    if let Asked::Part(part) = asked {
        shared.counts.send_modify(|counts| {
            counts.range_requests += 1;
            counts.range_starts.push(part.first);
        });
    }
    match headers.get(IF_RANGE) {
        Some(expected) if expected.as_bytes() != etag.as_bytes() => Asked::Whole,
        Some(_) | None => asked,
    }
}

/// A strong validator: it changes when the file is replaced or written.
fn etag(metadata: &Metadata) -> String {
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    format!("\"{:x}-{:x}-{seconds:x}.{nanoseconds:x}\"", metadata.ino(), metadata.len())
}
