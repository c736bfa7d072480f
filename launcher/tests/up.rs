//! `companion up` from outside: the real launcher, with shell scripts in the place of the three.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Longest a test waits for the launcher to act.
const PATIENCE: Duration = Duration::from_secs(30);
const CHILDREN: [&str; 3] = ["authority-broker", "runtime-supervisor", "frontdoor"];
const SOCKETS: [&str; 6] = [
    "broker.sock",
    "supervisor.sock",
    "frontdoor.sock",
    "supervisor-control.sock",
    "supervisor-status.sock",
    "frontdoor-control.sock",
];
/// Writes its process id, and its name into `ended` when it is asked to end.
const OBEDIENT: &str = "trap 'echo $NAME >> $D/ended; exit 0' TERM";
/// Does not end when asked.
const STUBBORN: &str = "trap '' TERM";

/// An installation in a directory of its own: the launcher and its three scripts side by side.
struct Installation {
    dir: tempfile::TempDir,
    up: Option<Child>,
}

impl Installation {
    fn with(manner: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("companion");
        let built = Path::new(env!("CARGO_BIN_EXE_companion"));
        if fs::hard_link(built, &program).is_err() {
            fs::copy(built, &program).unwrap();
        }
        for name in CHILDREN.iter().chain(&["runtime-jail", "runtime-probe"]) {
            let text = format!(
                "#!/bin/sh\nD='{}'\nNAME={name}\n{manner}\n\
                 echo $$ > $D/$NAME.part; mv $D/$NAME.part $D/$NAME.pid\n\
                 while :; do sleep 0.02; done\n",
                dir.path().display()
            );
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self { dir, up: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Command {
        self.command_in("run", "state")
    }

    fn command_in(&self, runtime: &str, state: &str) -> Command {
        let mut command = Command::new(self.path("companion"));
        command.arg("up").env_clear().stdin(Stdio::null());
        for (flag, name) in
            [("--runtime-dir", runtime), ("--state-dir", state), ("--data-dir", "data")]
        {
            command.arg(flag).arg(self.path(name));
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts and waits until all three run.
    fn start(&mut self) {
        self.up = Some(self.command().spawn().unwrap());
        for name in CHILDREN {
            self.pid_of(name);
        }
    }

    fn pid_of(&self, name: &str) -> Pid {
        let path = self.path(&format!("{name}.pid"));
        until(|| path.exists());
        Pid::from_raw(fs::read_to_string(path).unwrap().trim().parse().unwrap()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.up.as_ref().unwrap()), signal).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        let mut up = self.up.take().unwrap();
        until(|| up.try_wait().unwrap().is_some());
        up.wait().unwrap()
    }

    fn sockets(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("run")) else { return Vec::new() };
        entries
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_socket())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }

    fn refused(&self, change: impl FnOnce(&mut Command) -> &mut Command) -> String {
        let mut command = self.command();
        change(&mut command);
        refused(command)
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if let Some(mut up) = self.up.take() {
            let _ = up.kill();
            let _ = up.wait();
        }
        for name in CHILDREN {
            if let Ok(text) = fs::read_to_string(self.path(&format!("{name}.pid")))
                && let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw)
                && fs::read_to_string(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.contains(&*self.dir.path().to_string_lossy()))
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

fn refused(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    said
}

fn until(mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "it did not happen in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

#[test]
fn sockets_are_0600_in_0700_directories_and_nothing_is_left_after_term() {
    let mut installation = Installation::with(OBEDIENT);
    installation.start();
    for name in SOCKETS {
        assert_eq!(mode(&installation.path("run").join(name)), 0o600, "{name}");
    }
    for name in ["run", "run/runtime", "state", "state/broker", "data", "data/store"] {
        assert_eq!(mode(&installation.path(name)), 0o700, "{name}");
    }
    let pids = CHILDREN.map(|name| installation.pid_of(name));
    installation.signal(Signal::TERM);
    assert_eq!(installation.ended().code(), Some(0));
    assert_eq!(installation.sockets(), Vec::<String>::new());
    assert!(pids.iter().all(|pid| test_kill_process(*pid).is_err()));
    // The front door's last streams still need the runtime.
    let order = fs::read_to_string(installation.path("ended")).unwrap();
    let place = |name| order.lines().position(|line| line == name).unwrap();
    assert!(place("frontdoor") < place("runtime-supervisor"), "{order}");
    assert_eq!(order.lines().count(), 3);
}

/// Architecture 2: the launcher hands out every connection, so what is inherited is counted.
#[test]
fn each_child_inherits_its_named_descriptors_and_nothing_else() {
    let mut installation = Installation::with(OBEDIENT);
    // A descriptor that the caller of the launcher left open.
    let gift = fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&gift, rustix::io::FdFlags::empty()).unwrap();
    installation.start();
    for (name, last) in [("authority-broker", 5), ("runtime-supervisor", 7), ("frontdoor", 7)] {
        let mut inherited = descriptors_of(installation.pid_of(name));
        // From 10 up are the shell's own.
        inherited.retain(|descriptor| *descriptor < 10);
        inherited.sort_unstable();
        assert_eq!(inherited, (0..=last).collect::<Vec<_>>(), "{name}");
    }
    let frontdoor = installation.pid_of("frontdoor");
    let input = fs::read_link(format!("/proc/{frontdoor}/fd/0")).unwrap();
    assert_eq!(input, Path::new("/dev/null"));
    let read = |number| fs::read_link(format!("/proc/{frontdoor}/fd/{number}")).unwrap();
    assert_eq!(read(1), read(2), "its output goes where its errors go");
    installation.signal(Signal::TERM);
    installation.ended();
}

fn descriptors_of(pid: Pid) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

/// On a terminal; elsewhere a service manager keeps the whole log.
#[test]
fn a_person_is_shown_warnings_and_what_happens_and_the_log_when_asked() {
    let noisy = "for level in INFO WARN; do
        echo \"2026-11-27T15:00:00.0Z  $level module: $level of $NAME\" >&2; done";
    for (flag, is_shown) in [("", false), ("--verbose", true)] {
        let installation = Installation::with(&format!("{OBEDIENT}\n{noisy}"));
        let up = installation.command();
        let line: Vec<_> = std::iter::once(up.get_program()).chain(up.get_args()).collect();
        // In the shell's place: which one it is, and what it makes of Ctrl-C, is the machine's matter.
        let line = format!("exec {} {flag}", line.join(" ".as_ref()).to_str().unwrap());
        let mut script = Command::new("script");
        script.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
        let mut terminal =
            script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bsdutils");
        for name in CHILDREN {
            installation.pid_of(name);
        }
        terminal.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
        let Output { status, stdout, .. } = terminal.wait_with_output().unwrap();
        let shown = String::from_utf8(stdout).unwrap();
        assert_eq!(status.code(), Some(0), "{shown}");
        assert_eq!(shown.contains("INFO of frontdoor"), is_shown, "{shown}");
        assert!(shown.contains("WARN of frontdoor"), "{shown}");
        assert_eq!(shown.contains("Stopped: nothing"), !is_shown, "{shown}");
        assert_eq!(shown.contains("module"), is_shown, "{shown}");
    }
}

#[test]
fn a_second_signal_ends_at_once_what_does_not_end_by_itself() {
    let mut installation = Installation::with(STUBBORN);
    installation.start();
    let pids = CHILDREN.map(|name| installation.pid_of(name));
    installation.signal(Signal::INT);
    installation.signal(Signal::TERM);
    assert_eq!(installation.ended().code(), Some(0));
    assert!(pids.iter().all(|pid| test_kill_process(*pid).is_err()));
    assert_eq!(installation.sockets(), Vec::<String>::new());
}

#[test]
fn a_second_start_of_the_same_installation_is_refused_and_disturbs_nothing() {
    let mut installation = Installation::with(OBEDIENT);
    installation.start();
    let said = installation.refused(|up| up);
    assert!(said.contains("already running"), "{said}");
    assert!(said.ends_with("(already_running)\n"), "{said}");
    // One shared directory is enough.
    for (runtime, state) in [("run", "other"), ("other", "state")] {
        let said = refused(installation.command_in(runtime, state));
        assert!(said.contains("already running"), "{said}");
    }
    assert_eq!(installation.sockets().len(), SOCKETS.len());
    installation.signal(Signal::TERM);
    assert_eq!(installation.ended().code(), Some(0));
}

/// Architecture 3, promise 6: after the launcher's own death a new start works.
#[test]
fn a_start_after_a_crash_takes_over_what_was_left() {
    let mut installation = Installation::with(OBEDIENT);
    installation.start();
    installation.signal(Signal::KILL);
    installation.ended();
    // Scripts have no parent-death signal; the real three have.
    for name in CHILDREN {
        let pid = installation.pid_of(name);
        kill_process(pid, Signal::KILL).unwrap();
        fs::remove_file(installation.path(&format!("{name}.pid"))).unwrap();
    }
    assert_eq!(installation.sockets().len(), SOCKETS.len());
    installation.start();
    installation.signal(Signal::TERM);
    assert_eq!(installation.ended().code(), Some(0));
}

#[test]
fn a_child_that_dies_comes_back_on_the_same_sockets() {
    let mut installation = Installation::with(OBEDIENT);
    installation.start();
    let inode = |installation: &Installation| {
        SOCKETS.map(|name| fs::metadata(installation.path("run").join(name)).unwrap().ino())
    };
    let before = inode(&installation);
    for name in CHILDREN {
        let pid = installation.pid_of(name);
        fs::remove_file(installation.path(&format!("{name}.pid"))).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        assert_ne!(installation.pid_of(name), pid);
    }
    assert_eq!(inode(&installation), before);
    installation.signal(Signal::TERM);
    assert_eq!(installation.ended().code(), Some(0));
}

#[test]
fn a_service_manager_hears_of_the_stop() {
    let mut installation = Installation::with(OBEDIENT);
    let told = installation.path("notify");
    let manager = UnixDatagram::bind(&told).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    installation.up = Some(installation.command().env("NOTIFY_SOCKET", &told).spawn().unwrap());
    for name in CHILDREN {
        installation.pid_of(name);
    }
    installation.signal(Signal::TERM);
    let mut state = [0; 64];
    let length = manager.recv(&mut state).unwrap();
    assert_eq!(&state[..length], b"STOPPING=1");
    installation.ended();
}

#[test]
fn what_is_wrong_is_named_and_nothing_starts() {
    let installation = Installation::with(OBEDIENT);
    let said = installation.refused(|up| up.env("COMPANION_FRONTDOOR_BIND", "0.0.0.0"));
    assert!(said.contains("frontdoor.bind"), "{said}");
    let said = installation.refused(|up| up.args(["--profile", "../else"]));
    assert!(said.contains("profile"), "{said}");
    let config = installation.path("config.toml");
    fs::write(&config, "[frontdor]\n").unwrap();
    let said = installation.refused(|up| up.arg("--config").arg(&config));
    assert!(said.contains("frontdor") && said.contains("`frontdoor`"), "{said}");
    fs::create_dir(installation.path("run")).unwrap();
    fs::set_permissions(installation.path("run"), fs::Permissions::from_mode(0o755)).unwrap();
    let said = installation.refused(|up| up);
    assert!(said.contains("chmod 700"), "{said}");
    assert!(!installation.path("frontdoor.pid").exists());
}

#[test]
fn a_missing_program_is_named_and_nothing_starts() {
    for missing in ["runtime-jail", "runtime-probe"] {
        let installation = Installation::with(OBEDIENT);
        fs::remove_file(installation.path(missing)).unwrap();
        let said = installation.refused(|up| up);
        assert!(said.contains(missing), "{said}");
        assert_eq!(installation.sockets(), Vec::<String>::new());
    }
}
