//! The steps of one sign-in attempt. An attempt is single use: what has ended never goes on.

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing is known of the server yet.
    Begun,
    /// The server's metadata was judged.
    Discovered,
    /// The redirect listener is bound, and the authorization URL handed out.
    AwaitingCallback,
    /// A callback passed every check.
    Authorized,
    /// The tokens passed every check.
    Exchanged,
    /// They are in the keychain.
    SignedIn,
    /// It was refused, timed out or was cancelled.
    Failed,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The metadata was accepted.
    MetadataAccepted,
    /// The listener is bound and the client known.
    RedirectBound,
    /// The callback was accepted.
    CallbackAccepted,
    /// The token response was accepted.
    TokensAccepted,
    /// The tokens were stored.
    Stored,
    /// Any refusal, the time limit, or a cancellation.
    Refused,
}

/// An event that has no place in the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out_of_phase")]
pub struct OutOfPhase;

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 7] = [
        Self::Begun,
        Self::Discovered,
        Self::AwaitingCallback,
        Self::Authorized,
        Self::Exchanged,
        Self::SignedIn,
        Self::Failed,
    ];

    /// Whether the attempt has ended.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::SignedIn | Self::Failed)
    }
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 6] = [
        Self::MetadataAccepted,
        Self::RedirectBound,
        Self::CallbackAccepted,
        Self::TokensAccepted,
        Self::Stored,
        Self::Refused,
    ];
}

/// The phase after an event.
///
/// # Errors
/// For every pair but the six steps in their order and a refusal of an attempt that goes on.
pub const fn step(phase: Phase, event: Event) -> Result<Phase, OutOfPhase> {
    use Event as E;
    use Phase as P;
    match (phase, event) {
        (P::Begun, E::MetadataAccepted) => Ok(P::Discovered),
        (P::Discovered, E::RedirectBound) => Ok(P::AwaitingCallback),
        (P::AwaitingCallback, E::CallbackAccepted) => Ok(P::Authorized),
        (P::Authorized, E::TokensAccepted) => Ok(P::Exchanged),
        (P::Exchanged, E::Stored) => Ok(P::SignedIn),
        (
            P::Begun | P::Discovered | P::AwaitingCallback | P::Authorized | P::Exchanged,
            E::Refused,
        ) => Ok(P::Failed),
        (P::Begun, E::RedirectBound | E::CallbackAccepted | E::TokensAccepted | E::Stored)
        | (
            P::Discovered,
            E::MetadataAccepted | E::CallbackAccepted | E::TokensAccepted | E::Stored,
        )
        | (
            P::AwaitingCallback,
            E::MetadataAccepted | E::RedirectBound | E::TokensAccepted | E::Stored,
        )
        | (
            P::Authorized,
            E::MetadataAccepted | E::RedirectBound | E::CallbackAccepted | E::Stored,
        )
        | (
            P::Exchanged,
            E::MetadataAccepted | E::RedirectBound | E::CallbackAccepted | E::TokensAccepted,
        )
        | (
            P::SignedIn | P::Failed,
            E::MetadataAccepted
            | E::RedirectBound
            | E::CallbackAccepted
            | E::TokensAccepted
            | E::Stored
            | E::Refused,
        ) => Err(OutOfPhase),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Event, OutOfPhase, Phase, step};

    const ORDER: [Event; 5] = [
        Event::MetadataAccepted,
        Event::RedirectBound,
        Event::CallbackAccepted,
        Event::TokensAccepted,
        Event::Stored,
    ];

    #[test]
    fn the_steps_in_their_order_sign_in() {
        let end = ORDER.into_iter().try_fold(Phase::Begun, step);
        assert_eq!(end, Ok(Phase::SignedIn));
    }

    #[test]
    fn exactly_ten_pairs_are_in_phase() {
        let pairs = Phase::ALL.into_iter().flat_map(|p| Event::ALL.map(|e| (p, e)));
        let allowed = pairs.filter(|&(phase, event)| step(phase, event).is_ok()).count();
        assert_eq!(allowed, 10);
    }

    #[test]
    fn an_attempt_that_is_over_never_goes_on() {
        for phase in Phase::ALL.into_iter().filter(|phase| phase.is_over()) {
            for event in Event::ALL {
                assert_eq!(step(phase, event), Err(OutOfPhase));
            }
        }
    }

    proptest! {
        #[test]
        fn the_only_way_to_signed_in_is_every_step_in_order(
            events in prop::collection::vec(prop::sample::select(Event::ALL.to_vec()), 0..12),
        ) {
            let mut taken = Vec::new();
            let mut phase = Phase::Begun;
            for event in events {
                if let Ok(next) = step(phase, event) {
                    phase = next;
                    taken.push(event);
                }
            }
            if phase == Phase::SignedIn {
                prop_assert_eq!(taken, ORDER.to_vec());
            }
        }
    }
}
