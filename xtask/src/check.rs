//! `cargo xtask check`: the quick look before a commit.

use std::process::ExitCode;

use anyhow::Result;

use crate::report::Report;
use crate::setup;
use crate::test::{Checks, format, graph, lints};
use crate::workspace::Workspace;

/// Runs format, clippy and the crate graph.
///
/// # Errors
/// When a tool is missing.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    setup::rust_components()?;
    let mut checks = Checks::new(Report::for_people());
    checks.one("format", &mut format(&workspace))?;
    checks.one("lints", &mut lints(&workspace))?;
    checks.one("crate graph", &mut graph(&workspace))?;
    Ok(checks.finish())
}
