//! One file over several connections (contract 8): every rule of one connection holds, and a
//! server that does not allow it, or fails at it, serves over one.

use std::time::Duration;

use super::watching::{outcome_of, sees, watched};
use super::*;
use crate::limits::{CONNECTIONS, STALL};

const SIZE: u64 = 300_000;

fn world() -> World {
    World::in_segments_of(SMALL_SEGMENT)
}

/// The clock of the test jumps over the time that a connection may be silent.
async fn nothing_comes_for_too_long() {
    tokio::time::pause();
    tokio::time::advance(STALL + Duration::from_secs(1)).await;
    tokio::time::resume();
}

/// Parts that were asked for: their first bytes, in order.
fn firsts(world: &World) -> Vec<u64> {
    let first = |head: &String| head.split("range: bytes=").nth(1)?.split('-').next()?.parse().ok();
    let mut firsts: Vec<u64> = world.host.heads().iter().filter_map(first).collect();
    firsts.sort_unstable();
    firsts
}

fn every_segment() -> Vec<u64> {
    (0..SIZE).step_by(usize::try_from(SMALL_SEGMENT).unwrap()).collect()
}

#[tokio::test]
async fn each_part_is_asked_for_once_over_as_many_connections_as_there_may_be() {
    let world = world();
    let (outcome, progress) = world.pull().await;
    assert_eq!((outcome, *progress.last().unwrap()), (Ok(()), SIZE));
    assert_eq!(firsts(&world), every_segment());
    assert_eq!(world.host.accepted(), CONNECTIONS);
    let heads = world.host.heads();
    assert!(heads[0].contains("range: bytes=0-19999\r\n") && !heads[0].contains("if-range"));
    assert!(heads[1..].iter().all(|head| head.contains("\r\nif-range: \"first\"\r\n")));
    assert!(heads.iter().all(|head| !head.contains("connection: close")));
}

#[tokio::test]
async fn parts_may_arrive_in_any_order() {
    for order in [[60_000, 40_000, 20_000, 0], [20_000, 60_000, 0, 40_000]] {
        let world = world();
        for first in order {
            world.host.conducts_from(first, Conduct::HoldAfter(first));
        }
        let pull = world.pull();
        let releases = async {
            world.host.has_held(CONNECTIONS).await;
            for first in order {
                world.host.release(first);
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(tokio::join!(pull, releases).0.0, Ok(()));
        assert_eq!(firsts(&world), every_segment());
    }
}

#[tokio::test]
async fn a_server_without_ranges_is_read_in_one_piece_and_asked_once() {
    let world = world();
    world.host.conducts(Conduct::WithoutRanges);
    assert_eq!(world.pull().await.0, Ok(()));
    assert_eq!(world.host.heads().len(), 1);
}

/// Without a strong tag nobody can say that two parts are of one file.
#[tokio::test]
async fn a_server_without_a_strong_tag_or_that_does_not_keep_connections_serves_over_one() {
    for (tag, conduct) in
        [("W/\"weak\"", Conduct::Serve), ("\"first\"", Conduct::Leaves { says: true })]
    {
        let world = world();
        world.host.tags(tag);
        world.host.conducts(conduct);
        assert_eq!(world.pull().await.0, Ok(()));
        let heads = world.host.heads();
        assert_eq!(heads.len(), 2);
        assert!(!heads[1].contains("range:") && heads[1].contains("connection: close"));
    }
}

#[tokio::test]
async fn a_server_that_leaves_without_a_word_is_dialled_again() {
    let world = world();
    world.host.conducts(Conduct::Leaves { says: false });
    assert_eq!(world.pull().await.0, Ok(()));
    assert_eq!(firsts(&world), every_segment());
    assert_eq!(world.host.accepted(), every_segment().len());
}

#[tokio::test]
async fn a_server_that_allows_one_connection_serves_all_parts_over_it() {
    let world = world();
    world.host.accepts(1);
    assert_eq!(world.pull().await.0, Ok(()));
    assert_eq!(world.host.accepted(), CONNECTIONS);
    assert_eq!(firsts(&world), every_segment());
}

#[tokio::test]
async fn a_part_that_is_refused_or_is_another_one_is_asked_for_by_another_connection() {
    for wrong in [Conduct::Misplaces, Conduct::Status("503 Service Unavailable")] {
        let world = world();
        world.host.conducts_from(40_000, wrong);
        assert_eq!(world.pull().await.0, Ok(()));
        let again = [&every_segment()[..3], &every_segment()[2..]].concat();
        assert_eq!(firsts(&world), again);
    }
}

#[tokio::test]
async fn a_server_whose_every_part_is_another_one_serves_over_one_connection() {
    let world = world();
    world.host.conducts_from(0, Conduct::Misplaces);
    assert_eq!(world.pull().await.0, Ok(()));
    assert_eq!(world.host.heads().len(), 2);
}

#[tokio::test]
async fn a_connection_that_is_cut_gives_its_rest_to_another() {
    let world = world();
    world.host.conducts_from(40_000, Conduct::CutAfter(50_000));
    assert_eq!(world.pull().await.0, Ok(()));
    assert!(firsts(&world).contains(&50_000));
    assert!(world.host.heads().iter().any(|head| head.contains("range: bytes=50000-59999")));
}

/// As over one connection: it comes anew from its first byte, and only the signed bytes are taken.
#[tokio::test]
async fn a_file_that_changes_between_two_parts_is_fetched_from_its_first_byte() {
    let world = world();
    world.host.conducts_from(20_000, Conduct::HoldAfter(20_000));
    let changes = async {
        world.host.has_held(1).await;
        world.host.tags("\"second\"");
        world.host.release(20_000);
    };
    let ((outcome, progress), ()) = tokio::join!(world.pull(), changes);
    assert_eq!(outcome, Ok(()));
    let last = world.host.heads().pop().unwrap();
    assert!(last.contains("-\r\nif-range: \"first\"\r\n"), "{last}");
    let begun_again = progress.iter().rposition(|received| *received == 0);
    assert!(begun_again.is_some_and(|index| index > 0), "{progress:?}");
}

#[tokio::test]
async fn a_part_of_a_file_with_another_tag_is_not_taken() {
    let world = world();
    world.host.conducts_from(100_000, Conduct::Retags("\"other\""));
    assert_eq!(world.pull().await.0, Ok(()));
    let last = world.host.heads().pop().unwrap();
    assert!(last.contains("-\r\nif-range: \"first\"\r\n"), "{last}");
}

#[tokio::test]
async fn wrong_bytes_in_one_part_are_refused_and_deleted() {
    let world = world();
    let mut wrong = world.host.bytes().to_vec();
    wrong[123_456] ^= 1;
    let artifact = artifact_of(&wrong, Kind::Model);
    assert_eq!(world.pull_as(&artifact).await.0, Err(Reason::DigestMismatch));
    assert_eq!(world.files(), 0);
}

#[tokio::test]
async fn a_connection_that_is_silent_for_too_long_gives_its_rest_to_another() {
    let world = world();
    world.host.conducts_from(0, Conduct::HoldAfter(10_000));
    let mut watcher = watched(&world);
    // The others have filled the window behind it.
    sees(&mut watcher, 70_000).await;
    nothing_comes_for_too_long().await;
    assert_eq!(outcome_of(watcher).await, Ok(()));
    assert!(world.host.heads().iter().any(|head| head.contains("range: bytes=10000-19999")));
}

#[tokio::test]
async fn silence_on_every_connection_is_a_stalled_download_that_the_next_pull_resumes() {
    let world = world();
    world.host.conducts(Conduct::HoldAfter(10_000));
    let mut watcher = watched(&world);
    world.host.has_held(CONNECTIONS).await;
    sees(&mut watcher, 10_000).await;
    nothing_comes_for_too_long().await;
    assert_eq!(outcome_of(watcher).await, Err(Reason::DownloadStalled));
    world.host.conducts(Conduct::Serve);
    let (outcome, progress) = world.pull().await;
    assert_eq!((outcome, progress[0]), (Ok(()), 10_000));
}

#[tokio::test]
async fn what_came_in_order_before_a_cancel_is_resumed_in_parts() {
    let world = world();
    world.host.conducts(Conduct::HoldAfter(50_000));
    let mut watcher = watched(&world);
    sees(&mut watcher, 50_000).await;
    drop(watcher);
    world.host.conducts(Conduct::Serve);
    let asked = world.host.heads().len();
    assert_eq!(world.pull().await.0, Ok(()));
    let resumed = &world.host.heads()[asked];
    assert!(resumed.contains("range: bytes=50000-69999\r\nif-range: \"first\"\r\n"), "{resumed}");
}
