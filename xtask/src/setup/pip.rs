//! Pinned files from PyPI, fetched by pip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cache::verify;
use crate::process::must_succeed;

/// One file on PyPI, and the only bytes it may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pinned {
    /// Name of the project.
    pub(crate) project: &'static str,
    /// Exact version.
    pub(crate) version: &'static str,
    /// Name of the file that pip leaves.
    pub(crate) file: &'static str,
    /// SHA-256 of the file.
    pub(crate) sha256: &'static str,
    /// Whether the source distribution is wanted.
    pub(crate) is_source: bool,
}

/// Fetches the file into `dir` unless it is there, and checks its digest: pip does before it
/// does anything with it, and we do.
///
/// # Errors
/// When it cannot be fetched, or is another file.
pub(crate) fn download(pinned: &Pinned, dir: &Path) -> Result<PathBuf> {
    let file = dir.join(pinned.file);
    if !file.is_file() {
        let requirements = dir.join(format!("{}.txt", pinned.project));
        let Pinned { project, version, sha256, .. } = pinned;
        fs::write(&requirements, format!("{project}=={version} --hash=sha256:{sha256}\n"))?;
        let mut pip = pip();
        pip.args(["download", "--no-deps", "--require-hashes", "--dest"]).arg(dir);
        if pinned.is_source {
            pip.args(["--no-binary", project]);
        }
        must_succeed(pip.arg("--requirement").arg(&requirements))
            .with_context(|| format!("cannot fetch {project} {version} from PyPI"))?;
        fs::remove_file(&requirements)?;
    }
    verify(&file, pinned.sha256)?;
    Ok(file)
}

/// `python3 -m pip`.
pub(crate) fn pip() -> Command {
    let mut command = python();
    command.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
    // In a container root is who there is; older versions do not know the word, and let it be.
    command.env("PIP_ROOT_USER_ACTION", "ignore");
    command
}

/// `python3`.
pub(crate) fn python() -> Command {
    Command::new("python3")
}
