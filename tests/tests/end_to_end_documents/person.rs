//! Who reads the documents: a person with an empty home, or a fresh user account.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use devstack::assets::Assets;
use devstack::programs;
use devstack::session_bus::SessionBus;
use tempfile::TempDir;
use tokio::process::Command;
use typist::{Block, Desk, Done, blocks};

/// Commands that go on, and what they show once they are up.
const STAY: [(&str, &str); 3] = [
    ("companion up", "companionctl status)"),
    ("COMPANION_PROFILE=tutorial companion up", "companionctl status)"),
    ("target/debug/devstack up", "trust_root"),
];

/// An empty home on a machine that is set up, with a desktop session whose keyring is open.
pub(crate) struct Person {
    home: PathBuf,
    clone: PathBuf,
    run: PathBuf,
    bus: SessionBus,
    _dir: TempDir,
}

impl Person {
    /// With what a login sets, where `cargo xtask walkthrough` made an account; else in a home
    /// beneath the temporary directory.
    pub(crate) async fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("doc").tempdir()?;
        let own = |name: &str| -> Result<PathBuf> {
            let path = dir.path().join(name);
            fs::DirBuilder::new().mode(0o700).create(&path)?;
            Ok(path)
        };
        let account = told("COMPANION_WALKTHROUGH_ACCOUNT");
        let (home, run) = match (account, told("XDG_RUNTIME_DIR")) {
            (Some(home), Some(run)) => (home, run),
            _ => (own("home")?, own("run")?),
        };
        let bus = SessionBus::start(&own("bus")?).await?;
        // The machine's set-up, under the name by which this person knows it.
        let made = Assets::find()?.model.parent().context("no cache")?.to_owned();
        let known = home.join(".cache/companion-dev");
        if made != known {
            fs::create_dir_all(home.join(".cache"))?;
            symlink(made, known)?;
        }
        fs::create_dir_all(home.join(".cargo/bin"))?;
        Ok(Self { clone: home.join("companion"), home, run, bus, _dir: dir })
    }

    pub(crate) fn has_a_model_and_a_runtime(&self) -> Result<()> {
        let Assets { llama_server, model } = Assets::find()?;
        fs::copy(model, self.clone.join("my-model.gguf"))?;
        fs::create_dir_all(self.home.join("bin"))?;
        Ok(symlink(llama_server, self.home.join("bin/llama-server"))?)
    }

    /// Its programs are those of this build, and in place of `cargo` stands what does nothing.
    pub(crate) fn has_a_clone_that_is_compiled(&self) -> Result<()> {
        fs::create_dir_all(self.home.join("bin"))?;
        let cargo = self.home.join("bin/cargo");
        fs::write(&cargo, "#!/bin/sh\n")?;
        fs::set_permissions(cargo, fs::Permissions::from_mode(0o700))?;
        let built = programs::find("companion")?;
        let built = built.parent().context("no directory of programs")?;
        fs::create_dir_all(self.clone.join("target"))?;
        for profile in ["debug", "release"] {
            symlink(built, self.clone.join("target").join(profile))?;
        }
        Ok(symlink(root()?.join("docs"), self.clone.join("docs"))?)
    }

    /// A real one; what an earlier clone has compiled of others' crates is used again.
    pub(crate) async fn clones(&self) -> Result<Duration> {
        let began = Instant::now();
        let origin =
            told("COMPANION_WALKTHROUGH_ORIGIN").map_or_else(|| root().map(Into::into), Ok)?;
        let mut git = Command::new("git");
        git.args(["clone", "--quiet"]).arg(origin).arg(&self.clone);
        ensure!(git.status().await?.success(), "git clone");
        let took = began.elapsed();
        if let Some(target) = told("COMPANION_WALKTHROUGH_TARGET") {
            fs::create_dir_all(&target)?;
            symlink(target, self.clone.join("target"))?;
        }
        Ok(took)
    }

    /// What `cargo xtask demo` would otherwise do first.
    pub(crate) async fn compiles_for_development(&self) -> Result<Duration> {
        let began = Instant::now();
        for arguments in ["build --locked --workspace --bins", "xtask --version"] {
            let mut cargo = Command::new("cargo");
            cargo.args(arguments.split(' ')).current_dir(&self.clone).env_clear();
            ensure!(cargo.envs(self.variables()).status().await?.success(), "cargo {arguments}");
        }
        Ok(began.elapsed())
    }

    /// Types every console block that is wanted.
    pub(crate) async fn reads(
        &self,
        page: &'static str,
        wanted: fn(&Block<'_>) -> bool,
    ) -> Result<Vec<Done>> {
        let mut desk = Desk::new(&self.clone, &self.variables(), Some("correct horse battery"));
        let typing = tokio::task::spawn_blocking(move || {
            let mut done = Vec::new();
            for block in blocks(page) {
                if block.language == "console" && wanted(&block) {
                    done.extend(desk.follows(&block, &STAY)?);
                }
            }
            ensure!(!done.is_empty(), "nothing was typed");
            desk.leaves().map(|()| done)
        });
        typing.await?
    }

    /// What a login sets; and where the toolchain of this machine lies.
    fn variables(&self) -> Vec<(String, String)> {
        let home = self.home.display();
        // As rustup leaves it; what does the work of other programs lies in `bin`.
        let mut path = format!("{home}/bin:{home}/.cargo/bin");
        let mut variables = vec![
            ("HOME", home.to_string()),
            ("XDG_RUNTIME_DIR", self.run.display().to_string()),
            ("DBUS_SESSION_BUS_ADDRESS", self.bus.address().to_owned()),
            // Threads of the runtime wait by spinning: not beside other tests.
            ("COMPANION_RUNTIME_THREADS", "1".to_owned()),
        ];
        for name in ["CARGO_HOME", "RUSTUP_HOME"] {
            let told = std::env::var(name).ok();
            variables.extend(told.map(|it| (name, it)));
        }
        if let Some(cargo) = std::env::var_os("CARGO") {
            let toolchain = Path::new(&cargo).parent().unwrap_or(Path::new("/usr/bin"));
            path = format!("{path}:{}", toolchain.display());
        }
        variables.push(("PATH", format!("{path}:/usr/local/bin:/usr/bin:/bin")));
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// What an earlier step of the walk told this one.
fn told(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no root")
}
