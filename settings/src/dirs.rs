//! The three directories of an installation (contract 12).

use std::path::{Path, PathBuf};

/// Directories given on the command line; each replaces the XDG one.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--runtime-dir`: used as it is, without the profile beneath it.
    pub runtime: Option<PathBuf>,
    /// `--state-dir`: used as it is, without the profile beneath it.
    pub state: Option<PathBuf>,
    /// `--data-dir`.
    pub data: Option<PathBuf>,
}

/// Where sockets, state and models of one profile lie. Nothing is created here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// Sockets: `$XDG_RUNTIME_DIR/companion/<profile>`.
    pub runtime: PathBuf,
    /// State: `$XDG_STATE_HOME/companion/<profile>`.
    pub state: PathBuf,
    /// Models and runtimes: `$XDG_DATA_HOME/companion`, shared by the profiles of one user.
    pub data: PathBuf,
    /// True when there was no `XDG_RUNTIME_DIR` and the sockets lie under the state directory.
    pub runtime_is_fallback: bool,
}

impl Dirs {
    /// `broker.sock`, `supervisor.sock`, … in the runtime directory.
    #[must_use]
    pub fn socket(&self, name: &str) -> PathBuf {
        self.runtime.join(name)
    }

    /// The scratch directory of the runtime, where its socket is born.
    #[must_use]
    pub fn runtime_scratch(&self) -> PathBuf {
        self.runtime.join("runtime")
    }

    /// The broker's own state directory.
    #[must_use]
    pub fn broker_state(&self) -> PathBuf {
        self.state.join("broker")
    }

    /// The content-addressed store of verified files.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    /// The directories by environment and override (XDG Base Directory Specification).
    #[must_use]
    pub fn resolve(
        profile: &str,
        overrides: &Overrides,
        env: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME").unwrap_or_else(|| Path::new("/").to_path_buf());
        let under = |name: &str, fallback: &str| {
            absolute(name).unwrap_or_else(|| home.join(fallback)).join("companion")
        };
        let state = overrides
            .state
            .clone()
            .unwrap_or_else(|| under("XDG_STATE_HOME", ".local/state").join(profile));
        let data = overrides.data.clone().unwrap_or_else(|| under("XDG_DATA_HOME", ".local/share"));
        let named = overrides
            .runtime
            .clone()
            .or_else(|| absolute("XDG_RUNTIME_DIR").map(|dir| dir.join("companion").join(profile)));
        let runtime_is_fallback = named.is_none();
        let runtime = named.unwrap_or_else(|| state.join("run"));
        Self { runtime, state, data, runtime_is_fallback }
    }
}
