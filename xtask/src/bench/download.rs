//! A large file from the development model host until it is verified and on the disk, beside
//! `curl`, `curl` and then `openssl dgst` (what a careful person does), and `aria2c`.
//!
//! Host and client share the machine's cores. With a paced host everybody writes to the same disk,
//! one after the other, onto one that has nothing left to write. Without a pace the cores are what
//! counts, not the disk, which would be slower than they are: everybody writes to memory, if there
//! is enough, where what is written is synced.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::frontdoor::{on_core, pid_of, resident_kb};
use super::{Measured, median};
use crate::process::{Running, output_of, supervised};
use crate::report::Report;
use crate::scratch::Scratch;
use crate::setup::{self, Assets};
use crate::signals::Signals;
use crate::stage::{Companion, Servers};
use crate::workspace::Programs;

/// Longest one download may take.
const WORK_LIMIT: Duration = Duration::from_secs(900);
/// A file system of memory, for bytes that are synced at once.
const MEMORY: &str = "/dev/shm";
const MODEL: &str = "smollm2-135m-instruct";
const MODEL_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// Samples whose median counts; more take too long.
const SAMPLES: usize = 5;
/// Bytes a second of a fast network.
const PACE: u64 = 300_000_000;
/// The core whose hashing is measured, and how long each time.
const CORE: usize = 1;
const HASH_MILLIS: &str = "1000";
const HASH_SECONDS: &str = "1";
/// Bytes between two places of the file that are not zero.
const MARK: u64 = 1 << 20;
/// The project's own targets.
const PACED: f64 = 1.02;
const UNPACED: f64 = 0.85;
const RESIDENT_KB: f64 = 48_000.0;
const HASHING: f64 = 0.95;

/// Measures the paced host, the one without a pace, memory, and hashing.
///
/// # Errors
/// When a part does not start or a download fails.
pub(crate) fn measure(
    programs: &Programs,
    assets: &Assets,
    samples: usize,
    size: u64,
) -> Result<Vec<Measured>> {
    let aria2c = setup::aria2c(&mut Report::quiet())?;
    let samples = samples.min(SAMPLES);
    let signals = Signals::block()?;
    let source = Scratch::make()?;
    let assets = Assets { model: large_file(&source, size)?, ..assets.clone() };
    let bench = Bench { programs, assets, aria2c, signals, samples };
    let paced = bench.rounds(Some(PACE), Scratch::make()?)?;
    let (place, target_rule) = memory(size)?;
    let unpaced = bench.rounds(None, place)?;
    let (curl, careful) = (median(paced.curl_synced), median(unpaced.curl_checked));
    let resident = paced.resident_kb.max(unpaced.resident_kb);
    Ok(vec![
        Measured {
            case: "download-paced",
            unit: "ms",
            ours: median(paced.ours),
            rivals: vec![
                ("curl, sync", curl),
                ("curl, openssl dgst, sync", median(paced.curl_checked)),
                ("aria2c, sync", median(paced.aria2c_synced)),
            ],
            target: curl * PACED,
            target_rule: "1.02 of curl and sync, verified",
            samples,
        },
        Measured {
            case: "download-unpaced",
            unit: "ms",
            ours: median(unpaced.ours),
            rivals: vec![
                ("curl, openssl dgst", careful),
                ("curl", median(unpaced.curl_synced)),
                ("aria2c", median(unpaced.aria2c_synced)),
            ],
            target: careful * UNPACED,
            target_rule,
            samples,
        },
        Measured {
            case: "download-resident",
            unit: "kB",
            ours: resident,
            rivals: Vec::new(),
            target: RESIDENT_KB,
            target_rule: "48 MB at the most, whatever the size",
            samples,
        },
        bench.hashing()?,
    ])
}

/// A place in memory if the file finds room there, and what the target is then called.
fn memory(size: u64) -> Result<(Scratch, &'static str)> {
    let room = nix::sys::statvfs::statvfs(MEMORY);
    if room.is_ok_and(|room| room.blocks_available() * room.fragment_size() > 2 * size) {
        let place = Scratch::make_in(Path::new(MEMORY))?;
        return Ok((place, "0.85 of curl and openssl dgst, in memory"));
    }
    Ok((Scratch::make()?, "0.85 of curl and openssl dgst, on the disk"))
}

/// Mostly holes, which take no room on the disk; no two of its segments are alike.
fn large_file(scratch: &Scratch, size: u64) -> Result<PathBuf> {
    let path = scratch.path("model.gguf");
    let file = File::create(&path)?;
    file.set_len(size)?;
    for offset in (0..size.saturating_sub(8)).step_by(usize::try_from(MARK)?) {
        file.write_all_at(&offset.to_le_bytes(), offset)?;
    }
    Ok(path)
}

struct Bench<'a> {
    programs: &'a Programs,
    assets: Assets,
    aria2c: PathBuf,
    signals: Signals,
    samples: usize,
}

/// Milliseconds of each round.
#[derive(Debug, Default)]
struct Rounds {
    ours: Vec<f64>,
    curl_synced: Vec<f64>,
    curl_checked: Vec<f64>,
    aria2c_synced: Vec<f64>,
    resident_kb: f64,
}

impl Bench<'_> {
    /// In this directory's file system.
    fn rounds(&self, pace: Option<u64>, scratch: Scratch) -> Result<Rounds> {
        let (programs, signals) = (self.programs, &self.signals);
        let flags = pace.map_or_else(Vec::new, |pace| vec!["--pace".to_owned(), pace.to_string()]);
        let servers = Servers::up_with(programs, &self.assets, &scratch, signals, &flags)?;
        let companion = Companion::up(programs, &servers, &scratch, signals, &[])?;
        companion.sign_in(programs, &servers)?;
        let status = companion.ask(&["status"])?;
        let mut rounds = Rounds::default();
        for _ in 0..self.samples {
            self.touch_memory(&scratch)?;
            rounds.ours.push(timed(|| companion.events(&["pull", MODEL], WORK_LIMIT, |_| Ok(())))?);
            companion.ask(&["rm", MODEL])?;
            nix::unistd::sync();
            self.rivals(&servers, &scratch, &mut rounds)?;
        }
        rounds.resident_kb = resident_kb(pid_of(&status, "supervisor")?, "VmHWM")?;
        companion.stop(&status["pids"])?;
        servers.stop(signals)?;
        Ok(rounds)
    }

    /// The same file, into the same file system.
    fn rivals(&self, servers: &Servers, scratch: &Scratch, rounds: &mut Rounds) -> Result<()> {
        let port = servers.value("model_host")?.rsplit(':').next().context("no port")?;
        let url = format!("https://127.0.0.1:{port}/files/{MODEL_FILE}");
        let (ca, file) = (servers.value("ca_file")?, scratch.path("rival"));
        let to = file.to_str().context("a path is no text")?;
        let curl = ["--silent", "--show-error", "--fail", "--cacert", ca, "--output", to, &url];

        self.touch_memory(scratch)?;
        let curl_ms = timed(|| self.run(Path::new("curl"), &curl))?;
        let sync_ms = timed(|| synced(&file))?;
        rounds.curl_synced.push(curl_ms + sync_ms);
        clear(&file)?;

        self.touch_memory(scratch)?;
        let curl_ms = timed(|| self.run(Path::new("curl"), &curl))?;
        let dgst = ["dgst", "-sha256", to];
        let dgst_ms = timed(|| self.run(Path::new("openssl"), &dgst))?;
        let sync_ms = timed(|| synced(&file))?;
        rounds.curl_checked.push(curl_ms + dgst_ms + sync_ms);
        clear(&file)?;

        let dir = format!("--dir={}", file.parent().context("no directory")?.display());
        let ca = format!("--ca-certificate={ca}");
        let aria2c = ["-x4", "--quiet", "--no-conf", &ca, &dir, "--out=rival", &url];
        self.touch_memory(scratch)?;
        let aria2c_ms = timed(|| self.run(&self.aria2c, &aria2c))?;
        let sync_ms = timed(|| synced(&file))?;
        rounds.aria2c_synced.push(aria2c_ms + sync_ms);
        clear(&file)
    }

    /// Has the memory been used that the file will lie in: a virtual machine may have to get what
    /// nobody used for a second from its host, which takes as long as the download.
    fn touch_memory(&self, scratch: &Scratch) -> Result<()> {
        let path = scratch.path("touched");
        if !path.starts_with(MEMORY) {
            return Ok(());
        }
        let size = fs::metadata(&self.assets.model)?.len();
        let mut file = File::create(&path)?;
        let piece = vec![1; usize::try_from(MARK)?];
        for _ in 0..size.div_ceil(MARK) {
            file.write_all(&piece)?;
        }
        Ok(fs::remove_file(&path)?)
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Result<()> {
        let name = program.display().to_string();
        let mut command = supervised(program);
        command.args(arguments).stdout(Stdio::null());
        let status = Running::start(&name, &mut command)?.wait(&self.signals, WORK_LIMIT)?;
        ensure!(status.is_some_and(|status| status.success()), "{name} failed");
        Ok(())
    }

    /// Our hashing beside OpenSSL's, alternating, on one core.
    fn hashing(&self) -> Result<Measured> {
        let (mut ours, mut openssl) = (Vec::new(), Vec::new());
        for _ in 0..self.samples {
            let mut hash = on_core(CORE, &self.programs.path("hash-speed"));
            let said = output_of(hash.arg(HASH_MILLIS)).context("hash-speed")?;
            ours.push(ms_per_gb(said.trim().parse()?));
            let mut speed = on_core(CORE, Path::new("openssl"));
            speed.args(["speed", "-elapsed", "-seconds", HASH_SECONDS, "-bytes", "16384"]);
            speed.args(["-evp", "sha256", "-mr"]).stderr(Stdio::null());
            let said = output_of(&mut speed).context("openssl speed")?;
            openssl.push(ms_per_gb(speed_of(&said).context("what openssl speed said")?));
        }
        let openssl = median(openssl);
        Ok(Measured {
            case: "download-hashing",
            unit: "ms/GB",
            ours: median(ours),
            rivals: vec![("openssl speed", openssl)],
            target: openssl / HASHING,
            target_rule: "95 % of openssl speed -evp sha256",
            samples: self.samples,
        })
    }
}

/// Bytes a second from `+F:25:sha256:1327120384.00`.
fn speed_of(said: &str) -> Option<f64> {
    said.lines().find(|line| line.starts_with("+F:"))?.rsplit(':').next()?.trim().parse().ok()
}

fn ms_per_gb(bytes_per_second: f64) -> f64 {
    1e12 / bytes_per_second
}

fn timed(act: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    act()?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

/// `sync FILE`.
fn synced(file: &Path) -> Result<()> {
    Ok(File::open(file)?.sync_all()?)
}

/// Removes the file, and lets the disk finish what it has to write.
fn clear(file: &Path) -> Result<()> {
    fs::remove_file(file)?;
    nix::unistd::sync();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_large_file_has_its_size_and_takes_little_room() {
        let scratch = Scratch::make().unwrap();
        let facts = fs::metadata(large_file(&scratch, 100_000_000).unwrap()).unwrap();
        assert_eq!(facts.len(), 100_000_000);
        assert!(facts.blocks() * 512 < 2_000_000);
    }

    #[test]
    fn the_speed_is_read_from_what_openssl_says() {
        assert_eq!(speed_of("+H:16384\n+F:25:sha256:1327120384.00\n"), Some(1_327_120_384.0));
        assert_eq!(speed_of("nothing"), None);
    }
}
