//! Which RPC is allowed in which standing of the session: the one table of it.
//!
//! It speaks of a gateway that gives its catalog to whoever is signed in; where none asks for a
//! session, every RPC is allowed in every standing.

use crate::Reason;
use crate::session::Standing;

/// The RPCs of `companion.authority.v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rpc {
    /// Begins a sign-in attempt, in place of the one before.
    SignIn,
    /// Ends the session.
    SignOut,
    /// Says how the session stands.
    GetSession,
    /// Lists the catalog.
    ListCatalog,
    /// Pulls an entry of the catalog.
    Pull,
    /// Starts a model of the store.
    Start,
    /// Stops what runs.
    Stop,
    /// Removes an entry from the store.
    Remove,
    /// Hashes an entry of the store again.
    Verify,
    /// Gives the loopback token to its owner.
    GetLoopbackToken,
}

/// What an RPC asks of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Needs {
    /// Nothing: it ends or mends a session, or has to do with this machine only.
    Nothing,
    /// The catalog as it is now: a session that may be used or renewed.
    CurrentCatalog,
    /// Any verified catalog that is unexpired: a session only where none is at hand.
    VerifiedCatalog,
}

impl Rpc {
    /// Every RPC.
    pub const ALL: [Self; 10] = [
        Self::SignIn,
        Self::SignOut,
        Self::GetSession,
        Self::ListCatalog,
        Self::Pull,
        Self::Start,
        Self::Stop,
        Self::Remove,
        Self::Verify,
        Self::GetLoopbackToken,
    ];

    /// Its name in the service's descriptor.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignIn => "SignIn",
            Self::SignOut => "SignOut",
            Self::GetSession => "GetSession",
            Self::ListCatalog => "ListCatalog",
            Self::Pull => "Pull",
            Self::Start => "Start",
            Self::Stop => "Stop",
            Self::Remove => "Remove",
            Self::Verify => "Verify",
            Self::GetLoopbackToken => "GetLoopbackToken",
        }
    }

    /// What it asks of the session.
    #[must_use]
    pub const fn needs(self) -> Needs {
        match self {
            Self::SignIn
            | Self::SignOut
            | Self::GetSession
            | Self::Stop
            | Self::GetLoopbackToken => Needs::Nothing,
            Self::ListCatalog | Self::Pull => Needs::CurrentCatalog,
            Self::Start | Self::Remove | Self::Verify => Needs::VerifiedCatalog,
        }
    }
}

/// Whether an RPC is allowed; `at_hand` says that a verified, unexpired catalog is.
///
/// # Errors
/// `not_signed_in` for one that is out of phase.
pub const fn admit(rpc: Rpc, standing: Standing, at_hand: bool) -> Result<(), Reason> {
    match (rpc.needs(), standing, at_hand) {
        (Needs::Nothing, _, _)
        | (
            Needs::CurrentCatalog | Needs::VerifiedCatalog,
            Standing::Valid | Standing::Refresh,
            _,
        )
        | (Needs::VerifiedCatalog, Standing::Reauth | Standing::SignedOut, true) => Ok(()),
        (Needs::CurrentCatalog, Standing::Reauth | Standing::SignedOut, _)
        | (Needs::VerifiedCatalog, Standing::Reauth | Standing::SignedOut, false) => {
            Err(Reason::NotSignedIn)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Rpc, admit};
    use crate::Reason;
    use crate::session::Standing;

    #[test]
    fn exactly_fourteen_of_eighty_cells_are_out_of_phase() {
        let mut out = Vec::new();
        for rpc in Rpc::ALL {
            for standing in Standing::ALL {
                for at_hand in [false, true] {
                    if let Err(reason) = admit(rpc, standing, at_hand) {
                        assert_eq!(reason, Reason::NotSignedIn);
                        assert!(matches!(standing, Standing::Reauth | Standing::SignedOut));
                        out.push((rpc.name(), at_hand));
                    }
                }
            }
        }
        assert_eq!(out.len(), 14, "{out:?}");
    }
}
