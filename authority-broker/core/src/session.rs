//! What a stored session is worth at a moment, and what a refresh does to it (contract 6).

use serde::{Deserialize, Serialize};

use crate::discovery::{Issuer, endpoint_of};
use crate::limits::{
    EXPIRY_MARGIN_S, FIRST_BACKOFF_MS, MAX_BACKOFF_MS, MAX_SCOPES, MAX_SECRET_BYTES,
};
use crate::registration::ClientId;
use crate::{Reason, Secret};

/// What is kept beside the tokens so that they can be used after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionMeta {
    /// The issuer that gave the tokens.
    pub issuer: String,
    /// The client they were given to.
    pub client_id: String,
    /// Where they are refreshed.
    pub token_endpoint: String,
    /// Where they are revoked.
    pub revocation_endpoint: Option<String>,
    /// What they allow.
    pub scopes: Vec<String>,
    /// Seconds since the epoch at which the access token ends.
    pub expires_at: u64,
}

impl SessionMeta {
    /// The record for the keychain.
    ///
    /// # Errors
    /// `invalid_secret` when it would be longer than a secret may be.
    pub fn to_record(&self) -> Result<Secret, Reason> {
        Secret::new(serde_json::to_vec(self).map_err(|_| Reason::InvalidSecret)?)
    }

    /// Reads a record for the configured issuer, strictly: what is unknown, incomplete, of
    /// another issuer or with an endpoint elsewhere is not a session of this installation.
    #[must_use]
    pub fn of_record(record: &Secret, issuer: &Issuer) -> Option<Self> {
        let bytes = record.expose_bytes();
        if bytes.len() > MAX_SECRET_BYTES {
            return None;
        }
        let meta: Self = serde_json::from_slice(bytes).ok()?;
        let of_issuer = |endpoint: &str| endpoint_of(endpoint, issuer).is_ok();
        let sound = meta.issuer == issuer.as_str()
            && ClientId::parse(&meta.client_id).is_ok()
            && of_issuer(&meta.token_endpoint)
            && meta.revocation_endpoint.as_deref().is_none_or(of_issuer)
            && meta.scopes.len() <= MAX_SCOPES;
        sound.then_some(meta)
    }
}

/// What the keychain holds of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionFacts {
    /// The record beside the tokens.
    pub meta: MetaFact,
    /// Whether there is an access token.
    pub has_access_token: bool,
    /// Whether there is a refresh token.
    pub has_refresh_token: bool,
}

/// What is known of the record beside the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaFact {
    /// There is none.
    Absent,
    /// There is one that cannot be used.
    Unreadable,
    /// There is one.
    Known {
        /// Seconds since the epoch at which the access token ends.
        expires_at: u64,
    },
}

/// What a session is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The access token may be used.
    Valid,
    /// It may be renewed.
    Refresh,
    /// A person has to sign in again.
    Reauth,
    /// There is none.
    SignedOut,
}

impl Standing {
    /// Every standing.
    pub const ALL: [Self; 4] = [Self::Valid, Self::Refresh, Self::Reauth, Self::SignedOut];
}

/// The standing of a session at `now`, in seconds since the epoch: valid while `now` + 30 s lies
/// before the expiry, then renewable while there is a refresh token.
#[must_use]
pub fn standing(facts: SessionFacts, now: u64) -> Standing {
    match facts.meta {
        MetaFact::Absent if !facts.has_access_token && !facts.has_refresh_token => {
            Standing::SignedOut
        }
        MetaFact::Absent | MetaFact::Unreadable => Standing::Reauth,
        MetaFact::Known { expires_at } => {
            let lasts = now.saturating_add(EXPIRY_MARGIN_S) < expires_at;
            if facts.has_access_token && lasts {
                Standing::Valid
            } else if facts.has_refresh_token {
                Standing::Refresh
            } else {
                Standing::Reauth
            }
        }
    }
}

/// How a refresh ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// The server gave new tokens.
    Renewed,
    /// The grant is reused, revoked or expired.
    InvalidGrant,
    /// The server or the network failed.
    Fault,
}

/// What is to be done with the session then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshEffect {
    /// Store the new tokens, before anything uses them.
    Store,
    /// Clear all three accounts of the session.
    Clear,
    /// Keep it, and do not ask the server again for so long.
    KeepAndWait {
        /// Milliseconds.
        milliseconds: u64,
    },
}

/// The effect of a refresh after `earlier_faults` faults in a row: only `invalid_grant` clears.
///
/// `jitter` is random: it spreads the wait over the upper half of its backoff, so that the
/// clients of a gateway that was down do not all come back in the same moment.
#[must_use]
pub fn after_refresh(outcome: RefreshOutcome, earlier_faults: u32, jitter: u16) -> RefreshEffect {
    match outcome {
        RefreshOutcome::Renewed => RefreshEffect::Store,
        RefreshOutcome::InvalidGrant => RefreshEffect::Clear,
        RefreshOutcome::Fault => {
            let doubled = FIRST_BACKOFF_MS.saturating_mul(1 << earlier_faults.min(16));
            let half = doubled.min(MAX_BACKOFF_MS) / 2;
            let spread = half * u64::from(jitter) / u64::from(u16::MAX);
            RefreshEffect::KeepAndWait { milliseconds: half + spread }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        MetaFact, RefreshEffect, RefreshOutcome, SessionFacts, SessionMeta, Standing,
        after_refresh, standing,
    };
    use crate::Secret;
    use crate::discovery::Issuer;

    fn meta() -> SessionMeta {
        SessionMeta {
            issuer: "https://g.test/native".to_owned(),
            client_id: "c".to_owned(),
            token_endpoint: "https://g.test/token".to_owned(),
            revocation_endpoint: Some("https://g.test/revoke".to_owned()),
            scopes: vec!["vault:read".to_owned()],
            expires_at: 1000,
        }
    }

    fn issuer() -> Issuer {
        Issuer::parse("https://g.test/native").unwrap()
    }

    fn facts(meta: MetaFact, access: bool, refresh: bool) -> SessionFacts {
        SessionFacts { meta, has_access_token: access, has_refresh_token: refresh }
    }

    #[test]
    fn a_token_is_valid_until_30_seconds_before_its_end() {
        let held = facts(MetaFact::Known { expires_at: 1000 }, true, true);
        assert_eq!(standing(held, 969), Standing::Valid);
        assert_eq!(standing(held, 970), Standing::Refresh);
        assert_eq!(standing(held, u64::MAX), Standing::Refresh);
    }

    #[test]
    fn what_cannot_be_renewed_needs_a_person() {
        let known = MetaFact::Known { expires_at: 1000 };
        assert_eq!(standing(facts(known, true, false), 0), Standing::Valid);
        assert_eq!(standing(facts(known, true, false), 970), Standing::Reauth);
        assert_eq!(standing(facts(known, false, true), 0), Standing::Refresh);
        assert_eq!(standing(facts(known, false, false), 0), Standing::Reauth);
    }

    #[test]
    fn a_missing_or_unreadable_record_is_never_a_session() {
        assert_eq!(standing(facts(MetaFact::Absent, false, false), 0), Standing::SignedOut);
        for (access, refresh) in [(true, false), (false, true), (true, true)] {
            assert_eq!(standing(facts(MetaFact::Absent, access, refresh), 0), Standing::Reauth);
        }
        for (access, refresh) in [(false, false), (true, true)] {
            let unreadable = facts(MetaFact::Unreadable, access, refresh);
            assert_eq!(standing(unreadable, 0), Standing::Reauth);
        }
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        assert_eq!(SessionMeta::of_record(&meta().to_record().unwrap(), &issuer()), Some(meta()));
    }

    #[test]
    fn a_record_of_another_issuer_or_endpoint_or_shape_is_unreadable() {
        let elsewhere = "https://evil.test/token".to_owned();
        for other in [
            SessionMeta { issuer: "https://g.test/other".to_owned(), ..meta() },
            SessionMeta { client_id: String::new(), ..meta() },
            SessionMeta { token_endpoint: elsewhere.clone(), ..meta() },
            SessionMeta { token_endpoint: "http://g.test/token".to_owned(), ..meta() },
            SessionMeta { revocation_endpoint: Some(elsewhere), ..meta() },
            SessionMeta { scopes: vec![String::new(); 65], ..meta() },
        ] {
            assert_eq!(SessionMeta::of_record(&other.to_record().unwrap(), &issuer()), None);
        }
        let text = String::from_utf8(meta().to_record().unwrap().expose_bytes().to_vec()).unwrap();
        for broken in [
            "{}".to_owned(),
            text.replacen('{', "{\"more\":1,", 1),
            text.replace("1000", "-1"),
            text[..text.len() - 1].to_owned(),
        ] {
            let record = Secret::new(broken.into_bytes()).unwrap();
            assert_eq!(SessionMeta::of_record(&record, &issuer()), None);
        }
    }

    #[test]
    fn only_invalid_grant_clears() {
        assert_eq!(after_refresh(RefreshOutcome::Renewed, 3, 7), RefreshEffect::Store);
        assert_eq!(after_refresh(RefreshOutcome::InvalidGrant, 0, 7), RefreshEffect::Clear);
        let waits =
            [0, 1, 5, 6, 40].map(|faults| after_refresh(RefreshOutcome::Fault, faults, u16::MAX));
        assert_eq!(
            waits,
            [1_000, 2_000, 32_000, 60_000, 60_000]
                .map(|milliseconds| RefreshEffect::KeepAndWait { milliseconds })
        );
    }

    #[test]
    fn the_wait_is_spread_over_the_upper_half_of_its_backoff() {
        let waits = [0, u16::MAX / 2, u16::MAX]
            .map(|jitter| after_refresh(RefreshOutcome::Fault, 6, jitter));
        assert_eq!(
            waits,
            [30_000, 44_999, 60_000]
                .map(|milliseconds| RefreshEffect::KeepAndWait { milliseconds })
        );
    }

    /// The wall clock decides over the expiry: set forward it asks for a renewal early, set back
    /// it leaves the judgement to the server, and neither makes an unusable session usable.
    #[test]
    fn a_clock_that_jumps_either_way_only_moves_between_valid_and_refresh() {
        let held = facts(MetaFact::Known { expires_at: 1_800_000_000 }, true, true);
        for (now, expected) in [
            (1_799_999_000, Standing::Valid),
            (1_899_999_000, Standing::Refresh),
            (0, Standing::Valid),
            (u64::MAX, Standing::Refresh),
        ] {
            assert_eq!(standing(held, now), expected, "{now}");
        }
        let spent = facts(MetaFact::Known { expires_at: 1_800_000_000 }, false, false);
        for now in [0, 1_799_999_000, u64::MAX] {
            assert_eq!(standing(spent, now), Standing::Reauth, "{now}");
        }
    }

    proptest! {
        #[test]
        fn a_session_is_never_valid_without_a_token_or_within_the_margin(
            expires_at in any::<u64>(), now in any::<u64>(),
            access in any::<bool>(), refresh in any::<bool>(),
        ) {
            let valid = standing(facts(MetaFact::Known { expires_at }, access, refresh), now)
                == Standing::Valid;
            prop_assert_eq!(valid, access && u128::from(now) + 30 < u128::from(expires_at));
        }

        #[test]
        fn no_record_makes_the_reading_panic(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
            let record = Secret::new(bytes).unwrap();
            prop_assert_eq!(SessionMeta::of_record(&record, &issuer()), None);
        }
    }
}
