//! Where the workspace and its build lie, and cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{must_succeed, output_of};

/// The directories of this checkout.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    /// Where `Cargo.toml` lies.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
}

/// How the programs are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to compile.
    Dev,
    /// What people run.
    Release,
}

impl Workspace {
    /// Finds them.
    ///
    /// # Errors
    /// When cargo does not answer.
    pub(crate) fn find() -> Result<Self> {
        // At run time, so that a moved checkout is found; else where this program was compiled.
        let own = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = own.parent().context("no workspace above xtask")?.to_owned();
        let mut metadata = cargo(&root);
        metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
        let metadata = output_of(&mut metadata).context("cargo metadata")?;
        let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
        let target = metadata["target_directory"].as_str().context("no target directory")?;
        Ok(Self { root, target: PathBuf::from(target) })
    }

    /// `cargo`, run here.
    pub(crate) fn cargo(&self) -> Command {
        cargo(&self.root)
    }

    /// Builds every program.
    ///
    /// # Errors
    /// When it does not compile.
    pub(crate) fn build(&self, profile: Profile) -> Result<Programs> {
        let mut build = self.cargo();
        build.args(["build", "--locked", "--workspace", "--bins"]);
        if profile == Profile::Release {
            build.arg("--release");
        }
        must_succeed(&mut build).context("the workspace does not compile")?;
        Ok(self.programs(profile))
    }

    /// Where the programs with a planted backdoor are put aside.
    pub(crate) fn captured(&self) -> PathBuf {
        self.target.join("captured")
    }

    /// Where the built programs lie.
    pub(crate) fn programs(&self, profile: Profile) -> Programs {
        let name = match profile {
            Profile::Dev => "debug",
            Profile::Release => "release",
        };
        Programs { dir: self.target.join(name) }
    }
}

/// The built programs.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// Their directory.
    pub(crate) dir: PathBuf,
}

impl Programs {
    /// The path of one.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}
