//! A private session bus with a real Secret Service: `dbus-daemon`, and `gnome-keyring-daemon` or
//! KeePassXC, in directories of their own, ended when dropped.

mod keepassxc;
mod secret_service;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::{ending, random};
use secret_service::{NAME, SecretService};

/// Longest either daemon may take to be there.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Search path of the two daemons; nothing else of the caller's environment reaches them.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Who serves secrets on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keyring {
    /// GNOME Keyring's daemon.
    #[default]
    Gnome,
    /// KeePassXC, with one database.
    KeePassXc {
        /// Whether it has a person confirm each look at a secret, and each deletion. Here nobody
        /// does.
        asks: bool,
    },
}

/// A running private bus. Dropping it ends both daemons; its directory is its owner's to remove.
#[derive(Debug)]
pub struct SessionBus {
    dir: PathBuf,
    address: String,
    password: String,
    bus_daemon: Child,
    kind: Keyring,
    keyring: Mutex<Option<Child>>,
    secrets: SecretService,
}

impl SessionBus {
    /// Starts the bus and an unlocked keyring beneath `dir`, which must exist, be empty, and
    /// have a short path. Returns when the Secret Service answers.
    ///
    /// # Errors
    /// When a program is missing or does not come up in time.
    pub async fn start(dir: &Path) -> Result<Self> {
        Self::start_with(dir, Keyring::Gnome).await
    }

    /// [`SessionBus::start`] with the keyring of one's choice.
    ///
    /// # Errors
    /// When a program is missing or does not come up in time.
    pub async fn start_with(dir: &Path, kind: Keyring) -> Result<Self> {
        let mut bus = Self::start_without_keyring(dir).await?;
        bus.kind = kind;
        bus.start_keyring().await?;
        Ok(bus)
    }

    /// Starts a bus on which nobody serves secrets, and nobody will until
    /// [`SessionBus::start_keyring`].
    ///
    /// # Errors
    /// When `dbus-daemon` is missing or does not come up in time.
    pub async fn start_without_keyring(dir: &Path) -> Result<Self> {
        for name in ["data", "run", "home", "control"] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir.join(name))?;
        }
        let config = dir.join("bus.conf");
        fs::write(&config, bus_config(&dir.join("bus")))?;
        let mut bus_daemon = Command::new("dbus-daemon")
            .arg("--config-file")
            .arg(&config)
            .args(["--nofork", "--nopidfile", "--print-address"])
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file(dir, "dbus-daemon.log")?)
            .kill_on_drop(true)
            .spawn()
            .context("dbus-daemon: is the package dbus installed?")?;
        let stdout = bus_daemon.stdout.take().context("no standard output")?;
        let mut address = String::new();
        tokio::time::timeout(START_LIMIT, BufReader::new(stdout).read_line(&mut address))
            .await
            .context("dbus-daemon says no address")??;
        let address = address.trim().to_owned();
        ensure!(!address.is_empty(), "dbus-daemon ended: see {}/dbus-daemon.log", dir.display());
        Ok(Self {
            secrets: SecretService::connect(&address).await?,
            dir: dir.to_owned(),
            address,
            password: random::token(),
            bus_daemon,
            kind: Keyring::Gnome,
            keyring: Mutex::new(None),
        })
    }

    /// Value for `DBUS_SESSION_BUS_ADDRESS`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Process ids of the daemons that run now.
    pub async fn pids(&self) -> Vec<u32> {
        let keyring = self.keyring.lock().await;
        self.bus_daemon.id().into_iter().chain(keyring.as_ref().and_then(Child::id)).collect()
    }

    /// Starts the keyring (again), unlocked, on the data it left. Returns when it answers.
    ///
    /// # Errors
    /// When its program is missing or does not come up in time.
    pub async fn start_keyring(&self) -> Result<()> {
        let mut keyring = self.keyring.lock().await;
        ensure!(keyring.is_none(), "the keyring runs already");
        let name = match self.kind {
            Keyring::Gnome => NAME,
            Keyring::KeePassXc { .. } => keepassxc::WINDOW,
        };
        let appearances =
            [self.secrets.owner_changes(NAME).await?, self.secrets.owner_changes(name).await?];
        let mut daemon = self.spawn_keyring().await?;
        let up = async {
            for appearance in appearances {
                appearance.owned().await?;
            }
            Ok::<_, anyhow::Error>(())
        };
        tokio::select! {
            up = tokio::time::timeout(START_LIMIT, up) => {
                up.context("the Secret Service does not come up")??;
            }
            ended = daemon.wait() => {
                bail!("{:?} ended ({}): see its log in {}", self.kind, ended?, self.dir.display());
            }
        }
        *keyring = Some(daemon);
        match self.kind {
            Keyring::Gnome => self.secrets.ensure_default_collection(&self.password).await,
            Keyring::KeePassXc { .. } => self.unlock().await,
        }
    }

    /// Kills the keyring as a crash would; returns when its name is free.
    ///
    /// # Errors
    /// When the bus does not say so in time.
    pub async fn stop_keyring(&self) -> Result<()> {
        let Some(mut daemon) = self.keyring.lock().await.take() else { return Ok(()) };
        let disappearance = self.secrets.owner_changes(NAME).await?;
        daemon.kill().await?;
        tokio::time::timeout(START_LIMIT, disappearance.free())
            .await
            .context("the Secret Service does not go away")?
    }

    /// Locks the default collection.
    ///
    /// # Errors
    /// When the Secret Service refuses.
    pub async fn lock(&self) -> Result<()> {
        match self.kind {
            Keyring::Gnome => self.secrets.lock().await,
            Keyring::KeePassXc { .. } => keepassxc::lock(&self.secrets).await,
        }
    }

    /// Unlocks the default collection without asking anybody.
    ///
    /// # Errors
    /// When the Secret Service refuses.
    pub async fn unlock(&self) -> Result<()> {
        match self.kind {
            Keyring::Gnome => self.secrets.unlock(&self.password).await,
            Keyring::KeePassXc { .. } => {
                keepassxc::unlock(&self.secrets, &self.dir, &self.password).await
            }
        }
    }

    /// Whether the default collection is locked.
    ///
    /// # Errors
    /// When the Secret Service does not answer.
    pub async fn is_locked(&self) -> Result<bool> {
        self.secrets.is_locked().await
    }

    /// Stops the keyring process where it is: it owns its name and answers nothing. Returns when
    /// the kernel says that it stands still.
    ///
    /// # Errors
    /// When no keyring runs.
    pub async fn freeze(&self) -> Result<()> {
        let pid = self.signal(Signal::SIGSTOP).await?;
        waitid(Id::Pid(pid), WaitPidFlag::WSTOPPED)?;
        Ok(())
    }

    /// Lets a frozen keyring go on.
    ///
    /// # Errors
    /// When no keyring runs.
    pub async fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT).await?;
        Ok(())
    }

    /// How many items carry these attributes, locked ones included.
    ///
    /// # Errors
    /// When the Secret Service does not answer.
    pub async fn count(&self, attributes: &[(&str, &str)]) -> Result<usize> {
        let (unlocked, locked) = self.secrets.search(attributes).await?;
        Ok(unlocked.len() + locked.len())
    }

    /// The secret of the one unlocked item with these attributes; `None` when there is none.
    ///
    /// # Errors
    /// When the Secret Service does not answer or there are several.
    pub async fn secret(&self, attributes: &[(&str, &str)]) -> Result<Option<Vec<u8>>> {
        self.secrets.secret(attributes).await
    }

    /// The attributes of every item of the default collection.
    ///
    /// # Errors
    /// When the Secret Service does not answer.
    pub async fn items(&self) -> Result<Vec<std::collections::HashMap<String, String>>> {
        self.secrets.items().await
    }

    async fn spawn_keyring(&self) -> Result<Child> {
        if let Keyring::KeePassXc { asks } = self.kind {
            return keepassxc::spawn(&self.dir, &self.address, &self.password, asks).await;
        }
        let mut daemon = self.gnome_keyring()?;
        let mut stdin = daemon.stdin.take().context("no standard input")?;
        stdin.write_all(self.password.as_bytes()).await?;
        Ok(daemon)
    }

    fn gnome_keyring(&self) -> Result<Child> {
        Command::new("gnome-keyring-daemon")
            .args(["--foreground", "--unlock", "--components=secrets"])
            .arg("--control-directory")
            .arg(self.dir.join("control"))
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.dir.join("home"))
            .env("XDG_DATA_HOME", self.dir.join("data"))
            .env("XDG_RUNTIME_DIR", self.dir.join("run"))
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log_file(&self.dir, "gnome-keyring-daemon.log")?)
            .kill_on_drop(true)
            .spawn()
            .context("gnome-keyring-daemon: is the package gnome-keyring installed?")
    }

    async fn signal(&self, signal: Signal) -> Result<Pid> {
        let keyring = self.keyring.lock().await;
        let pid = keyring.as_ref().and_then(Child::id).context("no keyring runs")?;
        let pid = Pid::from_raw(i32::try_from(pid)?);
        kill(pid, signal)?;
        Ok(pid)
    }
}

impl Drop for SessionBus {
    fn drop(&mut self) {
        if let Some(keyring) = self.keyring.get_mut() {
            ending::end(keyring);
        }
        ending::end(&mut self.bus_daemon);
    }
}

/// A session bus for this user alone that starts no service by itself.
fn bus_config(socket: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#,
        socket.display()
    )
}

fn log_file(dir: &Path, name: &str) -> Result<Stdio> {
    Ok(fs::File::options().create(true).append(true).open(dir.join(name))?.into())
}
