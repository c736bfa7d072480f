//! Where a piece of work may go (contract 10).

/// A place where work can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// In the browser or the companion.
    Local,
    /// A server of the person's or organisation's own.
    SelfHosted,
    /// The organisation's provider.
    Enterprise,
    /// OpenRouter, with the person's own account there.
    Openrouter,
    /// The managed lane, charged for by use.
    DirectProvider,
    /// Nowhere.
    Disabled,
}

impl Lane {
    /// The lane's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::SelfHosted => "self_hosted",
            Self::Enterprise => "enterprise",
            Self::Openrouter => "openrouter",
            Self::DirectProvider => "direct_provider",
            Self::Disabled => "disabled",
        }
    }

    /// Whether use of this lane is charged for.
    #[must_use]
    pub fn is_metered(self) -> bool {
        match self {
            Self::DirectProvider => true,
            Self::Local
            | Self::SelfHosted
            | Self::Enterprise
            | Self::Openrouter
            | Self::Disabled => false,
        }
    }
}

/// Which lanes can be used now. What is not known is `false`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The companion is available, or the browser can do it.
    pub local: bool,
    /// A self-hosted server is there.
    pub self_hosted: bool,
    /// The enterprise provider is there.
    pub enterprise: bool,
    /// OpenRouter can be used.
    pub openrouter: bool,
    /// The managed lane can be used.
    pub direct_provider: bool,
}

/// What is asked. Every default is the closed one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneFacts {
    /// Which lanes can be used now.
    pub capabilities: Capabilities,
    /// Organisation privacy mode.
    pub organisation_privacy: bool,
    /// A delegate acts, not the owner.
    pub delegate: bool,
    /// The owner permits this delegate on the managed lane.
    pub owner_permission: bool,
    /// The owner lets delegates write the owner's partition.
    pub owner_opt_in: bool,
    /// The work writes the owner's partition.
    pub writes_owner_partition: bool,
    /// The work carries private data.
    pub private_data: bool,
    /// There is a consent id.
    pub consent_id_present: bool,
}

/// Whether the work may go where the order sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// It may.
    Allow,
    /// A delegate lacks the owner's permission or opt-in.
    LanePolicyDenied,
    /// Private data would leave without a consent id.
    CloudConsentRequired,
}

impl Consent {
    /// The decision's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::LanePolicyDenied => "lane_policy_denied",
            Self::CloudConsentRequired => "cloud_consent_required",
        }
    }
}

/// A lane and whether it may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct LaneDecision {
    /// The first usable lane of the order.
    pub lane: Lane,
    /// Whether this work may take it.
    pub consent: Consent,
}

/// Chooses the lane by the order in force, then judges consent on it. A refusal never falls
/// through to the next lane.
pub fn decide(facts: &LaneFacts) -> LaneDecision {
    let lane = choose(facts.capabilities, facts.organisation_privacy);
    LaneDecision { lane, consent: consent(lane, facts) }
}

const NORMAL: [Lane; 5] =
    [Lane::Local, Lane::SelfHosted, Lane::Enterprise, Lane::Openrouter, Lane::DirectProvider];
const ORGANISATION: [Lane; 4] = [Lane::SelfHosted, Lane::Enterprise, Lane::Local, Lane::Openrouter];

fn choose(capabilities: Capabilities, organisation_privacy: bool) -> Lane {
    let order: &[Lane] = if organisation_privacy { &ORGANISATION } else { &NORMAL };
    order.iter().copied().find(|lane| capabilities.has(*lane)).unwrap_or(Lane::Disabled)
}

impl Capabilities {
    fn has(self, lane: Lane) -> bool {
        match lane {
            Lane::Local => self.local,
            Lane::SelfHosted => self.self_hosted,
            Lane::Enterprise => self.enterprise,
            Lane::Openrouter => self.openrouter,
            Lane::DirectProvider => self.direct_provider,
            Lane::Disabled => false,
        }
    }
}

fn consent(lane: Lane, facts: &LaneFacts) -> Consent {
    match lane {
        Lane::DirectProvider if facts.delegate && !facts.owner_permission => {
            Consent::LanePolicyDenied
        }
        Lane::DirectProvider if facts.private_data && !facts.consent_id_present => {
            Consent::CloudConsentRequired
        }
        Lane::Local | Lane::Openrouter
            if facts.delegate && facts.writes_owner_partition && !facts.owner_opt_in =>
        {
            Consent::LanePolicyDenied
        }
        Lane::Local
        | Lane::SelfHosted
        | Lane::Enterprise
        | Lane::Openrouter
        | Lane::DirectProvider
        | Lane::Disabled => Consent::Allow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Capabilities = Capabilities {
        local: true,
        self_hosted: true,
        enterprise: true,
        openrouter: true,
        direct_provider: true,
    };

    fn lane_of(capabilities: Capabilities, organisation_privacy: bool) -> Lane {
        decide(&LaneFacts { capabilities, organisation_privacy, ..LaneFacts::default() }).lane
    }

    fn without(mut capabilities: Capabilities, lane: Lane) -> Capabilities {
        match lane {
            Lane::Local => capabilities.local = false,
            Lane::SelfHosted => capabilities.self_hosted = false,
            Lane::Enterprise => capabilities.enterprise = false,
            Lane::Openrouter => capabilities.openrouter = false,
            Lane::DirectProvider => capabilities.direct_provider = false,
            Lane::Disabled => {}
        }
        capabilities
    }

    #[test]
    fn the_normal_order_is_local_self_hosted_enterprise_openrouter_direct_disabled() {
        let mut capabilities = ALL;
        for lane in [
            Lane::Local,
            Lane::SelfHosted,
            Lane::Enterprise,
            Lane::Openrouter,
            Lane::DirectProvider,
            Lane::Disabled,
        ] {
            assert_eq!(lane_of(capabilities, false), lane);
            capabilities = without(capabilities, lane);
        }
    }

    #[test]
    fn organisation_privacy_prefers_its_own_servers_and_never_the_managed_lane() {
        let mut capabilities = ALL;
        for lane in
            [Lane::SelfHosted, Lane::Enterprise, Lane::Local, Lane::Openrouter, Lane::Disabled]
        {
            assert_eq!(lane_of(capabilities, true), lane);
            capabilities = without(capabilities, lane);
        }
        assert!(capabilities.direct_provider, "it was there all the time");
    }

    #[test]
    fn what_is_not_known_is_not_there() {
        assert_eq!(lane_of(Capabilities::default(), false), Lane::Disabled);
    }

    fn on(lane: Lane, facts: LaneFacts) -> Consent {
        let mut capabilities = Capabilities::default();
        match lane {
            Lane::Local => capabilities.local = true,
            Lane::SelfHosted => capabilities.self_hosted = true,
            Lane::Enterprise => capabilities.enterprise = true,
            Lane::Openrouter => capabilities.openrouter = true,
            Lane::DirectProvider => capabilities.direct_provider = true,
            Lane::Disabled => {}
        }
        let decision = decide(&LaneFacts { capabilities, ..facts });
        assert_eq!(decision.lane, lane);
        decision.consent
    }

    #[test]
    fn a_delegate_on_the_managed_lane_needs_the_owners_permission_first() {
        let facts = LaneFacts { delegate: true, private_data: true, ..LaneFacts::default() };
        assert_eq!(on(Lane::DirectProvider, facts), Consent::LanePolicyDenied);
        let permitted = LaneFacts { owner_permission: true, ..facts };
        assert_eq!(on(Lane::DirectProvider, permitted), Consent::CloudConsentRequired);
        let consented = LaneFacts { consent_id_present: true, ..permitted };
        assert_eq!(on(Lane::DirectProvider, consented), Consent::Allow);
    }

    #[test]
    fn private_data_on_the_managed_lane_needs_a_consent_id_from_the_owner_too() {
        let facts = LaneFacts { private_data: true, ..LaneFacts::default() };
        assert_eq!(on(Lane::DirectProvider, facts), Consent::CloudConsentRequired);
        assert_eq!(on(Lane::DirectProvider, LaneFacts::default()), Consent::Allow);
    }

    #[test]
    fn a_delegate_writing_the_owners_partition_needs_the_opt_in_on_local_and_openrouter() {
        let facts =
            LaneFacts { delegate: true, writes_owner_partition: true, ..LaneFacts::default() };
        for lane in [Lane::Local, Lane::Openrouter] {
            assert_eq!(on(lane, facts), Consent::LanePolicyDenied);
            assert_eq!(on(lane, LaneFacts { owner_opt_in: true, ..facts }), Consent::Allow);
            assert_eq!(on(lane, LaneFacts { delegate: false, ..facts }), Consent::Allow);
            let reading = LaneFacts { writes_owner_partition: false, ..facts };
            assert_eq!(on(lane, reading), Consent::Allow);
        }
        for lane in [Lane::SelfHosted, Lane::Enterprise, Lane::Disabled] {
            assert_eq!(on(lane, facts), Consent::Allow);
        }
    }

    #[test]
    fn only_the_managed_lane_is_metered() {
        for lane in NORMAL.iter().chain(&[Lane::Disabled]) {
            assert_eq!(lane.is_metered(), *lane == Lane::DirectProvider, "{}", lane.as_str());
        }
    }

    #[test]
    fn words_are_those_of_contract_10() {
        let names: Vec<_> = NORMAL.iter().chain(&[Lane::Disabled]).map(|l| l.as_str()).collect();
        let wanted =
            ["local", "self_hosted", "enterprise", "openrouter", "direct_provider", "disabled"];
        assert_eq!(names, wanted);
        let decisions = [Consent::Allow, Consent::LanePolicyDenied, Consent::CloudConsentRequired];
        let wanted = ["allow", "lane_policy_denied", "cloud_consent_required"];
        assert_eq!(decisions.map(Consent::as_str), wanted);
    }

    proptest! {
        #[test]
        fn the_lane_is_always_one_that_is_there_and_privacy_never_pays(bits in 0u32..4096) {
            let bit = |n: u32| bits & (1 << n) != 0;
            let capabilities = Capabilities {
                local: bit(0), self_hosted: bit(1), enterprise: bit(2), openrouter: bit(3),
                direct_provider: bit(4),
            };
            let facts = LaneFacts {
                capabilities, organisation_privacy: bit(5), delegate: bit(6),
                owner_permission: bit(7), owner_opt_in: bit(8), writes_owner_partition: bit(9),
                private_data: bit(10), consent_id_present: bit(11),
            };
            let decision = decide(&facts);
            prop_assert!(decision.lane == Lane::Disabled || capabilities.has(decision.lane));
            prop_assert!(!(bit(5) && decision.lane == Lane::DirectProvider));
            if decision.lane == Lane::DirectProvider && decision.consent == Consent::Allow {
                prop_assert!(!bit(6) || bit(7));
                prop_assert!(!bit(10) || bit(11));
            }
        }
    }
}
