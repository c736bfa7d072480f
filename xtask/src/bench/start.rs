//! Cold start: from `companionctl start` to available, beside bare `llama-server` from exec to
//! its first healthy answer on a Unix socket. Same program, model, and arguments.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Measured, median_ms};
use crate::process::{Running, supervised};
use crate::scratch::Scratch;
use crate::setup::Assets;
use crate::signals::{Interrupted, Signals, Woke};
use crate::stage::{Companion, Servers};
use crate::workspace::Programs;

/// The most that the walls may cost (the project's own target).
const ALLOWANCE_MS: f64 = 150.0;
/// Longest a start or a download may take.
const WORK_LIMIT: Duration = Duration::from_secs(300);
/// Between two questions whether it is healthy; the error of a sample is at most this.
const TICK: Duration = Duration::from_millis(2);
/// Ids in the development catalog.
const MODEL: &str = "smollm2-135m-instruct";
const RUNTIME: &str = "llama-server";

/// Measures both, alternating, after one start of each that does not count.
///
/// # Errors
/// When either does not start.
pub(crate) fn measure(programs: &Programs, assets: &Assets, samples: usize) -> Result<Measured> {
    let signals = Signals::block()?;
    let scratch = Scratch::make()?;
    let servers = Servers::up(programs, assets, &scratch, &signals)?;
    let companion = Companion::up(programs, &servers, &scratch, &signals, &[])?;
    companion.sign_in(programs, &servers)?;
    for id in [RUNTIME, MODEL] {
        companion.events(&["pull", id], WORK_LIMIT, |_| Ok(()))?;
    }
    let (_, status) = our_start(&companion)?;
    let arguments = arguments_of(&status, assets, &scratch)?;
    companion.ask(&["stop"])?;
    bare_start(assets, &arguments, &scratch, &signals)?;

    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..samples {
        ours.push(our_start(&companion)?.0);
        companion.ask(&["stop"])?;
        bare.push(bare_start(assets, &arguments, &scratch, &signals)?);
    }
    companion.stop(&status["pids"])?;
    servers.stop(&signals)?;
    let (ours, bare) = (median_ms(ours), median_ms(bare));
    Ok(Measured {
        case: "start",
        unit: "ms",
        ours,
        rivals: vec![("bare llama-server", bare)],
        target: bare + ALLOWANCE_MS,
        target_rule: "bare llama-server + 150 ms",
        samples,
    })
}

/// `companionctl start` returns once the endpoint is available.
fn our_start(companion: &Companion<'_>) -> Result<(Duration, Value)> {
    let started = Instant::now();
    companion.events(&["start", MODEL], WORK_LIMIT, |_| Ok(()))?;
    let taken = started.elapsed();
    let status = companion.ask(&["status"])?;
    ensure!(status["available"] == true, "start returned before it was available: {status}");
    Ok((taken, status))
}

/// The arguments our runtime was given, with our model's and socket's names in place.
fn arguments_of(status: &Value, assets: &Assets, scratch: &Scratch) -> Result<Vec<String>> {
    let pid = status["pids"]["runtime"].as_u64().context("no runtime in the status")?;
    let line =
        fs::read_to_string(format!("/proc/{pid}/cmdline")).context("the runtime's arguments")?;
    let mut arguments: Vec<String> =
        line.trim_end_matches('\0').split('\0').skip(1).map(str::to_owned).collect();
    let model = assets.model.to_str().context("the cache has a name that is no text")?;
    let socket = scratch.path("bare.sock");
    let socket = socket.to_str().context("the directory has a name that is no text")?;
    replace(&mut arguments, &["-m", "--model"], model)?;
    replace(&mut arguments, &["--host"], socket)?;
    Ok(arguments)
}

fn replace(arguments: &mut [String], names: &[&str], value: &str) -> Result<()> {
    let position = arguments.iter().position(|word| names.contains(&word.as_str()));
    let place = position.and_then(|position| arguments.get_mut(position + 1));
    *place.with_context(|| format!("the runtime was not given {}", names.join(" or ")))? =
        value.to_owned();
    Ok(())
}

fn bare_start(
    assets: &Assets,
    arguments: &[String],
    scratch: &Scratch,
    signals: &Signals,
) -> Result<Duration> {
    let socket = scratch.path("bare.sock");
    if socket.exists() {
        fs::remove_file(&socket)?;
    }
    let mut command = supervised(&assets.llama_server);
    let log = File::create(scratch.path("bare.log"))?;
    command.args(arguments).env_clear().stdout(log.try_clone()?).stderr(log);
    let started = Instant::now();
    let mut running = Running::start("llama-server", &mut command)?;
    let deadline = started + WORK_LIMIT;
    while !is_healthy(&socket) {
        ensure!(Instant::now() < deadline, "bare llama-server does not get healthy");
        if let Some(status) = running.ended()? {
            bail!("bare llama-server ended ({status})");
        }
        if signals.wait(None, Instant::now() + TICK)? == Woke::Asked {
            return Err(Interrupted.into());
        }
    }
    Ok(started.elapsed())
}

/// One `GET /health` on the Unix socket; 503 until the model is loaded.
fn is_healthy(socket: &Path) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head == *b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_after_a_name_is_replaced_and_an_absent_name_is_told() {
        let mut arguments = ["-m", "/proc/self/fd/5", "--host", "x"].map(str::to_owned);
        replace(&mut arguments, &["-m", "--model"], "model").unwrap();
        assert_eq!(arguments, ["-m", "model", "--host", "x"]);
        assert!(replace(&mut arguments, &["--absent"], "v").is_err());
    }

    #[test]
    fn nobody_on_the_socket_is_not_healthy() {
        assert!(!is_healthy(Path::new("/nonexistent/socket")));
    }
}
