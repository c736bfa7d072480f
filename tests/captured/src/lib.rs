//! A planted backdoor. Built into a process by its feature `captured`, it does on SIGUSR2 what an
//! attacker would who has that process's memory: it tries to reach everything it was told to aim
//! at, and writes what came of it, as one line: `captured: {"name": "outcome"}`.
//!
//! With it no product compiles for release, and no default feature of any crate turns it on
//! (`tests/tests/crate_graph.rs`).

mod attempts;
#[path = "../../../confine/examples/probe/kernel.rs"]
#[expect(dead_code, reason = "the probe needs more of them")]
mod kernel;
mod sockets;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};

/// Begins the line of the report.
pub const MARK: &str = "captured: ";
/// Lies beside the program, and holds [`Aims`] as JSON.
pub const AIMS_FILE: &str = "captured.json";

/// Name of the runtime's report.
pub const REPORT_FILE: &str = "captured.log";

/// What there is to reach.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aims {
    /// Socket of the session bus, where the keychain is.
    pub session_bus: PathBuf,
    /// Socket of the broker, which gives the loopback token to whoever reaches it.
    pub broker: PathBuf,
    /// A TCP listener on 127.0.0.1.
    pub port: u16,
    /// A file of this user that nobody hands out.
    pub canary: PathBuf,
    /// Another process of this user.
    pub victim: i32,
    /// A program of this user.
    pub program: PathBuf,
}

impl Aims {
    /// The aims in the file beside this program.
    ///
    /// # Errors
    /// When it is not there, or holds something else.
    pub fn beside_this_program() -> io::Result<Self> {
        Self::in_file(&std::env::current_exe()?.with_file_name(AIMS_FILE))
    }

    /// The aims in this file.
    ///
    /// # Errors
    /// When it is not there, or holds something else.
    pub fn in_file(path: &Path) -> io::Result<Self> {
        serde_json::from_slice(&std::fs::read(path)?).map_err(io::Error::other)
    }
}

/// The backdoor before the process confines itself.
#[derive(Debug)]
pub struct Planted(io::Result<Aims>);

/// Learns its aims and keeps SIGUSR2 for itself. Before the first thread.
#[must_use]
pub fn plant(aims: io::Result<Aims>) -> Planted {
    Planted(trigger().thread_block().map_err(io::Error::from).and(aims))
}

impl Planted {
    /// On each SIGUSR2 from now on, from a thread of its own: the attempts.
    pub fn lie_in_wait(self) {
        let waiting = self.0.and_then(|aims| {
            std::thread::Builder::new().name("captured".to_owned()).spawn(move || {
                while trigger().wait().is_ok() {
                    report(&attempt_all(&aims));
                }
            })
        });
        if let Err(error) = waiting {
            let _ = writeln!(io::stderr(), "captured could not lie in wait: {error}");
        }
    }
}

/// Makes every attempt, each harmless where it passes: what came of it, by name.
#[must_use]
pub fn attempt_all(aims: &Aims) -> BTreeMap<String, String> {
    attempts::ATTEMPTS.iter().map(|(name, act)| ((*name).to_owned(), outcome(act(aims)))).collect()
}

/// Writes the line: to standard error, or into the directory for temporary files where the process
/// has one. Only the runtime has, and what it prints while it serves is withheld by the supervisor.
pub fn report(outcomes: &BTreeMap<String, String>) {
    let text = serde_json::to_string(outcomes).unwrap_or_default();
    let line = format!("{MARK}{text}\n");
    let told = match std::env::var_os("TMPDIR") {
        Some(directory) => std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(Path::new(&directory).join(REPORT_FILE))
            .and_then(|mut file| file.write_all(line.as_bytes())),
        // In one write, so that no other thread's line gets in between.
        None => io::stderr().write_all(line.as_bytes()),
    };
    drop(told);
}

fn outcome(result: io::Result<()>) -> String {
    match result {
        Ok(()) => "done".to_owned(),
        Err(error) => match error.raw_os_error() {
            Some(libc::EPERM) => "EPERM".to_owned(),
            Some(libc::EACCES) => "EACCES".to_owned(),
            Some(number) => format!("errno {number}"),
            None => error.to_string(),
        },
    }
}

fn trigger() -> SigSet {
    let mut set = SigSet::empty();
    set.add(Signal::SIGUSR2);
    set
}
