//! The real `llama-server` in the jail: the one that the environment names.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::stage::{Ended, Stage, everybody};

/// Loading a small model takes a third of a second on a quiet machine.
const LONGEST_START: Duration = Duration::from_secs(120);
/// So long it may say nothing before it is asked all the same.
const SILENCE: Duration = Duration::from_millis(500);

#[test]
fn llama_server_loads_its_model_and_answers_from_inside_the_jail() {
    let (server, model) = (named("COMPANION_LLAMA_SERVER"), named("COMPANION_MODEL"));
    for who in everybody() {
        let stage = Stage::with(who, &server, Some(&model));
        let socket = stage.path("scratch/runtime.sock");
        let host = socket.to_string_lossy().into_owned();
        let plan = stage.plan(&["-m", "/proc/self/fd/5", "--host", &host, "-c", "512"]);
        let mut server = Ended(stage.jail(&plan).spawn().expect("the jail"));
        let output = server.0.stderr.take().expect("a pipe");
        // The pipe must be drained, or the server stops when it is full.
        let (says, said) = mpsc::channel();
        let log = std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines
                .inspect(|_| {
                    let _ = says.send(());
                })
                .collect::<Vec<_>>()
                .join("\n")
        });
        let answered = wait_until_healthy(&socket, &said);
        drop(server);
        let log = log.join().expect("the log");
        assert!(answered, "as {who:?}: {log}");
        assert!(!log.contains("ermission denied"), "as {who:?}: {log}");
    }
}

fn named(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    path.unwrap_or_else(|| panic!("{variable}: `cargo xtask test` sets it"))
}

/// Asks whenever the server says something, until it answers 200, has ended, or the time is up.
fn wait_until_healthy(socket: &Path, said: &mpsc::Receiver<()>) -> bool {
    let end = Instant::now() + LONGEST_START;
    while Instant::now() < end {
        if health(socket).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            return true;
        }
        // Its last word may come before it is ready.
        if said.recv_timeout(SILENCE) == Err(RecvTimeoutError::Disconnected) {
            return false;
        }
    }
    false
}

fn health(socket: &Path) -> std::io::Result<String> {
    let mut connection = UnixStream::connect(socket)?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}
