//! One policy per role, as data: each line a rule with its reason. The roles are in the files
//! named after them, what several of them share in `everyone`, `sockets`, `processes` and
//! `places`; the mechanism is elsewhere and has no rule of its own but what is said there.

mod broker;
mod everyone;
mod frontdoor;
mod parser;
mod places;
mod processes;
mod rule;
mod runtime;
mod sockets;
mod supervisor;
mod weaken;

use std::os::fd::BorrowedFd;
use std::path::Path;

pub(crate) use everyone::NO_CORE;
pub(crate) use rule::{CallRule, Condition, FileRule, LimitRule, Place, Right, Test, When};
pub use weaken::{Layer, Weakened};

/// What one role may do: files, system calls, limits, each rule with its reason. TCP ports,
/// abstract sockets and signals to others are denied to every role.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Files that are reachable; all others are not.
    pub(crate) files: Vec<FileRule>,
    /// System calls that are refused; all others that this code knows of are not.
    pub(crate) calls: Vec<CallRule>,
    /// Resource limits.
    pub(crate) limits: Vec<LimitRule>,
}

impl Policy {
    /// The broker: its state directory, nothing else. `kernel_keyring` says that its custody is
    /// the kernel keyring, the only case in which it may use the keyring calls.
    pub fn broker(state_dir: &Path, kernel_keyring: bool) -> Self {
        broker::policy(state_dir, kernel_keyring)
    }

    /// The supervisor: its store, the scratch directory, exec of the jail, of the probe that
    /// stands in for a runtime and of verified runtimes, and whatever the runtime needs (rules
    /// only ever tighten from parent to child).
    pub fn supervisor(store_dir: &Path, scratch_dir: &Path, jail: &Path, probe: &Path) -> Self {
        supervisor::policy(store_dir, scratch_dir, jail, probe)
    }

    /// The front door: no file at all.
    pub fn frontdoor() -> Self {
        frontdoor::policy()
    }

    /// A parser of files from anywhere: no file, no socket, no other program.
    pub fn parser() -> Self {
        parser::policy()
    }

    /// The runtime, entered by the jail just before it becomes `llama-server`.
    ///
    /// The descriptors are duplicated; should that fail, entering the policy fails.
    pub fn runtime(
        scratch_dir: &Path,
        binary: BorrowedFd<'_>,
        model: BorrowedFd<'_>,
        max_data_bytes: Option<u64>,
    ) -> Self {
        runtime::policy(scratch_dir, binary, model, max_data_bytes)
    }

    /// The same for a runtime that computes on graphics cards, and for the supervisor above it:
    /// the driver's devices and files beside what was allowed, and nothing else.
    #[must_use]
    pub fn with_gpu(mut self) -> Self {
        self.files.extend(places::gpu_figures().chain(places::gpu_computing()));
        self
    }

    /// The same for a runtime that brought libraries of its own, in this directory. Whatever else
    /// lies there cannot be executed.
    #[must_use]
    pub fn with_libraries(mut self, libraries: BorrowedFd<'_>) -> Self {
        self.files.push(runtime::libraries(libraries));
        self
    }

    /// The policy in words, line by line.
    pub fn lines(&self) -> Vec<Line> {
        let files = self.files.iter().map(FileRule::line);
        let calls = self.calls.iter().map(CallRule::line);
        let limits = self.limits.iter().map(LimitRule::line);
        files.chain(calls).chain(limits).collect()
    }
}

/// One line of a policy, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it allows or denies.
    pub what: String,
    /// Why.
    pub reason: &'static str,
}

fn all(rows: &[&[CallRule]]) -> Vec<CallRule> {
    rows.concat()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::path::Path;

    use super::Policy;

    #[test]
    fn every_line_of_every_policy_gives_its_reason() {
        let place = Path::new("/nonexistent");
        let stdin = std::io::stdin();
        for policy in [
            Policy::broker(place, false),
            Policy::supervisor(place, place, place, place),
            Policy::frontdoor(),
            Policy::parser(),
            Policy::runtime(place, stdin.as_fd(), stdin.as_fd(), Some(1)),
        ] {
            assert!(policy.lines().iter().all(|line| line.reason.len() > 10), "{policy:?}");
        }
    }

    #[test]
    fn a_graphics_card_adds_the_drivers_own_places_and_takes_no_line_away() {
        let (place, stdin) = (Path::new("/nonexistent"), std::io::stdin());
        let without = Policy::runtime(place, stdin.as_fd(), stdin.as_fd(), Some(1));
        let with = without.clone().with_gpu();
        let without: Vec<String> = without.lines().into_iter().map(|line| line.what).collect();
        let with: Vec<String> = with.lines().into_iter().map(|line| line.what).collect();
        let of = |what: &str| {
            // Duplicated descriptors have numbers of their own.
            what.starts_with("allow descriptor")
        };
        assert!(without.iter().all(|line| of(line) || with.contains(line)));
        for added in with.iter().filter(|line| !of(line) && !without.contains(line)) {
            let own = ["/dev/nvidia", "/proc/driver/nvidia/", "/proc/devices", "/usr/local/nvidia"];
            assert!(own.iter().any(|own| added.starts_with(&format!("allow {own}"))), "{added}");
        }
        assert!(with.iter().any(|line| line.starts_with("allow /dev/nvidia-uvm ")));
    }

    #[test]
    fn the_front_door_is_given_no_file_at_all() {
        assert!(Policy::frontdoor().files.is_empty());
    }
}
