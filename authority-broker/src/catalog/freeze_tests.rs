//! A gateway that goes on giving out what was right once (a freeze): taken while it is unexpired,
//! refused from the moment one of its roles ends, whatever is held in memory or on disk.

use std::num::NonZeroU64;
use std::time::{Duration, UNIX_EPOCH};

use authority_core::Reason;
use tokio::time::sleep;
use tough::schema::Timestamp;

use super::repository::{Expiries, FUTURE, PAST, Repository};
use super::tests::{Stand, ids, model, only, startable};
use crate::clock;

/// RFC 3339 of seconds since the epoch, as the library itself writes it.
fn written(seconds: u64) -> String {
    let mut role = Timestamp::new(String::new(), NonZeroU64::MIN, FUTURE.parse().unwrap());
    role.expires = (UNIX_EPOCH + Duration::from_secs(seconds)).try_into().unwrap();
    role.expires.to_string()
}

async fn frozen(role: &str) {
    let repository = Repository::new().await;
    let stand = Stand::new(&repository);
    let custom = model("m");
    // On a slow machine it may end before it is seen: then one that lasts longer.
    let mut taken = None;
    for (version, lasting) in (1..).zip([3, 6, 12, 24]) {
        let end = clock::now() + lasting;
        let mut until = Expiries::all(FUTURE);
        match role {
            "timestamp" => until.timestamp = written(end),
            "snapshot" => until.snapshot = written(end),
            _ => until.targets = written(end),
        }
        repository.publish_until(version, until, std::slice::from_ref(&custom)).await;
        let broker = stand.started();
        if ids(&broker).await == only("m") && clock::now() < end {
            taken = Some((broker, end));
            break;
        }
    }
    let (broker, end) = taken.expect("taken while unexpired");
    while clock::now() <= end {
        sleep(Duration::from_millis(50)).await;
    }
    let refused = Err(Reason::ManifestUntrusted);
    assert_eq!(startable(&broker).await, refused, "{role}: held in memory");
    assert_eq!(ids(&broker).await, refused, "{role}: held in memory");
    let restarted = stand.started();
    assert_eq!(startable(&restarted).await, refused, "{role}: on disk");
    assert_eq!(ids(&restarted).await, refused, "{role}: given out again");
    stand.fail();
    let offline = stand.started();
    assert_eq!(startable(&offline).await, Err(Reason::CatalogUnreachable), "{role}: offline");
}

#[tokio::test]
async fn a_frozen_catalog_is_taken_while_unexpired_and_refused_once_any_role_has_ended() {
    tokio::join!(frozen("timestamp"), frozen("snapshot"), frozen("targets"));
}

/// What had ended by then would be taken anew: a clock that was ahead once has to come there again.
#[tokio::test]
async fn a_clock_that_is_behind_the_last_update_gives_no_catalog() {
    let repository = Repository::new().await;
    repository.publish(1, FUTURE, &[model("m")]).await;
    let stand = Stand::new(&repository);
    assert_eq!(ids(&stand.started()).await, only("m"));
    let known = stand.datastore().join("latest_known_time.json");
    for (time, expected) in [(FUTURE, Err(Reason::ManifestUntrusted)), (PAST, only("m"))] {
        std::fs::write(&known, format!("\"{time}\"")).unwrap();
        assert_eq!(ids(&stand.started()).await, expected, "{time}");
        assert_eq!(startable(&stand.started()).await, expected, "{time}");
    }
}
