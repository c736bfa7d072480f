//! The lifecycle of the runtime (contract 9): four states, five events, five arrows.

use std::fmt;
use std::str::FromStr;

use crate::{Reason, StartPermit};

/// Where the runtime is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing runs.
    Stopped,
    /// Spawned, not yet healthy.
    Starting,
    /// Healthy; the only state in which work may reach it.
    Ready,
    /// Ending; no new work.
    Draining,
}

/// What happened to the runtime.
#[derive(Debug)]
pub enum Event {
    /// Verified files are about to be spawned; the permit comes from a
    /// [`LaunchPlan`](crate::LaunchPlan) alone.
    Start(StartPermit),
    /// The starting runtime answered its health route.
    HealthOk,
    /// The starting runtime did not become healthy, or was stopped before it was.
    HealthFail,
    /// The ready runtime must end: a stop, a crash, failed health.
    Drain,
    /// The draining runtime is gone.
    Stopped,
}

/// Takes one step. `stopped -> starting -> ready -> draining -> stopped`, and
/// `starting -> stopped` when health fails; nothing else.
///
/// # Errors
/// [`Reason::InvalidTransition`] for every other pair.
pub fn step(state: State, event: &Event) -> Result<State, Reason> {
    match (state, event) {
        (State::Stopped, Event::Start(_)) => Ok(State::Starting),
        (State::Starting, Event::HealthOk) => Ok(State::Ready),
        (State::Starting, Event::HealthFail) => Ok(State::Stopped),
        (State::Ready, Event::Drain) => Ok(State::Draining),
        (State::Draining, Event::Stopped) => Ok(State::Stopped),
        (State::Stopped, Event::HealthOk | Event::HealthFail | Event::Drain | Event::Stopped)
        | (State::Starting, Event::Start(_) | Event::Drain | Event::Stopped)
        | (State::Ready, Event::Start(_) | Event::HealthOk | Event::HealthFail | Event::Stopped)
        | (State::Draining, Event::Start(_) | Event::HealthOk | Event::HealthFail | Event::Drain) => {
            Err(Reason::InvalidTransition)
        }
    }
}

impl State {
    /// The state's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = Reason;

    fn from_str(name: &str) -> Result<Self, Reason> {
        [Self::Stopped, Self::Starting, Self::Ready, Self::Draining]
            .into_iter()
            .find(|state| state.as_str() == name)
            .ok_or(Reason::UnknownState)
    }
}

impl FromStr for Event {
    type Err = Reason;

    /// Reads the name of an event that needs no permit; `start` is made from a
    /// [`LaunchPlan`](crate::LaunchPlan) and has no other way in.
    fn from_str(name: &str) -> Result<Self, Reason> {
        match name {
            "health_ok" => Ok(Self::HealthOk),
            "health_fail" => Ok(Self::HealthFail),
            "drain" => Ok(Self::Drain),
            "stopped" => Ok(Self::Stopped),
            _ => Err(Reason::UnknownEvent),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::launch::tests::permit;

    const STATES: [State; 4] = [State::Stopped, State::Starting, State::Ready, State::Draining];
    const EVENTS: [&str; 5] = ["start", "health_ok", "health_fail", "drain", "stopped"];

    fn event(name: &str) -> Event {
        if name == "start" { Event::Start(permit()) } else { name.parse().unwrap() }
    }

    /// The table of contract 9, written a second time by name.
    fn arrow(state: &str, event: &str) -> Option<&'static str> {
        const ARROWS: [(&str, &str, &str); 5] = [
            ("stopped", "start", "starting"),
            ("starting", "health_ok", "ready"),
            ("starting", "health_fail", "stopped"),
            ("ready", "drain", "draining"),
            ("draining", "stopped", "stopped"),
        ];
        ARROWS.iter().find(|(from, by, _)| (*from, *by) == (state, event)).map(|(.., to)| *to)
    }

    #[test]
    fn every_pair_does_what_the_table_says_and_nothing_else() {
        for state in STATES {
            for name in EVENTS {
                let expected = arrow(state.as_str(), name)
                    .map(|to| to.parse::<State>().unwrap())
                    .ok_or(Reason::InvalidTransition);
                assert_eq!(step(state, &event(name)), expected, "{state} {name}");
            }
        }
    }

    #[test]
    fn unknown_names_are_refused_by_their_own_reasons() {
        for name in ["", "Ready", "ready ", "running", "start"] {
            assert_eq!(name.parse::<State>().unwrap_err(), Reason::UnknownState);
        }
        for name in ["", "start", "HealthOk", "crash", "ready"] {
            assert_eq!(name.parse::<Event>().unwrap_err(), Reason::UnknownEvent);
        }
        for state in STATES {
            assert_eq!(state.to_string().parse::<State>(), Ok(state));
        }
    }

    proptest! {
        /// The only way to `ready` is `start`, then `health_ok`, with nothing between that
        /// left `starting`.
        #[test]
        fn ready_is_reached_by_start_then_health_ok_alone(
            names in prop::collection::vec(prop::sample::select(&EVENTS[..]), 0..60),
        ) {
            let mut state = State::Stopped;
            let mut taken: Vec<&str> = Vec::new();
            for name in names {
                match step(state, &event(name)) {
                    Ok(next) => {
                        prop_assert_eq!(Some(next.as_str()), arrow(state.as_str(), name));
                        taken.push(name);
                        state = next;
                    }
                    Err(reason) => {
                        prop_assert_eq!(reason, Reason::InvalidTransition);
                        prop_assert_eq!(arrow(state.as_str(), name), None);
                    }
                }
                if state == State::Ready {
                    prop_assert_eq!(&taken[taken.len() - 2..], &["start", "health_ok"]);
                }
            }
        }
    }
}
