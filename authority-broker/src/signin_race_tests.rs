//! Attempts that race with a stranger's answer, and thousands of them in a row (contract 6).

use std::collections::HashSet;
use std::time::Duration;

use tokio::net::TcpStream;

use super::tests::{Request1, browse, browse_over, outcome, right, stand};

/// But for the clock's.
fn without_date(page: &str) -> String {
    page.lines().filter(|line| !line.starts_with("date:")).collect()
}

/// A stranger's answer and the browser's, connected before either says a word. What the first is
/// told, and what the second, is the same for every pair of a right and a wrong `state`; and
/// whoever comes second changes nothing.
#[tokio::test]
async fn neither_who_wins_a_race_nor_who_loses_it_learns_whether_its_state_was_right() {
    let (mut told_first, mut told_second) = (HashSet::new(), HashSet::new());
    for (first_is_right, second_is_right) in
        [(true, true), (true, false), (false, true), (false, false)]
    {
        let stand = stand();
        let mut stream = stand.attempt();
        let request = Request1::of(&mut stream).await;
        let query = |is_right| match is_right {
            true => right(&stand)(&request),
            false => "code=c&state=wrong".to_owned(),
        };
        // Taken by the listener before the one that wins: it is asked for later.
        let second = TcpStream::connect(request.authority()).await.unwrap();
        told_first.insert(without_date(&browse(&request, &query(first_is_right)).await));
        let page = browse_over(second, &request, &query(second_is_right)).await;
        told_second.insert(without_date(&page));
        let expected = if first_is_right { Ok(()) } else { Err("state_mismatch".to_owned()) };
        assert_eq!(outcome(&mut stream).await, expected);
        assert!(TcpStream::connect(request.authority()).await.is_err(), "a third is heard");
    }
    assert_eq!((told_first.len(), told_second.len()), (1, 1), "{told_first:?}, {told_second:?}");
    assert!(told_first.iter().all(|page| page.starts_with("HTTP/1.1 200")));
    assert!(told_second.iter().all(|page| page.starts_with("HTTP/1.1 404")), "{told_second:?}");
}

/// Attempts that are cancelled, answered wrongly and answered rightly, one after another.
#[tokio::test]
async fn two_thousand_attempts_leave_no_descriptor_open() {
    let stand = stand();
    let answer = right(&stand);
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut after_the_first = None;
    for round in 0..2000 {
        match round % 3 {
            0 => {
                let mut stream = stand.attempt();
                Request1::of(&mut stream).await;
            }
            1 => {
                let refused = stand.answered(|_| "code=c&state=wrong".to_owned()).await;
                assert_eq!(refused, Err("state_mismatch".to_owned()));
            }
            _ => assert_eq!(stand.answered(&answer).await, Ok(())),
        }
        if round == 2 {
            after_the_first = Some(descriptors());
        }
    }
    // What the last attempts closed may still be on its way out of the runtime.
    let bound = after_the_first.unwrap() + 16;
    let settled = async {
        while descriptors() > bound {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settled).await.unwrap();
}
