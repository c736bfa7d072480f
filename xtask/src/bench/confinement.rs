//! What the walls cost: entering a policy, and each system call behind one.
//!
//! There is no companion without them to compare with, so the parts are measured by themselves,
//! each in a fresh process, as each process enters its policy once. What `companion up` takes in all
//! is told beside: the launcher's monitor is in it, and cannot cost more.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{Measured, median};
use crate::process::output_of;
use crate::scratch::Scratch;
use crate::setup::Assets;
use crate::signals::Signals;
use crate::stage::{Companion, Servers};
use crate::workspace::Programs;

/// Measures one part.
const COST: &str = "confinement-cost";
/// Every process that enters a policy before the first answer.
const ROLES: [&str; 4] = ["broker", "supervisor", "frontdoor", "runtime"];
/// The project's own targets: all policies together, and what a request may notice. A relayed
/// request makes fewer than a hundred system calls in the front door, and takes some 50 us.
const START_MS: f64 = 30.0;
const HUNDRED_CALLS_US: f64 = 5.0;
/// What a person does not wait for.
const UP_MS: f64 = 100.0;

/// Measures entering all policies, calls behind the front door's, and a whole start.
///
/// # Errors
/// When a part does not run.
pub(crate) fn measure(
    programs: &Programs,
    assets: &Assets,
    samples: usize,
) -> Result<Vec<Measured>> {
    let scratch = Scratch::make()?;
    let directory = scratch.path("places");
    std::fs::create_dir(&directory)?;
    let directory = directory.to_str().context("a path is no text")?;
    let cost = |words: &[&str]| -> Result<f64> {
        let mut command = Command::new(programs.path(COST));
        Ok(output_of(command.args(words)).context(COST)?.trim().parse()?)
    };
    let (mut start, mut bare, mut confined) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..samples {
        let entered = ROLES.iter().map(|role| cost(&["enter", role, directory]));
        start.push(entered.sum::<Result<f64>>()? / 1000.0);
        bare.push(cost(&["calls"])?);
        confined.push(cost(&["calls", "frontdoor", directory])?);
    }
    // A pair is two calls.
    let (bare, confined) = (median(bare), median(confined));
    let hundred = (confined - bare).max(0.0) * 50.0 / 1000.0;
    Ok(vec![
        Measured {
            case: "confinement-start",
            unit: "ms",
            ours: median(start),
            rivals: Vec::new(),
            target: START_MS,
            target_rule: "all four policies",
            samples,
        },
        Measured {
            case: "confinement-calls",
            unit: "us",
            ours: hundred,
            rivals: vec![("the calls themselves", bare * 50.0 / 1000.0)],
            target: HUNDRED_CALLS_US,
            target_rule: "added to a hundred system calls",
            samples,
        },
        whole_start(programs, assets, &scratch, samples)?,
    ])
}

/// From exec of `companion` to its word that it serves.
fn whole_start(
    programs: &Programs,
    assets: &Assets,
    scratch: &Scratch,
    samples: usize,
) -> Result<Measured> {
    let signals = Signals::block()?;
    let servers = Servers::up(programs, assets, scratch, &signals)?;
    let mut taken = Vec::new();
    for _ in 0..samples {
        let own = Scratch::make()?;
        let begun = Instant::now();
        let companion = Companion::up(programs, &servers, &own, &signals, &[])?;
        taken.push(begun.elapsed().as_secs_f64() * 1000.0);
        let status = companion.ask(&["status"])?;
        companion.stop(&status["pids"])?;
    }
    servers.stop(&signals)?;
    Ok(Measured {
        case: "companion-up",
        unit: "ms",
        ours: median(taken),
        rivals: Vec::new(),
        target: UP_MS,
        target_rule: "everything that is in a start, the walls among it",
        samples,
    })
}
