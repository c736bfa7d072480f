//! A process tries what its role may and may not do, from inside and just then: fixed, harmless
//! attempts, each with what is expected of it (docs/architecture.md, the table of roles).
//!
//! An attempt is *refused* when the kernel answers EPERM or EACCES. Where it is not, the
//! arguments see to it that nothing happens: a connection to a name that nobody has, an exec of a
//! file that no program loader knows, a signal of number 0.

mod attempt;
mod raw;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use attempt::ATTEMPTS;

/// Who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// `companion`.
    Launcher,
    /// `authority-broker`.
    Broker {
        /// Its custody is the kernel keyring.
        kernel_keyring: bool,
    },
    /// `runtime-supervisor`.
    Supervisor,
    /// `frontdoor`.
    Frontdoor,
    /// A program in the runtime's place, started through the same jail.
    Runtime,
}

/// What some attempts aim at. Nothing else can be aimed at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aims {
    /// An executable file that no program loader knows (ENOEXEC where exec is allowed).
    pub no_program: PathBuf,
    /// The process's own directory, if its role has one.
    pub own_directory: Option<PathBuf>,
}

/// One attempt, what was expected and what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// What was tried, in words.
    pub attempt: String,
    /// Whether the role may.
    pub may: bool,
    /// `not refused`, or `refused (EPERM)`.
    pub happened: String,
    /// Whether that is what was expected.
    pub as_expected: bool,
}

/// Makes every attempt, in their order. Takes a few milliseconds and blocks.
pub fn try_all(who: Tried, aims: &Aims) -> Vec<Trial> {
    let tried = ATTEMPTS.iter().filter_map(|attempt| {
        let may = (attempt.may)(who)?;
        let refusal = (attempt.act)(aims).err().filter(|errno| is_refusal(*errno));
        Some(Trial {
            attempt: attempt.what.to_owned(),
            may,
            happened: happened(refusal),
            as_expected: may == refusal.is_none(),
        })
    });
    tried.collect()
}

fn is_refusal(errno: rustix::io::Errno) -> bool {
    errno == rustix::io::Errno::PERM || errno == rustix::io::Errno::ACCESS
}

fn happened(refusal: Option<rustix::io::Errno>) -> String {
    match refusal {
        None => "not refused".to_owned(),
        Some(rustix::io::Errno::PERM) => "refused (EPERM)".to_owned(),
        Some(_) => "refused (EACCES)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// The column without a policy gives the others their meaning: there nothing is refused.
    #[test]
    fn an_unconfined_process_is_refused_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let no_program = directory.path().join("no-program");
        fs::write(&no_program, "no program\n").unwrap();
        fs::set_permissions(&no_program, fs::Permissions::from_mode(0o500)).unwrap();
        let aims = Aims { no_program, own_directory: Some(directory.path().to_owned()) };
        for who in [Tried::Frontdoor, Tried::Runtime, Tried::Broker { kernel_keyring: false }] {
            let trials = try_all(who, &aims);
            assert!(trials.len() >= 20, "{trials:?}");
            for trial in trials.iter().filter(|trial| !attempt::is_a_state(&trial.attempt)) {
                assert_eq!(trial.happened, "not refused", "{}", trial.attempt);
                assert_eq!(trial.as_expected, trial.may, "{}", trial.attempt);
            }
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "something was left");
    }
}
