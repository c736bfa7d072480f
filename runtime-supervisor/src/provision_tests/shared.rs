//! Several who pull one artifact share one download, and each sees how far it is.

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
        let wanted = Wanted::judge(&self.world.artifact(), &[AUTHORITY.to_owned()]).unwrap();
        self.downloads.join(wanted)
    }

    fn requests(&self) -> usize {
        self.world.host.heads().len()
    }
}

async fn sees(watcher: &mut Watcher, received: u64) {
    loop {
        match watcher.next().await {
            Told::Progress(shown) if shown.received == received => return,
            Told::Progress(_) => {}
            Told::Ended(outcome) => panic!("{outcome:?}"),
        }
    }
}

async fn end_of(watcher: &mut Watcher) -> (Result<(), Reason>, u64) {
    let mut last = 0;
    loop {
        match watcher.next().await {
            Told::Progress(shown) => last = shown.received,
            Told::Ended(outcome) => return (outcome, last),
        }
    }
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
