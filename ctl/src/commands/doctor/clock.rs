//! The clock: signatures, sessions and certificates expire by it.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

use super::check::Check;

pub(super) fn check() -> Check {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    judge(now, env!("COMPANION_BUILT_AT").parse().ok())
}

/// Times are in seconds since the epoch.
fn judge(now: u64, built: Option<u64>) -> Check {
    let day = |seconds: u64| {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        OffsetDateTime::from_unix_timestamp(seconds)
            .map_or_else(|_| "a day beyond reckoning".to_owned(), |time| time.date().to_string())
    };
    match built {
        Some(built) if now < built => Check::fail(
            "clock",
            format!(
                "The clock says {}, before this program was built ({}): nothing that expires \
                 can be judged.",
                day(now),
                day(built)
            ),
            "Set it: `sudo timedatectl set-ntp true`.",
        ),
        Some(_) => Check::ok("clock", format!("The clock says {}.", day(now))),
        None => Check::warn(
            "clock",
            "This program does not know when it was built, so the clock was not compared.",
            "Compare it yourself: `date`.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    #[test]
    fn a_clock_before_the_build_fails() {
        assert_eq!(judge(1_800_000_000, Some(1_799_999_999)).state, State::Ok);
        assert_eq!(judge(1_800_000_000, Some(1_800_000_000)).state, State::Ok);
        let behind = judge(0, Some(1_800_000_000));
        assert_eq!(behind.state, State::Fail);
        assert!(behind.meaning.contains("1970-01-01") && behind.meaning.contains("2027-01-15"));
        assert_eq!(judge(1, None).state, State::Warn);
        assert_eq!(judge(u64::MAX, Some(1)).state, State::Ok);
    }

    #[test]
    fn this_program_knows_when_it_was_built() {
        assert!(env!("COMPANION_BUILT_AT").parse::<u64>().is_ok());
    }
}
