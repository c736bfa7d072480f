//! KeePassXC as the Secret Service: the desktop program itself, on no screen, with a database of
//! its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::secret_service::SecretService;
use super::{PATH, log_file};

/// Name of its window on the bus, and its object there.
pub(super) const WINDOW: &str = "org.keepassxc.KeePassXC.MainWindow";
const WINDOW_PATH: &str = "/keepassxc";

/// Longest a database may take to open or to close.
const DATABASE_LIMIT: Duration = Duration::from_secs(20);

/// Before the wish to open it is said again: it may have come while the window was busy.
const OPEN_AGAIN: Duration = Duration::from_secs(2);

/// Milliseconds that the key derivation of the database takes.
const DERIVATION_MS: &str = "100";

/// An empty database that offers its one group to the Secret Service. The numbers are its UUID.
const DATABASE: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<KeePassFile>
  <Meta>
    <DatabaseName>Development</DatabaseName>
    <RecycleBinEnabled>False</RecycleBinEnabled>
    <CustomData>
      <Item>
        <Key>FDO_SECRETS_EXPOSED_GROUP</Key>
        <Value>{00112233-4455-6677-8899-aabbccddeeff}</Value>
      </Item>
    </CustomData>
  </Meta>
  <Root>
    <Group><UUID>ABEiM0RVZneImaq7zN3u/w==</UUID><Name>Development</Name></Group>
  </Root>
</KeePassFile>
"#;

/// Starts it, with a database made where there is none yet. With `asks` it wants a person to
/// confirm each look at a secret and each deletion, as it does when nothing else is set.
pub(super) async fn spawn(dir: &Path, address: &str, password: &str, asks: bool) -> Result<Child> {
    if !database(dir).exists() {
        make_database(dir, password).await?;
    }
    let config = dir.join("keepassxc.ini");
    fs::write(&config, settings(asks))?;
    command(dir, "keepassxc")
        .arg("--config")
        .arg(&config)
        .arg("--localconfig")
        .arg(dir.join("keepassxc-local.ini"))
        .env("DBUS_SESSION_BUS_ADDRESS", address)
        .env("QT_QPA_PLATFORM", "offscreen")
        .stdin(Stdio::null())
        .stdout(log_file(dir, "keepassxc.log")?)
        .stderr(log_file(dir, "keepassxc.log")?)
        .spawn()
        .context("keepassxc: is the package keepassxc installed?")
}

/// Opens the database, as its owner would by typing the password.
pub(super) async fn unlock(secrets: &SecretService, dir: &Path, password: &str) -> Result<()> {
    let database = database(dir);
    let database = database.to_str().context("a path that is no text")?;
    let arguments = (database, password);
    let opened = async {
        loop {
            secrets.invoke_at(WINDOW, WINDOW_PATH, WINDOW, "openDatabase", &arguments).await?;
            if let Ok(opened) = tokio::time::timeout(OPEN_AGAIN, is_open(secrets)).await {
                return opened;
            }
        }
    };
    tokio::time::timeout(DATABASE_LIMIT, opened).await.context("the database stays locked")?
}

/// Resolves when the database is open: its key is derived in the background.
async fn is_open(secrets: &SecretService) -> Result<()> {
    while !secrets.has_default_collection().await? || secrets.is_locked().await? {}
    Ok(())
}

/// Locks the database, as a screen lock would.
pub(super) async fn lock(secrets: &SecretService) -> Result<()> {
    // While it saves, it lets such a wish pass.
    let locked = async {
        while !secrets.is_locked().await? {
            secrets.invoke_at(WINDOW, WINDOW_PATH, WINDOW, "lockAllDatabases", &()).await?;
        }
        Ok(())
    };
    tokio::time::timeout(DATABASE_LIMIT, locked).await.context("the database stays unlocked")?
}

async fn make_database(dir: &Path, password: &str) -> Result<()> {
    let plain = dir.join("database.xml");
    fs::write(&plain, DATABASE)?;
    let mut import = command(dir, "keepassxc-cli")
        .args(["import", "--set-password", "--decryption-time", DERIVATION_MS])
        .args([&plain, &database(dir)])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log_file(dir, "keepassxc.log")?)
        .spawn()
        .context("keepassxc-cli: is the package keepassxc installed?")?;
    let mut stdin = import.stdin.take().context("no standard input")?;
    stdin.write_all(format!("{password}\n{password}\n").as_bytes()).await?;
    drop(stdin);
    ensure!(import.wait().await?.success(), "no database: see keepassxc.log in {}", dir.display());
    Ok(())
}

fn database(dir: &Path) -> PathBuf {
    dir.join("data/development.kdbx")
}

fn settings(asks: bool) -> String {
    format!(
        "[General]\nUpdateCheckMessageShown=true\n[GUI]\nCheckForUpdates=false\n\
         [FdoSecrets]\nEnabled=true\nShowNotification=false\nConfirmDeleteItem={asks}\n\
         ConfirmAccessItem={asks}\n"
    )
}

fn command(dir: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", dir.join("home"))
        .env("XDG_RUNTIME_DIR", dir.join("run"))
        // It allows one instance for each directory of temporary files.
        .env("TMPDIR", dir.join("run"))
        .kill_on_drop(true);
    command
}
