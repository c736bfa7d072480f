//! Which secrets the broker keeps, and under which names (contract 7).

use crate::Reason;

/// One of the four accounts; there is no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Account {
    /// The OAuth access token.
    AccessToken,
    /// The OAuth refresh token.
    RefreshToken,
    /// What is needed to use the two: see [`crate::session::SessionMeta`].
    SessionMeta,
    /// The loopback token with the start it belongs to: see [`crate::loopback`].
    LoopbackToken,
}

impl Account {
    /// All four.
    pub const ALL: [Self; 4] =
        [Self::AccessToken, Self::RefreshToken, Self::SessionMeta, Self::LoopbackToken];
    /// The three that make a session and that a sign-out clears.
    pub const OF_SESSION: [Self; 3] = [Self::SessionMeta, Self::AccessToken, Self::RefreshToken];

    /// The account's name in the keychain.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "companion.accessToken",
            Self::RefreshToken => "companion.refreshToken",
            Self::SessionMeta => "companion.sessionMeta",
            Self::LoopbackToken => "companion.loopbackToken",
        }
    }

    /// The account of exactly this name.
    ///
    /// # Errors
    /// `unknown_account` for every other name.
    pub fn from_name(name: &str) -> Result<Self, Reason> {
        Self::ALL.into_iter().find(|account| account.name() == name).ok_or(Reason::UnknownAccount)
    }
}

/// The keychain service of a profile: two installations do not meet.
#[must_use]
pub fn service_name(profile: &str) -> String {
    format!("companion/{profile}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Account, service_name};
    use crate::Reason;

    #[test]
    fn the_four_accounts_are_known_by_their_exact_names() {
        let names = [
            "companion.accessToken",
            "companion.refreshToken",
            "companion.sessionMeta",
            "companion.loopbackToken",
        ];
        assert_eq!(Account::ALL.map(Account::name), names);
        for account in Account::ALL {
            assert_eq!(Account::from_name(account.name()), Ok(account));
        }
        for other in ["", "companion.accesstoken", "companion.accessToken ", "accessToken"] {
            assert_eq!(Account::from_name(other), Err(Reason::UnknownAccount), "{other}");
        }
    }

    #[test]
    fn the_loopback_token_is_no_part_of_the_session() {
        assert!(!Account::OF_SESSION.contains(&Account::LoopbackToken));
        assert_eq!(Account::OF_SESSION.len(), 3);
    }

    proptest! {
        #[test]
        fn two_profiles_never_share_a_service(a in "[a-z0-9-]{1,32}", b in "[a-z0-9-]{1,32}") {
            prop_assert_eq!(service_name(&a) == service_name(&b), a == b);
            prop_assert!(service_name(&a).starts_with("companion/"));
        }

        #[test]
        fn no_other_name_is_an_account(name in "\\PC{0,40}") {
            let known = Account::ALL.iter().any(|account| account.name() == name);
            prop_assert_eq!(Account::from_name(&name).is_ok(), known);
        }
    }
}
