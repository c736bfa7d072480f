//! A private session bus with a real Secret Service, for the tests of the keychain.

use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use zbus::fdo::DBusProxy;

use crate::connections::Connections;
use crate::testing::TestConnections;

/// `dbus-daemon` and, once started, `gnome-keyring-daemon`; both end when this is dropped.
pub(crate) struct Bus {
    dir: TempDir,
    keyring: Option<Child>,
    _daemon: Child,
}

impl Bus {
    /// A bus on which nobody serves secrets.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        let config = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            socket.display()
        );
        std::fs::write(dir.path().join("bus.conf"), config).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .arg("--config-file")
            .arg(dir.path().join("bus.conf"))
            .args(["--nofork", "--nopidfile", "--print-address"])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the package dbus");
        let mut address = String::new();
        let stdout = daemon.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut address).await.unwrap();
        assert!(!address.is_empty(), "dbus-daemon ended");
        Self { dir, keyring: None, _daemon: daemon }
    }

    /// Connections of a broker on this bus.
    pub(crate) fn connections(&self) -> Connections {
        TestConnections::with_bus(self.socket())
    }

    /// Starts a keyring on the data it left: unlocked with this password, else locked or, at
    /// first, without any collection. Returns when it owns its name.
    pub(crate) async fn start_keyring(&mut self, password: Option<&str>) {
        let dir = self.dir.path();
        let mut command = Command::new("gnome-keyring-daemon");
        command
            .args(["--foreground", "--components=secrets"])
            .args(password.map(|_| "--unlock"))
            .env_clear()
            .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", self.socket().display()))
            .env("XDG_DATA_HOME", dir.join("data"))
            .env("XDG_RUNTIME_DIR", dir)
            .env("HOME", dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut keyring = command.spawn().expect("the package gnome-keyring");
        let mut stdin = keyring.stdin.take().unwrap();
        stdin.write_all(password.unwrap_or_default().as_bytes()).await.unwrap();
        drop(stdin);
        self.keyring = Some(keyring);
        self.wait_until_owned(true).await;
    }

    /// Kills the keyring, and returns when its name is free.
    pub(crate) async fn kill_keyring(&mut self) {
        self.keyring.take().unwrap().kill().await.unwrap();
        self.wait_until_owned(false).await;
    }

    /// Removes what keyrings left: the next one is another.
    pub(crate) fn forget_collections(&self) {
        std::fs::remove_dir_all(self.dir.path().join("data")).unwrap();
    }

    /// Stops the keyring where it is, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let id = self.keyring.as_ref().and_then(Child::id).unwrap();
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    /// A connection of a test's own.
    pub(crate) async fn connect(&self) -> zbus::Connection {
        let stream = tokio::net::UnixStream::connect(self.socket()).await.unwrap();
        zbus::connection::Builder::unix_stream(stream).build().await.unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("bus")
    }

    async fn wait_until_owned(&self, owned: bool) {
        use futures_util::StreamExt as _;
        let name = "org.freedesktop.secrets";
        let bus = DBusProxy::new(&self.connect().await).await.unwrap();
        let mut changes = bus.receive_name_owner_changed_with_args(&[(0, name)]).await.unwrap();
        while bus.name_has_owner(name.try_into().unwrap()).await.unwrap() != owned {
            changes.next().await.unwrap();
        }
    }
}
