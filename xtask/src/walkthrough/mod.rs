//! `cargo xtask walkthrough`: a newcomer types what the README says, from a clone to an answer, in
//! five minutes of their own time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use nix::unistd::Uid;

use crate::process::{must_succeed, output_of};
use crate::report::Report;
use crate::test::{Surroundings, build, nextest, prepare};
use crate::workspace::Workspace;

/// The test that types; `cargo xtask test` passes over it, since it compiles a clone.
const TEST: &str = "a_newcomer_gets_from_clone_to_an_answer_in_five_minutes";
/// Where nextest says that it lies.
const TEST_PROGRAM: &str = "promises::end_to_end_documents";
/// What makes a user account that nobody else sees, and runs the test there.
const NEWCOMER: &str = include_str!("newcomer.sh");
/// Namespaces of its own: what is mounted, and what runs, ends with it.
const UNSHARE: [&str; 5] = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Runs it: for a fresh user account where this is root, else in an empty home. The clone is of what
/// is committed; crates of others that it compiles are kept beneath the target directory for the
/// next time.
///
/// # Errors
/// When something cannot be set up, fails, or takes longer.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let surroundings = prepare(&mut Report::for_people())?;
    must_succeed(&mut build(&workspace))?;
    let place = workspace.target.join("walkthrough");
    if can_unshare() {
        eprintln!("For a fresh user account, in namespaces of its own.");
        let walked = as_a_newcomer(&workspace, &surroundings, &place);
        clear(&place)?;
        walked?;
    } else {
        eprintln!(
            "In an empty home of this very user: a fresh account takes root, and a kernel that lets \
             it unshare its mounts."
        );
        in_an_empty_home(&workspace, &surroundings, &place)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn can_unshare() -> bool {
    let tried = output_of(Command::new("unshare").args(UNSHARE).arg("true"));
    Uid::effective().is_root() && tried.is_some()
}

fn as_a_newcomer(workspace: &Workspace, surroundings: &Surroundings, place: &Path) -> Result<()> {
    clear(place)?;
    fs::create_dir_all(place)?;
    let made = surroundings.assets.model.parent().context("no cache")?;
    let mut walk = Command::new("unshare");
    walk.args(UNSHARE)
        .args(["bash", "-euo", "pipefail", "-c", NEWCOMER, "newcomer"])
        .args([place, &test_program(workspace, surroundings)?, &toolchain()?])
        .args([&registry()?, made, &workspace.root])
        .arg(TEST);
    must_succeed(&mut walk)
}

/// Everything but what was compiled.
fn clear(place: &Path) -> Result<()> {
    for entry in fs::read_dir(place).into_iter().flatten() {
        let entry = entry?;
        if entry.file_name() == "target" {
            continue;
        }
        let removed = if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        removed.with_context(|| entry.path().display().to_string())?;
    }
    Ok(())
}

fn test_program(workspace: &Workspace, surroundings: &Surroundings) -> Result<PathBuf> {
    let mut list = workspace.cargo();
    list.args(["nextest", "list", "--locked", "--workspace", "--list-type", "binaries-only"])
        .args(["--message-format", "json"])
        .env("PATH", &surroundings.path);
    let list: serde_json::Value =
        serde_json::from_str(&output_of(&mut list).context("cargo nextest list")?)?;
    let program = list["rust-binaries"][TEST_PROGRAM]["binary-path"].as_str();
    program.map(PathBuf::from).context("the test is not built")
}

/// Where the compiler lies with all that belongs to it.
fn toolchain() -> Result<PathBuf> {
    let sysroot = output_of(Command::new("rustc").args(["--print", "sysroot"]));
    sysroot.map(PathBuf::from).context("rustc --print sysroot")
}

/// What cargo has downloaded.
fn registry() -> Result<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    Ok(named.or_else(home).context("neither CARGO_HOME nor HOME is set")?.join("registry"))
}

fn in_an_empty_home(
    workspace: &Workspace,
    surroundings: &Surroundings,
    place: &Path,
) -> Result<()> {
    let mut walk = nextest(workspace, surroundings);
    walk.args(["--run-ignored", "only", "--no-capture", "-E", &format!("test(={TEST})")])
        .env("COMPANION_WALKTHROUGH_TARGET", place.join("target"));
    must_succeed(&mut walk)
}
