//! How often a child may ask for one kind of thing: a token bucket for each row of the table.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::table::{Kind, Row};

/// Requests of one row: so many at once, and so many a second from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Requests that may come at once.
    pub(crate) burst: u32,
    /// Requests a second that may come for ever.
    pub(crate) per_second: u32,
}

/// What is left of one child's budgets.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    buckets: HashMap<Kind, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Between 0 and the burst.
    left: f64,
    at: Instant,
}

impl Budget {
    /// Takes one request of this row; false when there is none left.
    pub(crate) fn take(&mut self, row: &Row) -> bool {
        let now = Instant::now();
        let burst = f64::from(row.pace.burst);
        let bucket = self.buckets.entry(row.kind).or_insert(Bucket { left: burst, at: now });
        let gained = now.duration_since(bucket.at).as_secs_f64() * f64::from(row.pace.per_second);
        bucket.left = (bucket.left + gained).min(burst);
        bucket.at = now;
        let granted = bucket.left >= 1.0;
        if granted {
            bucket.left -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use monitor_api::{Ask, Destination, Role};

    use super::*;
    use crate::table::{TABLE, judge};

    #[tokio::test(start_paused = true)]
    async fn a_row_gives_its_burst_and_then_its_pace_and_no_more() {
        let mut budget = Budget::default();
        let row = judge(Role::Broker, &Ask::Open(Destination::SessionBus)).unwrap();
        let mut granted = |tries: u32| (0..tries).filter(|_| budget.take(row)).count();
        assert_eq!(granted(row.pace.burst * 3), row.pace.burst as usize);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(granted(row.pace.burst * 3), row.pace.per_second as usize);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(granted(row.pace.burst * 3), row.pace.burst as usize, "an hour saves no more");
    }

    #[tokio::test(start_paused = true)]
    async fn one_row_spent_leaves_the_others_whole() {
        let mut budget = Budget::default();
        let bus = judge(Role::Broker, &Ask::Open(Destination::SessionBus)).unwrap();
        while budget.take(bus) {}
        assert!(budget.take(judge(Role::Broker, &Ask::Ready).unwrap()));
    }

    #[test]
    fn every_row_has_a_pace() {
        for row in &TABLE {
            assert!(row.pace.burst >= row.pace.per_second && row.pace.per_second > 0);
        }
    }
}
