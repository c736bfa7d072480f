//! How far each process is confined, as it says itself.

use authority_api::v1::Session;
use frontdoor_api::v1::FrontdoorStatus;
use runtime_api::v1::RuntimeFacts;
use serde::Serialize;

/// `confinement` of `status --json`: the Landlock ABI that each process is held by, with its
/// system call filter; null where a process does not answer or is not confined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Confined {
    broker: Option<u32>,
    /// The runtime's too: it is held by what holds the supervisor, and by more.
    supervisor: Option<u32>,
    frontdoor: Option<u32>,
    /// What this kernel leaves open and a newer one closes, one sentence each.
    gaps: Vec<String>,
}

impl Confined {
    pub(super) fn of(
        door: Option<&FrontdoorStatus>,
        facts: Option<&RuntimeFacts>,
        session: Option<&Session>,
    ) -> Self {
        let known = |abi: u32| (abi != 0).then_some(abi);
        let broker = session.and_then(|session| known(session.landlock_abi));
        let supervisor = facts.and_then(|facts| known(facts.landlock_abi));
        let frontdoor = door.and_then(|door| known(door.landlock_abi));
        let least = [broker, supervisor, frontdoor].into_iter().flatten().min();
        let least = least.and_then(|abi| i32::try_from(abi).ok());
        Self { broker, supervisor, frontdoor, gaps: least.map(confine::gaps).unwrap_or_default() }
    }

    pub(super) fn for_people(&self) -> String {
        let all = [
            ("broker", self.broker),
            ("supervisor", self.supervisor),
            ("front door", self.frontdoor),
        ];
        let unknown: Vec<&str> =
            all.iter().filter(|(_, abi)| abi.is_none()).map(|(name, _)| *name).collect();
        let least = all.iter().filter_map(|(_, abi)| *abi).min();
        let mut text = least.map_or_else(
            || "unknown".to_owned(),
            |abi| format!("Landlock ABI {abi} and system call filters"),
        );
        if least.is_some() && !unknown.is_empty() {
            text.push_str(&format!("; not told by: {}", unknown.join(", ")));
        }
        if !self.gaps.is_empty() {
            text.push_str("; see companionctl doctor");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(broker: u32, supervisor: u32, frontdoor: u32) -> Confined {
        Confined::of(
            Some(&FrontdoorStatus { landlock_abi: frontdoor, ..FrontdoorStatus::default() }),
            Some(&RuntimeFacts { landlock_abi: supervisor, ..RuntimeFacts::default() }),
            Some(&Session { landlock_abi: broker, ..Session::default() }),
        )
    }

    #[test]
    fn the_weakest_process_names_the_gaps() {
        assert_eq!(told(9, 9, 9).gaps, Vec::<String>::new());
        assert_eq!(told(9, 3, 9).gaps, confine::gaps(3));
        assert_eq!(told(9, 9, 9).for_people(), "Landlock ABI 9 and system call filters");
        assert!(told(3, 3, 3).for_people().ends_with("see companionctl doctor"));
    }

    #[test]
    fn a_process_that_is_not_confined_or_does_not_answer_is_named() {
        assert_eq!(told(9, 0, 9).supervisor, None);
        assert!(told(9, 0, 9).for_people().contains("not told by: supervisor"));
        assert_eq!(Confined::of(None, None, None).for_people(), "unknown");
    }
}
