//! Why the companion does not start, in a person's words: what happened, what to do next, and the
//! reason code at the end.

use std::error::Error;

use crate::up::UpError;

/// On one line, with what caused it.
pub(crate) fn message(error: &UpError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    let (reason, next) = words(error);
    format!("{}. {next} ({reason})", text.trim_end_matches('.'))
}

/// Reason code, and what to do next.
fn words(error: &UpError) -> (&'static str, &'static str) {
    match error {
        UpError::Settings(_) => ("configuration_refused", "Mend it, or see `companion init`."),
        UpError::Unconfinable(_) | UpError::NoPeerPidfd(_) => {
            ("cannot_confine", "See what this kernel lacks: `companionctl doctor`.")
        }
        UpError::Directory(_) => {
            ("directory_not_private", "Mend its owner and mode, or name another directory.")
        }
        UpError::AlreadyRunning => {
            ("already_running", "See `companionctl status`, or start another by --profile NAME.")
        }
        UpError::Lock(_) => ("lock_failed", "Check the owner, mode and disk of the directories."),
        UpError::Reclaim(_) => {
            ("runtime_left_over", "Find it by `companionctl doctor`, end it, and start again.")
        }
        UpError::Bind(_) => ("listener_unbound", "See what is wrong: `companionctl doctor`."),
        UpError::Child(_) => {
            ("program_not_started", "Install the companion's programs in one directory.")
        }
        UpError::Watch(_) | UpError::Prepare(_) => {
            ("internal", "Please report it with the reason code.")
        }
    }
}

/// Whether lines for people may have colours (no-color.org, and terminals that have none).
pub(crate) fn colours_wanted(terminal: bool, env: impl Fn(&str) -> Option<String>) -> bool {
    let no_color = env("NO_COLOR").is_some_and(|value| !value.is_empty());
    terminal && !no_color && env("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_is_refused_says_what_to_do_and_ends_with_its_code() {
        assert_eq!(
            message(&UpError::AlreadyRunning),
            "The companion of this profile is already running. See `companionctl status`, or start \
             another by --profile NAME. (already_running)"
        );
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let env = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| value.to_owned())
        };
        assert!(colours_wanted(true, env("TERM", "xterm")));
        assert!(!colours_wanted(false, env("TERM", "xterm")));
        assert!(!colours_wanted(true, env("TERM", "dumb")));
        assert!(!colours_wanted(true, env("NO_COLOR", "1")));
        assert!(colours_wanted(true, env("NO_COLOR", "")));
    }
}
