//! Where the real `llama-server` and the real model lie on a development machine.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// File name of the development model.
pub const MODEL_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// File name of the runtime.
pub const LLAMA_SERVER_FILE: &str = "llama-server";

/// The two real files that the whole-system tests run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assets {
    /// The `llama-server` program.
    pub llama_server: PathBuf,
    /// The model, a GGUF file.
    pub model: PathBuf,
}

impl Assets {
    /// Finds them: `COMPANION_LLAMA_SERVER` and `COMPANION_MODEL`, else the cache directory
    /// (`COMPANION_DEV_CACHE`, else `$XDG_CACHE_HOME/companion-dev`, else
    /// `~/.cache/companion-dev`).
    ///
    /// # Errors
    /// When one is not there; the message says which command makes it.
    pub fn find() -> Result<Self> {
        Self::find_in(|name| env::var_os(name).map(PathBuf::from))
    }

    fn find_in(env: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        let cache = env("COMPANION_DEV_CACHE")
            .or_else(|| env("XDG_CACHE_HOME").map(|dir| dir.join("companion-dev")))
            .or_else(|| env("HOME").map(|dir| dir.join(".cache/companion-dev")));
        let find = |variable: &str, file: &str| {
            let path = env(variable)
                .or_else(|| cache.as_ref().map(|dir| dir.join(file)))
                .with_context(|| format!("neither {variable} nor HOME is set"))?;
            ensure_file(&path)?;
            Ok::<_, anyhow::Error>(path)
        };
        Ok(Self {
            llama_server: find("COMPANION_LLAMA_SERVER", LLAMA_SERVER_FILE)?,
            model: find("COMPANION_MODEL", MODEL_FILE)?,
        })
    }
}

fn ensure_file(path: &Path) -> Result<()> {
    ensure!(
        path.is_file(),
        "{} is not there: `cargo xtask setup` makes it (once a machine)",
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_wins_over_the_cache_and_a_missing_one_names_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let (named, cached) = (dir.path().join("named"), dir.path().join("companion-dev"));
        std::fs::create_dir(&cached).unwrap();
        for file in [named.clone(), cached.join(MODEL_FILE)] {
            std::fs::write(file, b"x").unwrap();
        }
        let env = |name: &str| match name {
            "COMPANION_LLAMA_SERVER" => Some(named.clone()),
            "XDG_CACHE_HOME" => Some(dir.path().to_owned()),
            _ => None,
        };
        let found = Assets::find_in(env).unwrap();
        assert_eq!(found, Assets { llama_server: named.clone(), model: cached.join(MODEL_FILE) });

        std::fs::remove_file(cached.join(MODEL_FILE)).unwrap();
        let error = Assets::find_in(env).unwrap_err().to_string();
        assert!(error.contains("cargo xtask setup"), "{error}");
    }
}
