//! Free space where models and runtimes are kept.

use companion_settings::Dirs;

use super::check::Check;
use crate::terminal::size;

/// Less than this holds no download at all.
const TOO_LITTLE_BYTES: u64 = 256 << 20;
/// Less than this holds a small model only.
const LITTLE_BYTES: u64 = 4 << 30;

pub(super) fn check(dirs: &Dirs) -> Check {
    // A directory that is not there yet will be made where its nearest ancestor is.
    let there = dirs.data.ancestors().find(|path| path.exists());
    let facts = there.and_then(|path| rustix::fs::statvfs(path).ok());
    judge(facts.map(|facts| facts.f_bavail.saturating_mul(facts.f_frsize)))
}

fn judge(free: Option<u64>) -> Check {
    const MEND: &str = "Free some, or remove a model: `companionctl rm ID`.";
    match free {
        None => Check::fail(
            "disk",
            "The free space of the data directory cannot be read.",
            "Check the directory's owner, mode and disk, or name another with `--data-dir`.",
        ),
        Some(free) if free < TOO_LITTLE_BYTES => {
            let meaning = format!("{} are free for models: nothing fits there.", size(free));
            Check::fail("disk", meaning, MEND)
        }
        Some(free) if free < LITTLE_BYTES => {
            let meaning = format!("{} are free: enough for a small model only.", size(free));
            Check::warn("disk", meaning, MEND)
        }
        Some(free) => Check::ok("disk", format!("{} are free for models.", size(free))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    #[test]
    fn free_space_is_judged_at_its_two_bounds() {
        for (free, state) in [
            (None, State::Fail),
            (Some(0), State::Fail),
            (Some(TOO_LITTLE_BYTES - 1), State::Fail),
            (Some(TOO_LITTLE_BYTES), State::Warn),
            (Some(LITTLE_BYTES - 1), State::Warn),
            (Some(LITTLE_BYTES), State::Ok),
        ] {
            assert_eq!(judge(free).state, state, "{free:?}");
        }
    }
}
