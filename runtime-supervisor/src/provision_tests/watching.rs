//! Watching a download as a person does.

use super::*;
use crate::downloads::{Downloads, Told, Watcher};

/// Of this world's artifact.
pub(super) fn watched(world: &World) -> Watcher {
    let downloads = Downloads::new(Arc::clone(&world.store), world.fetcher.clone());
    downloads.join(Wanted::judge(&world.artifact(), &[AUTHORITY.to_owned()]).unwrap())
}

/// Waits until so many bytes are here.
pub(super) async fn sees(watcher: &mut Watcher, received: u64) {
    loop {
        match watcher.next().await {
            Told::Progress(shown) if shown.received == received => return,
            Told::Progress(_) => {}
            Told::Ended(outcome) => panic!("{outcome:?}"),
        }
    }
}

/// How it ends, and the bytes that were shown last.
pub(super) async fn end_of(watcher: &mut Watcher) -> (Result<(), Reason>, u64) {
    let mut last = 0;
    loop {
        match watcher.next().await {
            Told::Progress(shown) => last = shown.received,
            Told::Ended(outcome) => return (outcome, last),
        }
    }
}

pub(super) async fn outcome_of(mut watcher: Watcher) -> Result<(), Reason> {
    end_of(&mut watcher).await.0
}
