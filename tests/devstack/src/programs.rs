//! Where the programs under test lie.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The path of a built program of this workspace: in `COMPANION_BIN_DIR`, else in the nearest
/// directory above this very program that holds it (`target/debug` for a test of `target/debug/deps`).
///
/// # Errors
/// When it has not been built.
pub fn find(name: &str) -> Result<PathBuf> {
    if let Some(dir) = env::var_os("COMPANION_BIN_DIR") {
        let path = PathBuf::from(dir).join(name);
        if path.is_file() {
            return Ok(path);
        }
        bail!("{} is not there", path.display());
    }
    let own = env::current_exe()?;
    own.ancestors()
        .skip(1)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not built: cargo build --workspace"))
}
