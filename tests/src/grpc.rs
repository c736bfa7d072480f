//! Whether a socket serves a caller of another user.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// An HTTP/2 client preface with empty SETTINGS; any gRPC server answers it with its own
/// SETTINGS frame, and a refused peer is answered with nothing.
const PREFACE: &str = "\
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
try:
    s.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    answer = s.recv(64)
except (BrokenPipeError, ConnectionResetError):
    answer = b''
sys.stdout.write('served' if answer else 'refused')
";

/// Connects as this uid (the test's own when `None`), speaks first, and tells whether it was
/// answered. A program of its own does it: a uid belongs to a process.
///
/// # Errors
/// When the connection itself fails: then the check at accept was never reached.
pub async fn answers_grpc_as(socket: &Path, uid: Option<u32>) -> Result<bool> {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", PREFACE]).arg(socket).env_clear().stdin(Stdio::null());
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match said.as_str() {
        "served" => Ok(true),
        "refused" => Ok(false),
        _ => Err(anyhow::anyhow!("{}", String::from_utf8_lossy(&output.stderr)))
            .context("the connection failed"),
    }
}
