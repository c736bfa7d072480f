//! A runtime packed as llama.cpp's releases are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A `tar.gz` of one directory with the program, a link to it by another name, and its licence;
/// made in `dir`.
///
/// # Errors
/// When a file cannot be read or written.
pub fn packed(program: &Path, dir: &Path) -> Result<PathBuf> {
    let release = dir.join("llama-b1");
    std::fs::create_dir(&release)?;
    std::fs::copy(program, release.join("llama-server"))?;
    std::fs::write(release.join("LICENSE"), "MIT")?;
    std::os::unix::fs::symlink("llama-server", release.join("server"))?;
    let archive = dir.join("llama-b1.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(&archive).arg("-C").arg(dir).arg("llama-b1");
    ensure!(tar.status().context("tar")?.success(), "not packed");
    Ok(archive)
}
