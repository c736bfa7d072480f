//! What README and tutorial say, typed into terminals by a person with an empty home.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use devstack::assets::Assets;
use devstack::programs;
use devstack::session_bus::SessionBus;
use tempfile::TempDir;
use typist::{Block, Desk, Done, blocks};

const README: &str = include_str!("../../README.md");
const TUTORIAL: &str = include_str!("../../docs/tutorial.md");
/// Commands that go on, and what they show once they are up.
const STAY: [(&str, &str); 3] = [
    ("companion up", "companionctl status)"),
    ("COMPANION_PROFILE=tutorial companion up", "companionctl status)"),
    ("target/debug/devstack up", "trust_root"),
];
const FIVE_MINUTES: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_does_what_it_says() -> Result<()> {
    let person = Person::new().await?;
    person.has_a_clone_that_is_compiled()?;
    person.reads(TUTORIAL, |_| true).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_leads_from_ones_own_model_to_an_answer() -> Result<()> {
    let person = Person::new().await?;
    person.has_a_clone_that_is_compiled()?;
    person.has_a_model_and_a_runtime()?;
    person.reads(README, own_models).await.map(drop)
}

/// What compiles, and what the machine is set up with once, is told apart and not counted.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "compiles a clone: cargo xtask walkthrough"]
async fn a_fresh_home_gets_from_clone_to_an_answer_in_five_minutes() -> Result<()> {
    let person = Person::new().await?;
    person.clones().await?;
    person.has_a_model_and_a_runtime()?;
    let own = person.reads(README, own_models).await?;
    person.compiles_for_development().await?;
    let gateway = person.reads(README, demo).await?;
    for (way, done) in [("its own model", own), ("the development gateway", gateway)] {
        let (compiled, typed): (Vec<_>, Vec<_>) =
            done.into_iter().partition(|it| it.command.starts_with("cargo build"));
        let sum = |of: &[Done]| of.iter().map(|it| it.took).sum::<Duration>();
        for Done { command, took } in &typed {
            eprintln!("{:>8.1} s  {command}", took.as_secs_f64());
        }
        let (took, compiling) = (sum(&typed), sum(&compiled));
        eprintln!(
            "From clone to an answer with {way}: {took:.1?}; compiling, apart: {compiling:.1?}"
        );
        ensure!(took < FIVE_MINUTES, "{way}: {took:?}");
    }
    Ok(())
}

/// An empty home on a machine that is set up, with a desktop session whose keyring is open.
struct Person {
    home: PathBuf,
    clone: PathBuf,
    bus: SessionBus,
    dir: TempDir,
}

impl Person {
    async fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("doc").tempdir()?;
        let [home, clone] = ["home", "home/companion"].map(|name| dir.path().join(name));
        for name in ["bus", "run", "home"] {
            fs::DirBuilder::new().mode(0o700).create(dir.path().join(name))?;
        }
        let bus = SessionBus::start(&dir.path().join("bus")).await?;
        // The machine's set-up, under the name by which this person knows it.
        let made = Assets::find()?.model.parent().context("no cache")?.to_owned();
        fs::create_dir(home.join(".cache"))?;
        symlink(made, home.join(".cache/companion-dev"))?;
        Ok(Self { home, clone, bus, dir })
    }

    fn has_a_model_and_a_runtime(&self) -> Result<()> {
        let Assets { llama_server, model } = Assets::find()?;
        fs::copy(model, self.clone.join("my-model.gguf"))?;
        fs::create_dir_all(self.home.join("bin"))?;
        Ok(symlink(llama_server, self.home.join("bin/llama-server"))?)
    }

    /// Its programs are those of this build, and in place of `cargo` stands what does nothing.
    fn has_a_clone_that_is_compiled(&self) -> Result<()> {
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
    async fn clones(&self) -> Result<()> {
        let mut git = tokio::process::Command::new("git");
        git.args(["clone", "--quiet"]).arg(root()?).arg(&self.clone);
        ensure!(git.status().await?.success(), "git clone");
        if let Some(target) = std::env::var_os("COMPANION_WALKTHROUGH_TARGET") {
            fs::create_dir_all(&target)?;
            symlink(target, self.clone.join("target"))?;
        }
        Ok(())
    }

    /// What `cargo xtask demo` would otherwise do first.
    async fn compiles_for_development(&self) -> Result<()> {
        for arguments in ["build --locked --workspace --bins", "xtask --version"] {
            let mut cargo = tokio::process::Command::new("cargo");
            cargo.args(arguments.split(' ')).current_dir(&self.clone).env_clear();
            ensure!(cargo.envs(self.variables()).status().await?.success(), "cargo {arguments}");
        }
        Ok(())
    }

    /// Types every console block that is wanted.
    async fn reads(&self, page: &'static str, wanted: fn(&Block<'_>) -> bool) -> Result<Vec<Done>> {
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
        let mut path = format!("{home}/.local/bin:{home}/bin");
        let mut variables = vec![
            ("HOME", home.to_string()),
            ("XDG_RUNTIME_DIR", self.dir.path().join("run").display().to_string()),
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

fn own_models(block: &Block<'_>) -> bool {
    block.heading == "Your own models"
}

fn demo(block: &Block<'_>) -> bool {
    block.text.starts_with("$ cargo xtask demo")
}

fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no root")
}
