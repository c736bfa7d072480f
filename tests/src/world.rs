//! One test's world: a development stack, a session bus with a keyring, and a companion, in
//! directories of its own, gone when it is dropped.

mod gateway;
mod model_host;
mod neighbour;
mod store;
mod tools;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devstack::assets::Assets;
use devstack::companion::{Companion, CompanionOptions};
use devstack::session_bus::SessionBus;
use devstack::stack::{Stack, StackOptions};
use devstack::{MODEL_ID, RUNTIME_ID};
use serde_json::Value;
use tempfile::TempDir;

use crate::mischief::{act, plan};
use crate::{Events, Mischief, Ran};

/// Longest a state may take to be reached before the test fails.
const STATE_LIMIT: Duration = Duration::from_secs(60);

/// A development stack, a session bus and a companion.
#[derive(Debug)]
pub struct World {
    pub(crate) companion: Companion,
    pub(crate) bus: SessionBus,
    stack: Stack,
    dir: TempDir,
}

impl World {
    /// Everything up, nobody signed in.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start() -> Result<Self> {
        Self::build(Assets::find()?, Mischief::None, &[]).await
    }

    /// The same with something wrong.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start_with(mischief: Mischief) -> Result<Self> {
        Self::build(Assets::find()?, mischief, &[]).await
    }

    /// Signed in, model and runtime pulled.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn provisioned() -> Result<Self> {
        Self::start().await?.provision().await
    }

    /// [`World::provisioned`] with numbers of the configuration set: section, key, value.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn provisioned_with_config(config: &[(&str, &str, i64)]) -> Result<Self> {
        Self::build(Assets::find()?, Mischief::None, &values(config)).await?.provision().await
    }

    /// Signed in, pulled, started: `available`.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn ready() -> Result<Self> {
        Self::ready_with_config::<i64>(&[]).await
    }

    /// [`World::ready`] with keys of the configuration set: section, key, value.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn ready_with_config<V>(config: &[(&str, &str, V)]) -> Result<Self>
    where
        V: Into<toml::Value> + Clone,
    {
        let (assets, config) = (Assets::find()?, values(config));
        Self::build(assets, Mischief::None, &config).await?.provision().await?.begin().await
    }

    /// [`World::ready_with_config`] with a runtime that does not think, and keeps count of what
    /// reaches it: `asked` in its answer to GET `/v1/models`, method and path to count.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn ready_with_a_recording_runtime(config: &[(&str, &str, i64)]) -> Result<Self> {
        let llama_server = devstack::programs::find("standin-runtime")?;
        let assets = Assets { llama_server, ..Assets::find()? };
        Self::build(assets, Mischief::None, &values(config)).await?.provision().await?.begin().await
    }

    /// [`World::ready`] with the same model under a chat template that knows tools.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn ready_with_a_model_that_knows_tools() -> Result<Self> {
        let assets = Assets::find()?;
        let dir = tempfile::tempdir()?;
        let model = dir.path().join("tools.gguf");
        tools::taught(&assets.model, &model)?;
        let assets = Assets { model, ..assets };
        Self::build(assets, Mischief::None, &[]).await?.provision().await?.begin().await
    }

    /// [`World::ready`] with this file for a runtime: a program, or an archive of one.
    ///
    /// # Errors
    /// When a step fails.
    pub async fn ready_with_runtime(llama_server: PathBuf) -> Result<Self> {
        let assets = Assets { llama_server, ..Assets::find()? };
        Self::build(assets, Mischief::None, &[]).await?.provision().await?.begin().await
    }

    async fn begin(self) -> Result<Self> {
        self.ctl_events(&["start", MODEL_ID]).await?.expect_success();
        Ok(self)
    }

    async fn build(
        assets: Assets,
        mischief: Mischief,
        config: &[(&str, &str, toml::Value)],
    ) -> Result<Self> {
        Self::build_with(assets, mischief, config, async |_, _| Ok(None)).await
    }

    /// `settle` may bring up more on the stack, and write the companion another configuration
    /// into the directory it is given.
    pub(crate) async fn build_with(
        assets: Assets,
        mischief: Mischief,
        config: &[(&str, &str, toml::Value)],
        settle: impl AsyncFnOnce(&Stack, &Path) -> Result<Option<PathBuf>>,
    ) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("cw").tempdir()?;
        let sub = |name: &str| {
            let path = dir.path().join(name);
            fs::DirBuilder::new().mode(0o700).create(&path).map(|()| path)
        };
        let mut options = StackOptions::new(&sub("stack")?);
        options.llama_server = Some(assets.llama_server);
        options.model = Some(assets.model);
        // Threads of the runtime wait by spinning: two worlds at a time on two cores would
        // mostly wait for each other.
        options = options.set("runtime", "threads", 1);
        for (section, key, value) in config {
            options = options.set(section, key, value.clone());
        }
        plan(mischief, &mut options);
        let stack = Stack::start(options).await?;
        act(mischief, &stack);
        let config = settle(&stack, dir.path()).await?;
        let bus_dir = sub("bus")?;
        let bus = match mischief {
            Mischief::NoSecretService | Mischief::KernelKeyring { .. } => {
                SessionBus::start_without_keyring(&bus_dir).await?
            }
            Mischief::OtherKeyring(kind) => SessionBus::start_with(&bus_dir, kind).await?,
            _ => SessionBus::start(&bus_dir).await?,
        };
        let companion_options = CompanionOptions {
            dbus_address: Some(bus.address().to_owned()),
            dir: Some(sub("c")?),
            config,
            ..CompanionOptions::default()
        };
        let companion = Companion::up(&stack, companion_options).await?;
        Ok(Self { companion, bus, stack, dir })
    }

    async fn provision(self) -> Result<Self> {
        self.sign_in().await?;
        for id in [RUNTIME_ID, MODEL_ID] {
            self.ctl_events(&["pull", id]).await?.expect_success();
        }
        Ok(self)
    }

    /// Changes what is wrong while it runs.
    pub fn misbehave(&self, mischief: Mischief) {
        act(mischief, &self.stack);
    }

    /// Nothing is wrong any more at the model host, nor at the token endpoint.
    pub fn behave(&self) {
        self.stack.model_host.behave();
        self.stack.gateway.switch(|it| it.token = devstack::gateway::TokenFault::None);
    }

    /// A directory for the test's own files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the sockets are.
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        self.companion.runtime_dir()
    }

    /// Where the launcher and the broker keep what outlives a start.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.companion.state_dir()
    }

    /// What the processes have logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.companion.log()
    }

    /// `companionctl` and the arguments that select this instance, as a shell reads them.
    ///
    /// # Errors
    /// When the program is not built, or a path is not text.
    pub fn companionctl(&self) -> Result<String> {
        let words = self.companion.companionctl()?.into_iter().map(|word| {
            let word = word.into_string().ok().context("a path is not text")?;
            Ok(format!("'{}'", word.replace('\'', "'\\''")))
        });
        Ok(words.collect::<Result<Vec<_>>>()?.join(" "))
    }

    /// Runs `companionctl` to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn ctl(&self, arguments: &[&str]) -> Result<Ran> {
        Ok(self.companion.ctl(arguments).await?.into())
    }

    /// Runs `companionctl --json`, which prints one object.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ctl_json(&self, arguments: &[&str]) -> Result<Value> {
        self.companion.ctl_json(arguments).await
    }

    /// Runs `companionctl --json`, which prints objects, one a line.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ctl_events(&self, arguments: &[&str]) -> Result<Events> {
        Ok(self.companion.ctl_events(arguments).await?.into())
    }

    /// Signs in, following the browser's steps.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn sign_in(&self) -> Result<()> {
        let events = self.try_sign_in().await?;
        ensure!(events.status.success() && events.named("signed_in").len() == 1, "{events:?}");
        Ok(())
    }

    /// Tries to sign in; the outcome is in the events.
    ///
    /// # Errors
    /// When the command cannot be run.
    pub async fn try_sign_in(&self) -> Result<Events> {
        Ok(self.companion.sign_in().await?.into())
    }

    /// Follows an address through the gateway, as a browser that trusts its certificate would.
    ///
    /// # Errors
    /// When it leads nowhere.
    pub async fn follow(&self, url: &str) -> Result<()> {
        devstack::browser::follow(url, &self.stack.client_config()?).await.map(drop)
    }

    /// `companionctl status --json`.
    ///
    /// # Errors
    /// When it prints no object.
    pub async fn status(&self) -> Result<Value> {
        self.companion.status().await
    }

    /// Asks for the status until it is as wanted.
    ///
    /// # Errors
    /// When it does not become so in time; the message holds the last one.
    pub async fn status_when(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.answer_when(&["status"], wanted).await
    }

    /// Asks for the session until it is in this state.
    ///
    /// # Errors
    /// When it does not become so in time.
    pub async fn session_when(&self, state: &str) -> Result<Value> {
        self.answer_when(&["session"], |session| session["session"] == state).await
    }

    async fn answer_when(&self, ask: &[&str], wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let asking = async {
            loop {
                last = self.ctl_json(ask).await?;
                if wanted(&last) {
                    return Ok::<_, anyhow::Error>(());
                }
            }
        };
        let outcome = tokio::time::timeout(STATE_LIMIT, asking).await;
        match outcome {
            Ok(answered) => answered.map(|()| last),
            Err(_) => anyhow::bail!("not in time: {last}\n{}", self.log()),
        }
    }

    /// `127.0.0.1:PORT` and the loopback token, as `companionctl env` gives them.
    ///
    /// # Errors
    /// When it does not.
    pub async fn endpoint_and_token(&self) -> Result<(String, String)> {
        let env = self.ctl_json(&["env"]).await?;
        let base = env["OPENAI_BASE_URL"].as_str().with_context(|| env.to_string())?;
        let address = base.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
        let token = env["OPENAI_API_KEY"].as_str().context("no token")?.to_owned();
        Ok((address, token))
    }

    /// The process id of a role.
    ///
    /// # Errors
    /// When the status does not tell one.
    pub async fn pid_of(&self, role: &str) -> Result<u32> {
        let status = self.status().await?;
        let pid = status["pids"][role].as_u64().with_context(|| format!("{role}: {status}"))?;
        Ok(u32::try_from(pid)?)
    }

    /// The process ids of all that run.
    ///
    /// # Errors
    /// When the status does not tell them.
    pub async fn pids(&self) -> Result<Vec<u32>> {
        let status = self.status().await?;
        let pids = status["pids"].as_object().context("no pids")?;
        pids.values().filter_map(Value::as_u64).map(|pid| Ok(u32::try_from(pid)?)).collect()
    }

    /// Stops the companion and starts it again on the same directories.
    ///
    /// # Errors
    /// When either fails.
    pub async fn restart(&mut self) -> Result<()> {
        self.companion.restart().await
    }

    /// Stops the companion; the world's directories go too.
    ///
    /// # Errors
    /// When it does not end well in time.
    pub async fn stop(self) -> Result<()> {
        let status = self.companion.stop().await?;
        ensure!(status.success(), "{status}");
        Ok(())
    }

    /// Stops the companion, leaving its directories for a look.
    ///
    /// # Errors
    /// When it does not end well in time.
    pub async fn stop_keeping_files(self) -> Result<TempDir> {
        let status = self.companion.stop().await?;
        ensure!(status.success(), "{status}");
        Ok(self.dir)
    }

    /// Tries to start a second launcher on the same directories.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn second_launcher(&self) -> Result<Ran> {
        let selection = self.companion.companionctl()?.split_off(1);
        let output = tokio::process::Command::new(devstack::programs::find("companion")?)
            .arg("up")
            .args(selection)
            .env_clear()
            .output()
            .await?;
        Ok(output.into())
    }

    /// Takes the layer in front away: the runtime directory traversable, every socket open.
    ///
    /// # Errors
    /// When a mode cannot be changed.
    pub fn open_to_all(&self) -> Result<()> {
        let dir = self.runtime_dir();
        for path in dir.ancestors().take_while(|path| *path != std::env::temp_dir()) {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        for name in crate::sockets_in(&dir)? {
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o666))?;
        }
        Ok(())
    }
}

fn values<'a, V: Into<toml::Value> + Clone>(
    config: &[(&'a str, &'a str, V)],
) -> Vec<(&'a str, &'a str, toml::Value)> {
    config.iter().map(|(section, key, value)| (*section, *key, value.clone().into())).collect()
}
