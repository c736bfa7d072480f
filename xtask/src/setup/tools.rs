//! Tools that only the tests use: cargo-deny, cargo-nextest, Python with what they import.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cache::Cache;
use super::pip::{pip, python};
use crate::process::{must_succeed, output_of};
use crate::report::Report;

/// A cargo subcommand from crates.io.
#[derive(Debug, Clone, Copy)]
struct CargoTool {
    krate: &'static str,
    subcommand: &'static str,
    /// What is installed where none is.
    version: &'static str,
    /// Oldest that is taken as it is: major, minor.
    oldest: (u32, u32),
}

const DENY: CargoTool =
    CargoTool { krate: "cargo-deny", subcommand: "deny", version: "0.20.2", oldest: (0, 18) };
const NEXTEST: CargoTool =
    CargoTool { krate: "cargo-nextest", subcommand: "nextest", version: "0.9.143", oldest: (0, 9) };

/// What the tests import: the clients that the guides name; the reference implementation of
/// TUF that makes repositories for the catalog, and its keys; an authorization server to sign in at;
/// a reader of Prometheus' text format.
pub(super) const PYTHON_PACKAGES: [&str; 9] = [
    "openai==3.54.0",
    "langchain-openai==1.7.4",
    "llm==0.36",
    "tuf==7.0.1",
    "securesystemslib==1.6.0",
    "cryptography==50.0.2",
    "Authlib==1.9.10",
    "Flask==3.1.3",
    "prometheus-client==0.26.0",
];

/// cargo-deny, installed into the cache where there is none.
///
/// # Errors
/// When it cannot be installed.
pub(crate) fn cargo_deny(report: &mut Report, cache: &Cache) -> Result<()> {
    ensure(report, cache, DENY, "once a machine, 2 to 4 minutes on two cores")
}

/// cargo-nextest, installed into the cache where there is none.
///
/// # Errors
/// When it cannot be installed.
pub(crate) fn cargo_nextest(report: &mut Report, cache: &Cache) -> Result<()> {
    ensure(report, cache, NEXTEST, "once a machine, 3 to 6 minutes on two cores")
}

/// PATH with the cache's tools behind what the person has.
///
/// # Errors
/// When PATH holds what cannot be joined.
pub(crate) fn path_with_tools(cache: &Cache) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = cache.path("tools/bin");
    Ok(std::env::join_paths(std::env::split_paths(&path).chain([own]))?)
}

fn ensure(report: &mut Report, cache: &Cache, tool: CargoTool, remark: &str) -> Result<()> {
    let mut asked = Command::new("cargo");
    asked.args([tool.subcommand, "--version"]).env("PATH", path_with_tools(cache)?);
    if output_of(&mut asked).and_then(|said| version_in(&said)) >= Some(tool.oldest) {
        return Ok(());
    }
    let step = report.begin_long(&format!("Install {}", tool.krate), remark);
    let work = cache.directory(&format!("work-{}", tool.krate))?;
    let mut install = Command::new("cargo");
    install
        .args(["install", "--locked", tool.krate, "--version", tool.version, "--root"])
        .arg(cache.path("tools"))
        // Outside the checkout, so that no setting of it applies; and kept until done.
        .current_dir(&work)
        .env("CARGO_TARGET_DIR", work.join("target"))
        // A tool that runs for seconds need not be optimised for minutes.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    must_succeed(&mut install).with_context(|| format!("cannot install {}", tool.krate))?;
    fs::remove_dir_all(&work)?;
    report.done(step, tool.version);
    Ok(())
}

/// Major and minor of the first version in what a tool says of itself.
fn version_in(said: &str) -> Option<(u32, u32)> {
    said.split_whitespace().find_map(|word| {
        let mut numbers = word.split('.').map(str::parse);
        match (numbers.next()?, numbers.next()?) {
            (Ok(major), Ok(minor)) => Some((major, minor)),
            _ => None,
        }
    })
}

/// The toolchain's formatter and linter.
///
/// # Errors
/// When they are missing and rustup cannot add them.
pub(crate) fn rust_components() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if output_of(Command::new("cargo").args([subcommand, "--version"])).is_none() {
            must_succeed(Command::new("rustup").args(["component", "add", component]))
                .with_context(|| {
                    format!("{component} is missing: rustup component add {component}")
                })?;
        }
    }
    Ok(())
}

/// A program that runs Python with the packages of the tests and nothing else of ours.
///
/// No virtual environment: Debian's Python cannot make one without a further package.
///
/// # Errors
/// When pip cannot install it.
pub(crate) fn test_python(report: &mut Report, cache: &Cache) -> Result<PathBuf> {
    let told = "import sys; print('cp%d%d' % sys.version_info[:2]); print(sys.executable)";
    let told = output_of(python().args(["-c", told])).context("no python3")?;
    let (tag, executable) = told.split_once('\n').context("no python3")?;
    let name = format!("python-{}-{tag}", PYTHON_PACKAGES.join("-").replace("==", "-"));
    let (dir, program) = (cache.path(&name), cache.path(&name).join("python"));
    if program.is_file() {
        return Ok(program);
    }
    let step =
        report.begin_long("Install the Python packages of the tests", "once a machine, from PyPI");
    let partial = cache.path(&format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir(&partial)?;
    let packages = partial.join("packages");
    must_succeed(
        pip()
            .args(["install", "--quiet", "--no-warn-conflicts", "--target"])
            .arg(&packages)
            .args(PYTHON_PACKAGES),
    )
    .with_context(|| format!("cannot install {} from PyPI", PYTHON_PACKAGES.join(" ")))?;
    write_wrapper(&partial.join("python"), executable, &dir.join("packages"))?;
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::rename(&partial, &dir)?;
    report.done(step, &PYTHON_PACKAGES.join(" "));
    Ok(program)
}

fn write_wrapper(path: &Path, executable: &str, packages: &Path) -> Result<()> {
    let packages = packages.to_str().context("the cache has a name that is no text")?;
    let script =
        format!("#!/bin/sh\nPYTHONPATH={} exec {} \"$@\"\n", quoted(packages), quoted(executable));
    fs::write(path, script)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_tool_is_read_from_what_it_says() {
        assert_eq!(version_in("cargo-deny 0.20.2"), Some((0, 20)));
        assert_eq!(
            version_in("cargo-nextest 0.9.143 (60fa45f63 2026-08-04)\nrelease: 0.9.143"),
            Some((0, 9))
        );
        assert_eq!(version_in("no version here"), None);
        assert!(None < Some(DENY.oldest), "a tool that says nothing is too old");
    }

    #[test]
    fn a_path_with_a_quote_stays_one_word() {
        assert_eq!(quoted("/a'b c"), r"'/a'\''b c'");
    }
}
