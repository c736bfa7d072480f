//! A program on a terminal of its own: what a person types, and what a person sees.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Longest a text may take to appear, on a busy machine.
const APPEARS: Duration = Duration::from_secs(60);

/// A program and the other end of its terminal, 80 columns and 24 rows.
pub(crate) struct Pty {
    child: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    shown: Vec<u8>,
    read_up_to: usize,
}

impl Pty {
    /// Starts a program in a session of its own, with a terminal that can send it signals:
    /// `setsid --ctty` of util-linux does between fork and exec what safe code cannot.
    pub(crate) fn start(program: &str, arguments: &[&str], env: &[(&str, &str)]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal");
        grantpt(&ours).expect("granted");
        unlockpt(&ours).expect("unlocked");
        let name = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("text");
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).expect("a size");
        let theirs = File::options().read(true).write(true).open(name).expect("its terminal");
        let end = || Stdio::from(theirs.try_clone().expect("descriptor"));
        let child = Command::new("setsid")
            .args(["--ctty", program])
            .args(arguments)
            .env_clear()
            .envs([("TERM", "xterm-256color"), ("PATH", "/usr/local/bin:/usr/bin:/bin")])
            .envs(env.iter().copied())
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("setsid of util-linux");
        let keys = File::from(ours.try_clone().expect("descriptor"));
        Self { child, keys, screen: follow(ours), shown: Vec::new(), read_up_to: 0 }
    }

    /// The program, or `setsid` above it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types, as a keyboard would.
    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("typed");
    }

    /// Whether the terminal shows what is typed.
    pub(crate) fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.keys).expect("a terminal").local_modes;
        modes.contains(LocalModes::ECHO) && modes.contains(LocalModes::ICANON)
    }

    /// Waits until a text stands in what was shown since the last wait.
    pub(crate) fn sees(&mut self, text: &str) {
        let end = Instant::now() + APPEARS;
        loop {
            let fresh = String::from_utf8_lossy(&self.shown[self.read_up_to..]).into_owned();
            if let Some(at) = fresh.find(text) {
                self.read_up_to += fresh[..at + text.len()].len();
                return;
            }
            match self.screen.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.shown.extend(bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{text:?} is not in {fresh:?}")
                }
            }
        }
    }

    /// Everything that was shown, once the program has ended.
    pub(crate) fn ends(mut self) -> (ExitStatus, String) {
        let end = Instant::now() + APPEARS;
        while let Ok(bytes) =
            self.screen.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            self.shown.extend(bytes);
        }
        let status = self.child.wait().expect("ended");
        (status, String::from_utf8_lossy(&self.shown).into_owned())
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // A failed test leaves it running.
        if let Ok(None) = self.child.try_wait() {
            let _ended = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// Reads the terminal until nobody has its other end open any more (EIO).
fn follow(terminal: OwnedFd) -> Receiver<Vec<u8>> {
    let (shows, screen) = channel();
    std::thread::spawn(move || {
        let mut terminal = File::from(terminal);
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = terminal.read(&mut bytes) {
            if shows.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    screen
}
