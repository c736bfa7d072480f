//! `companionctl doctor`: what this computer and this installation are missing, and what mends it.
//!
//! Each file looks at one topic: it collects facts, and a plain function judges them.

mod catalog;
mod check;
mod clock;
mod configuration;
mod directories;
mod disk;
mod endpoint;
mod gpu;
mod kernel;
mod keychain;
mod leftovers;
mod memory;
mod network;
mod processes;

use std::process::ExitCode;

use serde_json::json;

use self::check::{Check, State};
use super::status::{Heard, hear};
use crate::context::Context;
use crate::output::Output;
use crate::refusal::{Failure, Refusal};

/// Checks everything that can be checked, and succeeds when nothing failed.
///
/// A refused configuration is itself a finding; what it would have named is then not checked.
pub(crate) async fn run(
    context: Result<&Context, &Refusal>,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let mut checks = computer();
    checks.push(configuration::check(context));
    if let Ok(context) = context {
        checks.extend(installation(context));
        let (hosts, companion) = tokio::join!(network::check(context.settings()), running(context));
        checks.extend(hosts);
        checks.extend(companion);
    }
    report(&checks, out)
}

fn computer() -> Vec<Check> {
    vec![kernel::check(), kernel::check_confinement(), clock::check(), gpu::check()]
}

fn installation(context: &Context) -> Vec<Check> {
    let mut checks = vec![memory::check(context.settings()), disk::check(context.dirs())];
    checks.extend(directories::check(context.dirs()));
    checks
}

/// The checks that ask the processes; of those that do not run, their absence is the finding.
async fn running(context: &Context) -> Vec<Check> {
    let heard = hear(context).await;
    let runs = heard.is_anybody() || context.is_running().await;
    let mut checks = vec![
        processes::judge(runs, &heard),
        leftovers::check(context.dirs(), runs, heard.supervisor.as_ref()),
    ];
    let Heard { frontdoor, supervisor: _, broker } = heard;
    if let Some(session) = broker {
        checks.extend([keychain::judge(&session), keychain::judge_session(&session)]);
        checks.push(catalog::check(context).await);
    }
    if let Some(door) = frontdoor {
        checks.extend([endpoint::check(&door).await, endpoint::judge_availability(&door)]);
    }
    checks
}

fn report(checks: &[Check], out: &Output) -> Result<ExitCode, Failure> {
    let failed = checks.iter().filter(|check| check.state == State::Fail).count();
    out.object(&json!({ "healthy": failed == 0, "checks": checks }))?;
    for check in checks {
        out.say(&check.for_people(out.style()))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
