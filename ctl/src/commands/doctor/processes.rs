//! Whether the companion runs, and each of its processes answers.

use super::check::{Check, State};
use crate::commands::status::Heard;
use crate::context::Process;
use crate::refusal::Refusal;

pub(super) fn judge(runs: bool, heard: &Heard) -> Check {
    if !runs {
        let refusal = Refusal::new("companion_not_running");
        let mut check = Check::refused("companion", State::Fail, &refusal);
        check.meaning.push_str(" Keychain, catalog and endpoint could not be asked.");
        return check;
    }
    let silent = [
        (heard.broker.is_none(), Process::Broker),
        (heard.supervisor.is_none(), Process::Supervisor),
        (heard.frontdoor.is_none(), Process::Frontdoor),
    ];
    match silent.into_iter().find(|(is_silent, _)| *is_silent) {
        None => Check::ok("companion", "It runs, and its three processes answer."),
        Some((_, process)) => {
            Check::refused("companion", State::Fail, &Refusal::new(process.unreachable()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Heard {
        Heard {
            frontdoor: Some(Default::default()),
            supervisor: Some(Default::default()),
            broker: Some(Default::default()),
        }
    }

    #[test]
    fn a_stopped_companion_fails_with_the_command_that_starts_it() {
        let check = judge(false, &Heard::default());
        assert_eq!(check.state, State::Fail);
        assert!(check.mend.unwrap().contains("companion up"));
    }

    #[test]
    fn a_silent_process_is_named() {
        assert_eq!(judge(true, &all()).state, State::Ok);
        for (heard, reason) in [
            (Heard { broker: None, ..all() }, "broker_unreachable"),
            (Heard { supervisor: None, ..all() }, "supervisor_unreachable"),
            (Heard { frontdoor: None, ..all() }, "frontdoor_unreachable"),
        ] {
            let check = judge(true, &heard);
            assert_eq!((check.state, check.reason.as_deref()), (State::Fail, Some(reason)));
        }
    }
}
