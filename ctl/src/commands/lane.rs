//! `companionctl lane`: which lane a piece of work may take (contract 10).

use std::process::ExitCode;

use clap::Args;
use frontdoor_api::v1::{GetStatusRequest, LaneCapabilities, LaneDecision, LaneRequest};
use serde_json::{Value, json};

use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};
use crate::terminal::{Paint, plain};

#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  companionctl lane
  companionctl lane --organisation-privacy --enterprise
  companionctl lane --direct-provider --private-data --consent-id 4f1c

What is not said is not allowed. Whether the local lane is open is not said but seen: it is while
the endpoint is available. Exit code 1 when the policy refuses.")]
pub(crate) struct LaneArgs {
    /// Decide in organisation privacy mode
    #[arg(long, alias = "organization-privacy")]
    organisation_privacy: bool,
    /// A server of one's own can be used
    #[arg(long)]
    self_hosted: bool,
    /// The organisation's service can be used
    #[arg(long)]
    enterprise: bool,
    /// OpenRouter can be used
    #[arg(long)]
    openrouter: bool,
    /// The managed lane, a provider paid by use, can be used
    #[arg(long)]
    direct_provider: bool,
    /// A delegate asks, not the owner
    #[arg(long)]
    delegate: bool,
    /// The owner permits the delegate the managed lane
    #[arg(long)]
    owner_permission: bool,
    /// The owner lets delegates write into the owner's partition
    #[arg(long)]
    owner_opt_in: bool,
    /// The work writes into the owner's partition
    #[arg(long)]
    writes_owner_partition: bool,
    /// The work carries private data
    #[arg(long)]
    private_data: bool,
    /// Id of the consent record; only whether there is one is passed on
    #[arg(long, value_name = "ID")]
    consent_id: Option<String>,
}

pub(crate) async fn run(
    args: &LaneArgs,
    context: &Context,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let mut frontdoor = context.frontdoor();
    let call = frontdoor.get_status(GetStatusRequest {});
    let status = context.ask(Process::Frontdoor, limits::FACTS, call).await?;
    let call = frontdoor.decide_lane(request(args, status.available));
    let decision = context.ask(Process::Frontdoor, limits::FACTS, call).await?;
    out.object(&as_json(&decision))?;
    out.say(&for_people(&decision, out))?;
    Ok(if decision.decision == "allow" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn request(args: &LaneArgs, local: bool) -> LaneRequest {
    LaneRequest {
        capabilities: Some(LaneCapabilities {
            local,
            self_hosted: args.self_hosted,
            enterprise: args.enterprise,
            openrouter: args.openrouter,
            direct_provider: args.direct_provider,
        }),
        organisation_privacy: args.organisation_privacy,
        delegate: args.delegate,
        owner_permission: args.owner_permission,
        owner_opt_in: args.owner_opt_in,
        writes_owner_partition: args.writes_owner_partition,
        private_data: args.private_data,
        consent_id_present: args.consent_id.as_ref().is_some_and(|id| !id.trim().is_empty()),
    }
}

fn as_json(decision: &LaneDecision) -> Value {
    json!({
        "lane": decision.lane,
        "decision": decision.decision,
        "metered": decision.metered,
    })
}

fn for_people(decision: &LaneDecision, out: &Output) -> String {
    let lane = out.style().paint(Paint::Strong, &plain(&decision.lane));
    if decision.decision != "allow" {
        return format!("{lane}: {}", Refusal::told(&decision.decision).message());
    }
    match (decision.lane.as_str(), decision.metered) {
        ("disabled", _) => format!("{lane}: no lane is open for this work."),
        (_, true) => format!("{lane}: allowed, paid by use."),
        (_, false) => format!("{lane}: allowed; nothing is paid for it."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_not_allowed() {
        let plain = request(&LaneArgs::default(), false);
        let nothing = LaneRequest {
            capabilities: Some(LaneCapabilities::default()),
            ..LaneRequest::default()
        };
        assert_eq!(plain, nothing);
    }

    #[test]
    fn only_the_presence_of_a_consent_id_travels() {
        let with = |id: &str| {
            let args = LaneArgs { consent_id: Some(id.to_owned()), ..LaneArgs::default() };
            request(&args, true).consent_id_present
        };
        assert!(with("4f1c"));
        assert!(!with("") && !with("  "));
    }

    #[test]
    fn a_decision_has_stable_field_names_and_words() {
        let denied = LaneDecision {
            lane: "direct_provider".to_owned(),
            decision: "cloud_consent_required".to_owned(),
            metered: true,
        };
        assert_eq!(
            as_json(&denied),
            json!({ "lane": "direct_provider", "decision": "cloud_consent_required",
                "metered": true })
        );
        assert!(for_people(&denied, &Output::new(false)).contains("(cloud_consent_required)"));
        let local =
            LaneDecision { lane: "local".to_owned(), decision: "allow".to_owned(), metered: false };
        assert!(for_people(&local, &Output::new(false)).starts_with("local: allowed"));
    }
}
