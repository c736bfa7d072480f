//! Where tough's bytes come from: the gateway, this disk, or the copy of what last came.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authority_core::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode};
use monitor_api::MonitorRefusal;
use peer_socket::MonitorError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tough::{Bytes, Transport, TransportError, TransportErrorKind, TransportStream, async_trait};
use url::Url;
use zeroize::Zeroizing;

use super::UpdateFault;
use crate::https::{Https, HttpsError};
use crate::limits::{METADATA_BYTES, TARGETS_BYTES};

/// Metadata files by name, as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OfflineCopy(pub(super) BTreeMap<String, Bytes>);

impl Serialize for OfflineCopy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, bytes)| (name, STANDARD.encode(bytes))))
    }
}

impl<'de> Deserialize<'de> for OfflineCopy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let encoded = BTreeMap::<String, String>::deserialize(deserializer)?;
        let decode = |(name, text): (String, String)| {
            let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
            Ok((name, Bytes::from(bytes)))
        };
        encoded.into_iter().map(decode).collect::<Result<_, _>>().map(Self)
    }
}

/// tough's transport over the handed connections and files.
#[derive(Clone)]
pub(super) struct CatalogTransport {
    https: Https,
    /// Nothing outside this prefix is asked for, and the bearer token goes nowhere else.
    metadata_base: Url,
    bearer: Option<Arc<Secret>>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    files: BTreeMap<String, Bytes>,
    fault: Option<UpdateFault>,
}

impl fmt::Debug for CatalogTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CatalogTransport")
    }
}

impl CatalogTransport {
    pub(super) fn new(https: Https, metadata_base: Url, bearer: Option<Secret>) -> Self {
        Self { https, metadata_base, bearer: bearer.map(Arc::new), seen: Arc::default() }
    }

    /// The files that came.
    pub(super) fn copy(&self) -> OfflineCopy {
        OfflineCopy(self.seen().files.clone())
    }

    /// What kept a file from coming, if that is what happened.
    pub(super) fn fault(&self) -> Option<UpdateFault> {
        self.seen().fault
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn file(&self, name: &str, url: &Url) -> Result<Bytes, TransportErrorKind> {
        let limit = if name.ends_with("targets.json") { TARGETS_BYTES } else { METADATA_BYTES };
        match self.metadata_base.scheme() {
            "file" => self.disk_file(name, limit).await,
            _ => self.gateway_file(name, url, limit).await,
        }
    }

    async fn disk_file(&self, name: &str, limit: usize) -> Result<Bytes, TransportErrorKind> {
        let file = match self.https.connections().catalog_file(name).await {
            Ok(file) => file,
            Err(MonitorError::Refused(MonitorRefusal::NotThere))
                if name.ends_with(".root.json") =>
            {
                return Err(TransportErrorKind::FileNotFound);
            }
            Err(_) => return self.fails(UpdateFault::Unreachable),
        };
        match tokio::task::spawn_blocking(move || read_whole(file, limit)).await {
            Ok(Ok(Some(bytes))) => Ok(bytes),
            Ok(Ok(None)) => Err(TransportErrorKind::Other),
            Ok(Err(_)) | Err(_) => self.fails(UpdateFault::Unreachable),
        }
    }

    async fn gateway_file(
        &self,
        name: &str,
        url: &Url,
        limit: usize,
    ) -> Result<Bytes, TransportErrorKind> {
        let answer = match self.https.send(self.request(url)?, limit).await {
            Ok(answer) => answer,
            // Endless data is the repository's doing and refused, not waited out.
            Err(HttpsError::TooLarge) => return Err(TransportErrorKind::Other),
            Err(_) => return self.fails(UpdateFault::Unreachable),
        };
        match answer.status {
            StatusCode::OK => Ok(Bytes::copy_from_slice(&answer.body)),
            StatusCode::NOT_FOUND if name.ends_with(".root.json") => {
                Err(TransportErrorKind::FileNotFound)
            }
            StatusCode::UNAUTHORIZED => self.fails(UpdateFault::Unauthorized),
            _ => self.fails(UpdateFault::Unreachable),
        }
    }

    fn request(&self, url: &Url) -> Result<Request<Vec<u8>>, TransportErrorKind> {
        let other = |_| TransportErrorKind::Other;
        let mut request = Request::builder().uri(url.as_str()).header(ACCEPT, "application/json");
        if let Some(bearer) = &self.bearer {
            let text = bearer.expose_text().map_err(other)?;
            let value = Zeroizing::new(format!("Bearer {text}"));
            let mut value = HeaderValue::from_str(&value).map_err(|_| TransportErrorKind::Other)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        request.body(Vec::new()).map_err(|_| TransportErrorKind::Other)
    }

    fn fails(&self, fault: UpdateFault) -> Result<Bytes, TransportErrorKind> {
        self.seen().fault = Some(fault);
        Err(TransportErrorKind::Other)
    }

    /// The name of a file directly below the metadata's place.
    fn name_of(&self, url: &Url) -> Option<String> {
        let name = url.as_str().strip_prefix(self.metadata_base.as_str())?;
        (!name.is_empty() && !name.contains(['/', '?', '#'])).then(|| name.to_owned())
    }
}

#[async_trait]
impl Transport for CatalogTransport {
    /// tough takes every failure of `fetch` itself for "there is no newer root". Only a file that
    /// is truly not there may say so; all else fails in the stream, which tough does not overlook.
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let Some(name) = self.name_of(&url) else {
            return Ok(failing(TransportErrorKind::UnsupportedUrlScheme));
        };
        match self.file(&name, &url).await {
            Ok(bytes) => {
                self.seen().files.insert(name, bytes.clone());
                Ok(whole(bytes))
            }
            Err(kind @ TransportErrorKind::FileNotFound) => Err(TransportError::new(kind, "")),
            Err(kind) => Ok(failing(kind)),
        }
    }
}

/// tough's transport over a copy.
#[derive(Debug, Clone)]
pub(super) struct CopyTransport(pub(super) OfflineCopy);

#[async_trait]
impl Transport for CopyTransport {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let name = url.path_segments().and_then(|mut segments| segments.next_back());
        match name.and_then(|name| self.0.0.get(name)) {
            Some(bytes) => Ok(whole(bytes.clone())),
            None => Err(TransportError::new(TransportErrorKind::FileNotFound, "")),
        }
    }
}

/// A file of at most `limit` bytes; `None` when it is longer.
fn read_whole(file: File, limit: usize) -> io::Result<Option<Bytes>> {
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= limit).then(|| Bytes::from(bytes)))
}

fn whole(bytes: Bytes) -> TransportStream {
    Box::pin(stream::iter([Ok(bytes)]))
}

fn failing(kind: TransportErrorKind) -> TransportStream {
    Box::pin(stream::iter([Err(TransportError::new(kind, ""))]))
}
