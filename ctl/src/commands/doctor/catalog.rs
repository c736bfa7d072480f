//! The catalog: fetched and verified by the broker at this moment.

use authority_api::v1::{CatalogEntry, Kind, ListCatalogRequest};

use super::check::{Check, State};
use crate::context::{Context, Process, limits};
use crate::refusal::Refusal;

pub(super) async fn check(context: &Context) -> Check {
    let mut broker = context.broker();
    let call = broker.list_catalog(ListCatalogRequest {});
    let answer = context.ask(Process::Broker, limits::NETWORK, call).await;
    judge(answer.map(|catalog| catalog.entries))
}

fn judge(catalog: Result<Vec<CatalogEntry>, Refusal>) -> Check {
    let entries = match catalog {
        Ok(entries) => entries,
        Err(refusal) => {
            // A step that is still to be taken is no fault.
            let ahead = ["not_signed_in", "catalog_not_configured"].contains(&refusal.reason());
            let state = if ahead { State::Warn } else { State::Fail };
            return Check::refused("catalog", state, &refusal);
        }
    };
    let models = entries.iter().filter(|entry| entry.kind() == Kind::Model).count();
    let runtimes = entries.iter().filter(|entry| entry.suits_this_machine).count();
    if models > 0 && runtimes > 0 {
        let of = if models == 1 { "model" } else { "models" };
        let meaning = format!("It is reached and verified, and lists {models} {of}.");
        return Check::ok("catalog", meaning);
    }
    Check::warn(
        "catalog",
        "It is reached and verified, and lacks a model, or a runtime for this machine.",
        "See `companionctl models`, and tell whoever signs the catalog.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, suits_this_machine: bool) -> CatalogEntry {
        CatalogEntry { kind: kind.into(), suits_this_machine, ..CatalogEntry::default() }
    }

    #[test]
    fn a_catalog_lists_what_this_machine_can_run() {
        let model = || entry(Kind::Model, false);
        let runtime = |suits| entry(Kind::Runtime, suits);
        assert_eq!(judge(Ok(vec![model(), runtime(true)])).state, State::Ok);
        for lacking in [vec![], vec![model()], vec![runtime(true)], vec![model(), runtime(false)]] {
            assert_eq!(judge(Ok(lacking)).state, State::Warn);
        }
    }

    #[test]
    fn a_refused_catalog_fails_unless_only_a_step_is_ahead() {
        for (reason, state) in [
            ("not_signed_in", State::Warn),
            ("catalog_not_configured", State::Warn),
            ("manifest_untrusted", State::Fail),
            ("catalog_unreachable", State::Fail),
            ("broker_unreachable", State::Fail),
            ("keychain_locked", State::Fail),
        ] {
            assert_eq!(judge(Err(Refusal::told(reason))).state, state, "{reason}");
        }
    }
}
