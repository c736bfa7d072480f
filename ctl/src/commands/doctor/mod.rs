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

use serde::Serialize;
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
    let mut report = Report::without_processes(context);
    if let Ok(context) = context {
        let (hosts, companion) = tokio::join!(network::check(context.settings()), running(context));
        report.0.extend(hosts.into_iter().chain(companion));
    }
    out.object(&json!({ "healthy": report.is_healthy(), "checks": report.checks() }))?;
    report.say(out)?;
    Ok(if report.is_healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Report(Vec<Check>);

impl Report {
    /// All that can be known while the companion does not run, and need not.
    pub(crate) async fn before_the_start(context: Result<&Context, &Refusal>) -> Self {
        let mut report = Self::without_processes(context);
        if let Ok(context) = context {
            report.0.extend(network::check(context.settings()).await);
        }
        report
    }

    fn without_processes(context: Result<&Context, &Refusal>) -> Self {
        let mut checks = computer();
        checks.push(configuration::check(context));
        checks.extend(context.into_iter().flat_map(installation));
        Self(checks)
    }

    /// Whether nothing fails; a warning is no failure.
    pub(crate) fn is_healthy(&self) -> bool {
        self.0.iter().all(|check| check.state != State::Fail)
    }

    /// For programs.
    pub(crate) fn checks(&self) -> &impl Serialize {
        &self.0
    }

    /// For people, a line each.
    fn say(&self, out: &Output) -> Result<(), Failure> {
        self.0.iter().try_for_each(|check| out.say(&check.for_people(out.style())))
    }

    /// For people, how many are fine, and a line for each of the others.
    pub(crate) fn say_in_short(&self, out: &Output) -> Result<(), Failure> {
        let others: Vec<_> = self.0.iter().filter(|check| check.state != State::Ok).collect();
        let fine = self.0.len() - others.len();
        out.say(&format!("{fine} of {} checks are fine (companionctl doctor)", self.0.len()))?;
        others.iter().try_for_each(|check| out.say(&check.for_people(out.style())))
    }
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
