//! `cargo xtask walkthrough`: a person with an empty home types what the README says, from a clone
//! to an answer, in five minutes of their own time.

use std::process::ExitCode;

use anyhow::Result;

use crate::process::must_succeed;
use crate::report::Report;
use crate::test::{build, nextest, prepare};
use crate::workspace::Workspace;

/// The test that types; `cargo xtask test` passes over it, since it compiles a clone.
const TEST: &str = "test(=a_fresh_home_gets_from_clone_to_an_answer_in_five_minutes)";

/// Runs it. The clone is of what is committed; crates of others that it compiles are kept beneath
/// the target directory for the next time.
///
/// # Errors
/// When something cannot be set up, fails, or takes longer.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let surroundings = prepare(&mut Report::for_people())?;
    must_succeed(&mut build(&workspace))?;
    let mut walk = nextest(&workspace, &surroundings);
    walk.args(["--run-ignored", "only", "--no-capture", "-E", TEST])
        .env("COMPANION_WALKTHROUGH_TARGET", workspace.target.join("walkthrough"));
    must_succeed(&mut walk)?;
    Ok(ExitCode::SUCCESS)
}
