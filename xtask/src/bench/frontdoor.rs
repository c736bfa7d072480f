//! What the front door adds to a request, beside nginx and haproxy at the same work: relaying to
//! the same stand-in runtime on a Unix socket, with the same bearer check, on the same core.
//!
//! Ours has everything on: it runs as `companion up` starts it, the stand-in comes out of the
//! signed catalog and runs in the jail, and the rate window counts. The others relay to the same
//! program without a jail.
//!
//! Whoever relays has one core, the stand-in the other. A client alone shares the relay's core: a
//! sleeping core takes longer to wake than all that is measured here, and so everybody wakes one
//! core once. Many clients share the stand-in's, so that the relay has its core for itself.

mod growth;
mod rivals;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::Value;

use self::rivals::Rivals;
use super::{Measured, median};
use crate::process::{Running, supervised};
use crate::report::Report;
use crate::scratch::Scratch;
use crate::setup::{self, Assets};
use crate::signals::Signals;
use crate::stage::{Companion, Servers};
use crate::workspace::Programs;

/// Longest a start, a download or a load may take.
const WORK_LIMIT: Duration = Duration::from_secs(300);
const MODEL: &str = "smollm2-135m-instruct";
const RUNTIME: &str = "llama-server";
const STAND_IN: &str = "standin-runtime";
/// Cores: of whoever relays; of the stand-in.
const RELAY_CORE: usize = 1;
const OTHER_CORE: usize = 0;
/// Connections of the load that counts requests.
const MANY: &str = "64";
/// Connections that wait, beyond those that have a slot.
const WAITING: usize = 192;
const SLOTS: usize = 64;
/// Over the front door's own bounds, so that none of them is what is measured.
const SETTINGS: &[(&str, &str)] = &[
    ("COMPANION_FRONTDOOR_RATE_LIMIT_REQUESTS", "100000"),
    ("COMPANION_FRONTDOOR_RATE_LIMIT_WINDOW_S", "1"),
    ("COMPANION_FRONTDOOR_MAX_IN_FLIGHT", "64"),
    ("COMPANION_FRONTDOOR_QUEUE_BOUND", "512"),
    ("COMPANION_FRONTDOOR_MAX_CONNECTIONS", "1024"),
];
/// The project's own targets.
const P50_US: f64 = 60.0;
const P99_US: f64 = 250.0;
const PIECE_P99_US: f64 = 200.0;
const IDLE_MB: f64 = 12.0;
const WAITING_KB: f64 = 24.0;

/// Measures all four, alternating, after one round that does not count.
///
/// # Errors
/// When a part does not start or a request fails.
pub(crate) fn measure(
    programs: &Programs,
    assets: &Assets,
    samples: usize,
) -> Result<Vec<Measured>> {
    let proxies = setup::proxies(&mut Report::quiet())?;
    let signals = Signals::block()?;
    let scratch = Scratch::make()?;
    let stand_in = programs.path(STAND_IN);
    let assets = Assets { llama_server: stand_in.clone(), ..assets.clone() };
    let servers = Servers::up(programs, &assets, &scratch, &signals)?;
    let companion = Companion::up(programs, &servers, &scratch, &signals, SETTINGS)?;
    companion.sign_in(programs, &servers)?;
    for id in [RUNTIME, MODEL] {
        companion.events(&["pull", id], WORK_LIMIT, |_| Ok(()))?;
    }
    companion.events(&["start", MODEL], WORK_LIMIT, |_| Ok(()))?;
    let status = companion.ask(&["status"])?;
    let front_door = pid_of(&status, "frontdoor")?;
    pin(front_door, RELAY_CORE)?;
    pin(pid_of(&status, "runtime")?, OTHER_CORE)?;
    let idle_kb = resident_kb(front_door, NOW)?;

    let env = companion.ask(&["env"])?;
    let ours = Endpoint {
        to: env["OPENAI_BASE_URL"]
            .as_str()
            .and_then(|url| url.strip_prefix("http://")?.strip_suffix("/v1"))
            .context("no endpoint")?
            .to_owned(),
        token: env["OPENAI_API_KEY"].as_str().context("no token")?.to_owned(),
    };
    let rivals = Rivals::up(&proxies, &stand_in, &scratch, &ours.token, &signals)?;
    let bench = Bench { load: programs.path("endpoint-load"), quick: samples < super::SAMPLES };
    let sides = [rivals.direct(), ours.clone(), rivals.nginx(), rivals.haproxy()];
    let rounds = bench.rounds(&sides, samples)?;
    let mut measured = rounds.added();
    measured.push(rounds.per_request());
    measured.push(rounds.pieces());

    let growth = growth::measure(&bench, &ours, front_door)?;
    let waiting = bench.waiting(&ours, &companion, front_door, &signals)?;
    let alone = |case, unit, ours, target, target_rule| Measured {
        case,
        unit,
        ours,
        rivals: Vec::new(),
        target,
        target_rule,
        samples: 1,
    };
    measured.push(alone("frontdoor-idle", "kB", idle_kb, IDLE_MB * 1000.0, "12 MB resident"));
    measured.push(alone("frontdoor-waiting", "kB", waiting, WAITING_KB, "a waiting connection"));
    measured.push(growth);
    drop(rivals);
    companion.stop(&status["pids"])?;
    servers.stop(&signals)?;
    Ok(measured)
}

/// Whom a load asks.
#[derive(Debug, Clone)]
struct Endpoint {
    to: String,
    token: String,
}

/// One side's figures, round by round.
#[derive(Debug, Default)]
struct Side {
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    per_second: Vec<f64>,
    piece_p99_us: Vec<f64>,
}

struct Bench {
    load: PathBuf,
    quick: bool,
}

impl Bench {
    fn rounds(&self, sides: &[Endpoint; 4], samples: usize) -> Result<Rounds> {
        let mut rounds = Rounds { sides: Default::default(), samples };
        let (one_ms, many_ms) = if self.quick { ("200", "200") } else { ("1500", "1500") };
        for round in 0..=samples {
            for (endpoint, side) in sides.iter().zip(&mut rounds.sides) {
                let one = ["whole", "--connections", "1", "--millis", one_ms];
                let one = self.load(RELAY_CORE, endpoint, &one)?;
                let many = ["whole", "--connections", MANY, "--millis", many_ms];
                let many = self.load(OTHER_CORE, endpoint, &many)?;
                let stream = ["stream", "--streams", "2", "--pieces", "100", "--pace-us", "2000"];
                let stream = self.load(RELAY_CORE, endpoint, &stream)?;
                if round > 0 {
                    side.p50_us.push(number(&one, "p50_us")?);
                    side.p99_us.push(number(&one, "p99_us")?);
                    side.per_second.push(number(&many, "per_second")?);
                    side.piece_p99_us.push(number(&stream, "p99_us")?);
                }
            }
        }
        Ok(rounds)
    }

    fn load(&self, core: usize, endpoint: &Endpoint, arguments: &[&str]) -> Result<Value> {
        let output = self.command(core, endpoint).args(arguments).output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the load {arguments:?} on {}: {complaint}", endpoint.to);
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn command(&self, core: usize, endpoint: &Endpoint) -> Command {
        let mut command = on_core(core, &self.load);
        command.args(["--to", &endpoint.to]).env("ENDPOINT_LOAD_TOKEN", &endpoint.token);
        command
    }

    /// Resident memory of each connection that waits for a slot.
    fn waiting(
        &self,
        ours: &Endpoint,
        companion: &Companion<'_>,
        front_door: u32,
        signals: &Signals,
    ) -> Result<f64> {
        let hold = |connections: usize, wanted: usize| -> Result<f64> {
            let mut command = self.command(OTHER_CORE, ours);
            command.args(["hold", "--connections", &connections.to_string()]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut holding = Running::start("endpoint-load", &mut command)?;
            let line = holding.lines(signals, WORK_LIMIT)?.next_line()?;
            ensure!(line.is_some(), "nothing was held");
            while companion.ask(&["status"])?["queued"] != wanted {}
            let resident = resident_kb(front_door, NOW)?;
            drop(holding);
            while companion.ask(&["status"])?["in_flight"] != 0 {}
            Ok(resident)
        };
        // Once before, so that what the allocator keeps is there already.
        hold(SLOTS + 1, 1)?;
        let few = hold(SLOTS + 1, 1)?;
        let many = hold(SLOTS + 1 + WAITING, 1 + WAITING)?;
        #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
        Ok((many - few) / WAITING as f64)
    }
}

/// Direct, ours, nginx, haproxy.
#[derive(Debug)]
struct Rounds {
    sides: [Side; 4],
    samples: usize,
}

impl Rounds {
    fn medians(&self, of: impl Fn(&Side) -> &Vec<f64>) -> [f64; 4] {
        self.sides.each_ref().map(|side| median(of(side).clone()))
    }

    /// Microseconds over direct, at one connection.
    fn added(&self) -> Vec<Measured> {
        let added = |case, of: fn(&Side) -> &Vec<f64>, target, target_rule| {
            self.added_of(case, self.medians(of), target, target_rule)
        };
        vec![
            added("frontdoor-added-p50", |s| &s.p50_us, P50_US, "60 µs over direct"),
            added("frontdoor-added-p99", |s| &s.p99_us, P99_US, "250 µs over direct"),
        ]
    }

    fn pieces(&self) -> Measured {
        let medians = self.medians(|side| &side.piece_p99_us);
        self.added_of("frontdoor-piece-p99", medians, PIECE_P99_US, "200 µs over direct")
    }

    fn added_of(
        &self,
        case: &'static str,
        [direct, ours, nginx, haproxy]: [f64; 4],
        target: f64,
        target_rule: &'static str,
    ) -> Measured {
        Measured {
            case,
            unit: "µs",
            ours: ours - direct,
            rivals: vec![
                ("direct alone", direct),
                ("nginx", nginx - direct),
                ("haproxy", haproxy - direct),
            ],
            target,
            target_rule,
            samples: self.samples,
        }
    }

    /// Nanoseconds of each request at many connections: a thousand million by requests a second.
    fn per_request(&self) -> Measured {
        let [direct, ours, nginx, haproxy] =
            self.medians(|side| &side.per_second).map(|per_second| 1e9 / per_second);
        Measured {
            case: "frontdoor-at-64",
            unit: "ns/request",
            ours,
            rivals: vec![("direct", direct), ("nginx", nginx), ("haproxy", haproxy)],
            target: nginx.min(haproxy),
            target_rule: "the better of the two",
            samples: self.samples,
        }
    }
}

fn number(figures: &Value, name: &str) -> Result<f64> {
    figures[name].as_f64().with_context(|| format!("no {name} in {figures}"))
}

pub(super) fn pid_of(status: &Value, role: &str) -> Result<u32> {
    let pid = status["pids"][role].as_u64().with_context(|| format!("no {role} in the status"))?;
    Ok(u32::try_from(pid)?)
}

/// A program on one core, where there is another.
pub(super) fn on_core(core: usize, program: &Path) -> Command {
    if core_count() < 2 {
        return supervised(program);
    }
    let mut command = supervised(Path::new("taskset"));
    command.args(["--cpu-list", &core.to_string()]).arg(program);
    command
}

/// Every thread of a process on one core, where there is another.
fn pin(pid: u32, core: usize) -> Result<()> {
    if core_count() < 2 {
        return Ok(());
    }
    let mut cores = CpuSet::new();
    cores.set(core)?;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.file_name().to_string_lossy().parse()?;
        sched_setaffinity(Pid::from_raw(task), &cores).context("cannot choose a core")?;
    }
    Ok(())
}

fn core_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Memory that is resident now.
const NOW: &str = "VmRSS";

/// Resident memory, in thousands of bytes: now (`VmRSS`), or at the most so far (`VmHWM`).
pub(super) fn resident_kb(pid: u32, which: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
    let line = line.with_context(|| format!("no {which}"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1.024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_over_direct_are_differences_of_medians() {
        let side = |p50: f64| Side { p50_us: vec![p50, p50 + 9.0, p50 - 9.0], ..Side::default() };
        let rounds = Rounds { sides: [side(20.0), side(75.0), side(80.0), side(90.0)], samples: 3 };
        let added = &rounds.added()[0];
        assert_eq!(added.ours, 55.0);
        assert_eq!(added.rivals[1], ("nginx", 60.0));
        assert_eq!(added.target, P50_US);
    }

    #[test]
    fn this_very_process_is_resident_in_memory() {
        assert!(resident_kb(std::process::id(), NOW).unwrap() > 500.0);
    }
}
