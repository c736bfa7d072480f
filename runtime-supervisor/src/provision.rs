//! One artifact from the catalog's plain values to a verified file in the store (contract 8).

use std::sync::Arc;

use bytes::Bytes;
use runtime_api::v1;
use runtime_core::bounds::MAX_SOURCES;
use runtime_core::{
    AllowedSources, PermittedUrl, Reason, Spec, is_artifact_id, validate_source, validate_spec,
};
use tokio::sync::mpsc;

use crate::fetch::{Download, Fetcher, Part, Wish};
use crate::import::import;
use crate::limits::{FEW_PIECES, GATHERING, LOCK_PAUSE, QUEUED_PIECES};
use crate::progress::Progress;
use crate::segments::Segments;
use crate::store::{Kind, Origin, Partial, Store};

/// An artifact whose every value was judged.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Catalog id.
    pub(crate) id: String,
    /// What it is for.
    pub(crate) kind: Kind,
    /// What its bytes must be.
    pub(crate) spec: Spec,
    places: Vec<Place>,
}

/// Where its bytes lie.
#[derive(Debug)]
enum Place {
    /// At a model host; redirects stay within the sources.
    Web { url: PermittedUrl, sources: Arc<AllowedSources> },
    /// Beside a catalog of this disk, by the file's name.
    Disk(String),
}

impl Wanted {
    /// Judges the catalog's values; `hosts` are those of the configuration.
    ///
    /// # Errors
    /// [`Reason::MalformedSpec`], [`Reason::SchemeNotAllowed`], [`Reason::SourceNotAllowed`].
    pub(crate) fn judge(artifact: &v1::Artifact, hosts: &[String]) -> Result<Self, Reason> {
        let (id, kind, spec) = judge_values(artifact)?;
        let places = match artifact.import.is_empty() {
            true => Place::on_the_web(artifact, hosts)?,
            false if artifact.urls.is_empty() => vec![Place::Disk(artifact.import.clone())],
            false => return Err(Reason::MalformedSpec),
        };
        Ok(Self { id, kind, spec, places })
    }
}

impl Place {
    fn on_the_web(artifact: &v1::Artifact, hosts: &[String]) -> Result<Vec<Self>, Reason> {
        let sources = AllowedSources::parse(&artifact.allowed_sources, hosts)?;
        if artifact.urls.is_empty() || artifact.urls.len() > MAX_SOURCES {
            return Err(Reason::SourceNotAllowed);
        }
        let sources = Arc::new(sources);
        let permit = |url: &String| {
            let url = validate_source(url, &sources)?;
            Ok(Self::Web { url, sources: Arc::clone(&sources) })
        };
        artifact.urls.iter().map(permit).collect()
    }
}

/// Judges what needs no source: id, kind, digest and size.
pub(crate) fn judge_values(artifact: &v1::Artifact) -> Result<(String, Kind, Spec), Reason> {
    let kind = match artifact.kind() {
        v1::ArtifactKind::Model => Kind::Model,
        v1::ArtifactKind::Runtime => Kind::Runtime,
        v1::ArtifactKind::RuntimeArchive => Kind::Archive,
        v1::ArtifactKind::Unspecified => return Err(Reason::MalformedSpec),
    };
    if !is_artifact_id(&artifact.id) {
        return Err(Reason::MalformedSpec);
    }
    Ok((artifact.id.clone(), kind, validate_spec(&artifact.sha256, artifact.size_bytes)?))
}

/// Brings the artifact into the store, unless it is there. Dropping the future cancels; what is
/// on disk stays for the next attempt.
///
/// # Errors
/// One reason for each way it can fail; the store is then as it was, but for a partial file
/// that the next attempt resumes.
pub(crate) async fn provision(
    store: &Arc<Store>,
    fetcher: &Fetcher,
    wanted: &Wanted,
    progress: &Progress,
) -> Result<(), Reason> {
    let spec = wanted.spec;
    let lock = {
        let locked = store.lock(spec.digest());
        tokio::pin!(locked);
        loop {
            match tokio::time::timeout(LOCK_PAUSE, &mut locked).await {
                Ok(lock) => break lock?,
                // Somebody else downloads it: show how far they are.
                Err(_) => progress.shows(store.partial_bytes(spec)),
            }
        }
    };
    let kind = wanted.kind;
    let unfinished = on_disk(store, move |store| {
        if store.is_known_and_unchanged(spec, kind) {
            return Ok(None);
        }
        match store.verify_anew(spec, kind, &lock) {
            Ok(Some(_)) => Ok(None),
            // What was there is deleted; the bytes come anew.
            Ok(None) | Err(Reason::DigestMismatch | Reason::SizeMismatch) => {
                Partial::resume(store, spec, lock).map(Some)
            }
            Err(reason) => Err(reason),
        }
    })
    .await?;
    if let Some(partial) = unfinished {
        let _turn = fetcher.turn(partial.received(), progress).await;
        obtain(store, fetcher, wanted, partial, progress).await?;
    }
    match kind {
        Kind::Archive => on_disk(store, move |store| store.unpack(spec)).await,
        Kind::Model | Kind::Runtime => Ok(()),
    }
}

/// Gets every missing byte and verifies all of them, from one source after the other. What came
/// stays for the next attempt, but for bytes that cannot be the right ones.
async fn obtain(
    store: &Arc<Store>,
    fetcher: &Fetcher,
    wanted: &Wanted,
    mut partial: Partial,
    progress: &Progress,
) -> Result<(), Reason> {
    let size = wanted.spec.size();
    let mut reason = if store.free_bytes()? < size - partial.received() {
        Reason::DiskFull
    } else {
        Reason::SourceNotAllowed
    };
    let mut places = wanted.places.iter();
    let mut place = places.next().filter(|_| !is_of_the_disk(reason));
    while let Some(source) = place {
        let had = partial.received();
        let outcome;
        (partial, outcome) = receive(fetcher, source, partial, progress).await?;
        let outcome = match outcome {
            Ok(()) => complete(store, partial, wanted.kind).await?,
            Err(reason) => Err((partial, reason)),
        };
        (partial, reason) = match outcome {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        place = match reason {
            reason if is_of_the_disk(reason) => None,
            // Perhaps the bytes were wrong that were there before: this source gets to send all.
            Reason::DigestMismatch if had > 0 => Some(source),
            _ => places.next(),
        };
    }
    if reason == Reason::SizeMismatch || partial.received() == 0 {
        partial.discard();
    }
    Err(reason)
}

/// Verifies what is complete and moves it into the store, or gives it back without a byte.
async fn complete(
    store: &Arc<Store>,
    mut partial: Partial,
    kind: Kind,
) -> Result<Result<(), (Partial, Reason)>, Reason> {
    on_disk(store, move |store| match partial.verify() {
        Ok(bytes) => partial.admit(bytes, store, kind).map(Ok),
        Err(reason) => Ok(Err((partial, reason))),
    })
    .await
}

fn is_of_the_disk(reason: Reason) -> bool {
    matches!(reason, Reason::DiskFull | Reason::StoreUnavailable)
}

/// Receives what is missing from this source.
async fn receive(
    fetcher: &Fetcher,
    place: &Place,
    partial: Partial,
    progress: &Progress,
) -> Result<(Partial, Result<(), Reason>), Reason> {
    let (received, size) = (partial.received(), partial.spec().size());
    if received == size {
        return Ok((partial, Ok(())));
    }
    let (url, sources) = match place {
        Place::Web { url, sources } => (url, sources),
        Place::Disk(name) => return import(fetcher, name, partial, progress).await,
    };
    let source = format!("{}{}", url.host_header(), url.request_target());
    let mut partial = partial;
    let mut wish = first_wish(fetcher, received, size);
    loop {
        let etag = partial.tag_of(&source);
        let opened = fetcher.open(url.clone(), sources, wish, etag, size).await;
        let incoming = match opened {
            Ok(download) if download.part.end == size => Some(Incoming::Whole(download)),
            Ok(first) => Segments::from(fetcher, first, size).map(Incoming::Segments),
            Err(Reason::ServerRefused | Reason::SizeMismatch) if wish != Wish::Rest(received) => {
                None
            }
            Err(reason) => return Ok((partial, Err(reason))),
        };
        if let Some(incoming) = incoming {
            let outcome;
            (partial, outcome) = pump(partial, incoming, source.clone(), progress).await?;
            if outcome.is_err() || partial.received() == size {
                return Ok((partial, outcome));
            }
        }
        wish = Wish::Rest(partial.received());
    }
}

/// A first part, if there is enough for several; whether the server has parts its answer says.
fn first_wish(fetcher: &Fetcher, received: u64, size: u64) -> Wish {
    let segment = fetcher.segment();
    match size - received > 2 * segment {
        true => Wish::Part(Part { first: received, end: received + segment }),
        false => Wish::Rest(received),
    }
}

/// Bytes that come in the order of the file.
enum Incoming {
    /// All the rest of it, over one connection.
    Whole(Download),
    /// Over several, as far as they bring it.
    Segments(Segments),
}

impl Incoming {
    fn etag(&self) -> Option<String> {
        match self {
            Self::Whole(download) => download.etag.clone(),
            Self::Segments(segments) => Some(segments.etag().to_owned()),
        }
    }

    async fn next(&mut self, progress: &Progress) -> Result<Option<Bytes>, Reason> {
        match self {
            Self::Whole(download) => {
                let piece = download.next().await?;
                progress.shows(download.at());
                Ok(piece)
            }
            Self::Segments(segments) => segments.next(progress).await,
        }
    }

    /// Bytes of the file that are here.
    fn received(&self) -> u64 {
        match self {
            Self::Whole(download) => download.at(),
            Self::Segments(segments) => segments.received(),
        }
    }
}

/// Moves the bytes to the disk through a bounded queue, so that hashing and writing never hold
/// up the executor. Gives the partial file back with every byte that came.
async fn pump(
    mut partial: Partial,
    mut incoming: Incoming,
    source: String,
    progress: &Progress,
) -> Result<(Partial, Result<(), Reason>), Reason> {
    let offset = incoming.received();
    let origin = incoming.etag().map(|etag| Origin { source, etag });
    let (pieces, mut queue) = mpsc::channel::<Bytes>(QUEUED_PIECES);
    let writer = tokio::task::spawn_blocking(move || {
        let written = partial.continues(offset, origin).and_then(|()| {
            let mut pieces = Vec::with_capacity(QUEUED_PIECES);
            while queue.blocking_recv_many(&mut pieces, QUEUED_PIECES) > 0 {
                partial.append_all(&pieces)?;
                if pieces.len() < FEW_PIECES {
                    // To be woken for each would take longer than to write it.
                    std::thread::sleep(GATHERING);
                }
                pieces.clear();
            }
            Ok(())
        });
        (partial, written)
    });
    progress.begins_at(offset);
    let outcome = loop {
        match incoming.next(progress).await {
            Ok(Some(piece)) => {
                if pieces.send(piece).await.is_err() {
                    // The writer says why.
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(reason) => break Err(reason),
        }
    };
    drop(pieces);
    let (partial, written) = writer.await.map_err(|_| Reason::StoreUnavailable)?;
    Ok((partial, written.and(outcome)))
}

async fn on_disk<T: Send + 'static>(
    store: &Arc<Store>,
    act: impl FnOnce(&Store) -> Result<T, Reason> + Send + 'static,
) -> Result<T, Reason> {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || act(&store)).await.map_err(|_| Reason::StoreUnavailable)?
}
