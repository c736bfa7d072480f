//! One artifact from the catalog's plain values to a verified file in the store (contract 8).

use std::sync::Arc;

use bytes::Bytes;
use runtime_api::v1;
use runtime_core::bounds::MAX_SOURCES;
use runtime_core::{
    AllowedSources, PermittedUrl, Reason, Spec, is_artifact_id, validate_source, validate_spec,
};
use tokio::sync::mpsc;

use crate::fetch::{Download, Fetcher};
use crate::limits::{LOCK_PAUSE, QUEUED_PIECES};
use crate::progress::Progress;
use crate::store::{Kind, Partial, Store};

/// An artifact whose every value was judged.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Catalog id.
    pub(crate) id: String,
    /// What it is for.
    pub(crate) kind: Kind,
    /// What its bytes must be.
    pub(crate) spec: Spec,
    urls: Vec<PermittedUrl>,
    sources: AllowedSources,
}

impl Wanted {
    /// Judges the catalog's values; `hosts` are those of the configuration.
    ///
    /// # Errors
    /// [`Reason::MalformedSpec`], [`Reason::SchemeNotAllowed`], [`Reason::SourceNotAllowed`].
    pub(crate) fn judge(artifact: &v1::Artifact, hosts: &[String]) -> Result<Self, Reason> {
        let (id, kind, spec) = judge_values(artifact)?;
        let sources = AllowedSources::parse(&artifact.allowed_sources, hosts)?;
        let urls: Vec<_> = artifact
            .urls
            .iter()
            .map(|url| validate_source(url, &sources))
            .collect::<Result<_, _>>()?;
        if urls.is_empty() || urls.len() > MAX_SOURCES {
            return Err(Reason::SourceNotAllowed);
        }
        Ok(Self { id, kind, spec, urls, sources })
    }
}

/// Judges what needs no source: id, kind, digest and size.
pub(crate) fn judge_values(artifact: &v1::Artifact) -> Result<(String, Kind, Spec), Reason> {
    let kind = match artifact.kind() {
        v1::ArtifactKind::Model => Kind::Model,
        v1::ArtifactKind::Runtime => Kind::Runtime,
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
    progress: &mut Progress,
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
    let Some(partial) = unfinished else { return Ok(()) };
    let partial = receive(store, fetcher, wanted, partial, progress).await?;
    on_disk(store, move |store| partial.finish(store, kind).map(|_| ())).await
}

/// Receives every missing byte, from one URL after the other. What cannot be resumed is deleted.
async fn receive(
    store: &Arc<Store>,
    fetcher: &Fetcher,
    wanted: &Wanted,
    mut partial: Partial,
    progress: &mut Progress,
) -> Result<Partial, Reason> {
    let size = wanted.spec.size();
    let mut outcome = if store.free_bytes()? < size - partial.received() {
        Err(Reason::DiskFull)
    } else {
        Err(Reason::SourceNotAllowed)
    };
    progress.begins_at(partial.received());
    for url in &wanted.urls {
        if partial.received() == size {
            outcome = Ok(());
        }
        if !outcome.is_err_and(may_try_elsewhere) {
            break;
        }
        let opened = fetcher.open(url.clone(), &wanted.sources, partial.received(), size).await;
        (partial, outcome) = match opened {
            Ok(download) => pump(partial, download, progress).await?,
            Err(reason) => (partial, Err(reason)),
        };
    }
    let Err(reason) = outcome else { return Ok(partial) };
    if reason == Reason::SizeMismatch || is_of_the_disk(reason) || partial.received() == 0 {
        partial.discard(store);
    }
    Err(reason)
}

/// Whether another source may do better.
fn may_try_elsewhere(reason: Reason) -> bool {
    reason != Reason::SizeMismatch && !is_of_the_disk(reason)
}

fn is_of_the_disk(reason: Reason) -> bool {
    matches!(reason, Reason::DiskFull | Reason::StoreUnavailable)
}

/// Moves one response to the disk through a bounded queue, so that hashing and writing never
/// hold up the executor. Gives the partial file back with every byte that came.
async fn pump(
    mut partial: Partial,
    mut download: Download,
    progress: &mut Progress,
) -> Result<(Partial, Result<(), Reason>), Reason> {
    let mut received = download.offset;
    let (pieces, mut queue) = mpsc::channel::<Bytes>(QUEUED_PIECES);
    let writer = tokio::task::spawn_blocking(move || {
        let restart = if received < partial.received() { partial.restart() } else { Ok(()) };
        let written = restart.and_then(|()| {
            while let Some(piece) = queue.blocking_recv() {
                partial.append(&piece)?;
            }
            Ok(())
        });
        (partial, written)
    });
    let outcome = loop {
        match download.next().await {
            Ok(Some(piece)) => {
                received += u64::try_from(piece.len()).unwrap_or(0);
                if pieces.send(piece).await.is_err() {
                    // The writer says why.
                    break Ok(());
                }
                progress.shows(received);
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
