//! Several who pull one artifact share one download, and each sees how far it is; pulls of several
//! artifacts come one after the other.

use super::watching::{end_of, sees};
use super::*;
use crate::downloads::{Downloads, Told, Watcher};

struct Shared {
    world: World,
    downloads: Downloads,
}

impl Shared {
    fn new() -> Self {
        let world = World::new();
        let downloads = Downloads::new(Arc::clone(&world.store), world.fetcher.clone());
        Self { world, downloads }
    }

    fn join(&self) -> Watcher {
        self.joins(&self.world.artifact())
    }

    fn joins(&self, artifact: &v1::Artifact) -> Watcher {
        self.downloads.join(Wanted::judge(artifact, &[AUTHORITY.to_owned()]).unwrap())
    }

    fn requests(&self) -> usize {
        self.world.host.heads().len()
    }
}

/// Another file of the same host, as it serves it there.
fn another(shared: &Shared) -> v1::Artifact {
    shared.world.host.conducts_at("another", Conduct::Flip(7));
    let mut bytes = shared.world.host.bytes().to_vec();
    bytes[7] ^= 1;
    let urls = vec!["https://models.localhost/models/another".to_owned()];
    v1::Artifact { urls, ..artifact_of(&bytes, Kind::Model) }
}

#[tokio::test]
async fn whoever_joins_sees_where_it_is_and_it_goes_on_when_the_first_one_leaves() {
    let shared = Shared::new();
    shared.world.host.conducts(Conduct::HoldAfter(200_000));
    let mut first = shared.join();
    sees(&mut first, 200_000).await;
    let mut second = shared.join();
    let at_once = second.next().await;
    assert!(matches!(at_once, Told::Progress(shown) if shown.received == 200_000), "{at_once:?}");
    drop(first);
    shared.world.host.release(0);
    assert_eq!(end_of(&mut second).await, (Ok(()), 300_000));
    assert_eq!(shared.requests(), 1);
}

#[tokio::test]
async fn it_is_cancelled_when_the_last_watcher_leaves_and_the_next_one_resumes_it() {
    let shared = Shared::new();
    shared.world.host.conducts(Conduct::HoldAfter(200_000));
    let (mut first, second) = (shared.join(), shared.join());
    sees(&mut first, 200_000).await;
    drop((first, second));
    shared.world.host.conducts(Conduct::Serve);
    assert_eq!(end_of(&mut shared.join()).await, (Ok(()), 300_000));
    assert!(shared.world.host.heads()[1].contains("range: bytes=200000-"));
}

#[tokio::test]
async fn all_who_watch_are_told_how_it_ended_and_a_later_pull_is_a_new_one() {
    let shared = Shared::new();
    shared.world.host.conducts(Conduct::Status("404 Not Found"));
    let (mut first, mut second) = (shared.join(), shared.join());
    assert_eq!(end_of(&mut first).await.0, Err(Reason::ServerRefused));
    assert_eq!(end_of(&mut second).await.0, Err(Reason::ServerRefused));
    assert_eq!(shared.requests(), 1);
    // Those who were told may still be there.
    shared.world.host.conducts(Conduct::Serve);
    let mut third = shared.join();
    assert_eq!(end_of(&mut third).await, (Ok(()), 300_000));
    assert_eq!(shared.requests(), 2);
}

#[tokio::test]
async fn pulls_of_several_artifacts_queue_and_each_is_served_in_its_turn() {
    let shared = Shared::new();
    shared.world.host.conducts_at("m", Conduct::HoldAfter(200_000));
    let mut first = shared.join();
    sees(&mut first, 200_000).await;
    let mut second = shared.joins(&another(&shared));
    let waits = second.next().await;
    assert!(matches!(waits, Told::Progress(shown) if shown.received == 0), "{waits:?}");
    // In the time of a whole download by somebody else it would have asked as well.
    let other = World { fetcher: shared.world.host.fetcher(), ..World::new() };
    let elsewhere = vec!["https://models.localhost/models/elsewhere".to_owned()];
    let whole = v1::Artifact { urls: elsewhere, ..shared.world.artifact() };
    assert_eq!(other.pull_as(&whole).await.0, Ok(()));
    let asked = |name: &str| shared.world.host.heads().iter().any(|head| head.contains(name));
    assert!(asked("/elsewhere ") && !asked("/another "), "it did not wait for its turn");
    shared.world.host.release(0);
    assert_eq!(end_of(&mut first).await.0, Ok(()));
    assert_eq!(end_of(&mut second).await, (Ok(()), 300_000));
    assert_eq!(shared.requests(), 3);
}

/// What needs no byte of a host waits for nobody.
#[tokio::test]
async fn who_leaves_the_queue_gives_up_the_turn_and_what_is_in_the_store_needs_none() {
    let shared = Shared::new();
    let stored = another(&shared);
    assert_eq!(end_of(&mut shared.joins(&stored)).await.0, Ok(()));
    shared.world.host.conducts_at("m", Conduct::HoldAfter(200_000));
    let mut first = shared.join();
    sees(&mut first, 200_000).await;
    assert_eq!(end_of(&mut shared.joins(&stored)).await.0, Ok(()));

    let third = v1::Artifact { sha256: "a".repeat(64), ..stored };
    let mut waiting = shared.joins(&third);
    waiting.next().await;
    drop((waiting, first));
    shared.world.host.conducts_at("m", Conduct::Serve);
    assert_eq!(end_of(&mut shared.join()).await, (Ok(()), 300_000));
}
