//! `cargo xtask test`: every check and every test, or one of the seven tiers.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::bench;
use crate::process::shown;
use crate::report::Report;
use crate::setup::{self, Assets, Cache, Node};
use crate::workspace::{Profile, Workspace};

/// Where nextest leaves its account (`.config/nextest.toml`), beneath the target directory.
const JUNIT: &str = "nextest/default/junit.xml";
/// Packages that a backdoor can be planted in, and their programs.
const CAPTURED: [(&str, &str); 3] = [
    ("frontdoor", "frontdoor"),
    ("runtime-supervisor", "runtime-supervisor"),
    ("endpoint-bench", "standin-runtime"),
];
/// There where the driver of a graphics card is loaded.
const DRIVER: &str = "/proc/driver/nvidia/version";
/// What takes such a card, as a nextest filter.
const ON_A_CARD: &str = "test(=gpu::tests::the_figure_is_what_nvidia_smi_shows)";
/// Names of test files of the whole-system tiers, as a nextest filter.
const WHOLE_SYSTEM: &str =
    "binary(/^(integration|end_to_end|stress|data_integrity|security)_/) + binary(=crate_graph)";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask test                      everything
  cargo xtask test --tier unit          the quick ones
  cargo xtask test --tier security")]
pub(crate) struct TestArgs {
    /// Only the tests of this tier
    #[arg(long)]
    tier: Option<Tier>,
}

/// The tiers of contract 13. A test belongs to the one its file is named after
/// (`security_*.rs`); all others are unit tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tier {
    Unit,
    Integration,
    EndToEnd,
    Stress,
    DataIntegrity,
    Performance,
    Security,
}

impl Tier {
    /// The nextest filter; none where a tier has no tests but benchmarks.
    fn filter(self) -> Option<String> {
        let named = |name: &str| Some(format!("binary(/^{name}_/)"));
        match self {
            Self::Unit => Some(format!("not ({WHOLE_SYSTEM})")),
            Self::Integration => named("integration"),
            Self::EndToEnd => named("end_to_end"),
            Self::Stress => named("stress"),
            Self::DataIntegrity => named("data_integrity"),
            Self::Performance => None,
            Self::Security => Some("binary(/^security_/) + binary(=crate_graph)".to_owned()),
        }
    }
}

/// What the tests are told of this machine.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) assets: Assets,
    python: OsString,
    node: Node,
    pub(crate) path: OsString,
}

/// Runs them.
///
/// # Errors
/// When the set-up fails; a failed test is an exit code.
pub(crate) fn run(args: &TestArgs) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut checks = Checks::new(Report::for_people());
    let surroundings = prepare(&mut checks.report)?;
    let all = args.tier.is_none();
    if all {
        checks.one("format", &mut format(&workspace))?;
        checks.one("lints", &mut lints(&workspace))?;
    }
    if all || args.tier == Some(Tier::Security) {
        let mut deny = deny(&workspace);
        checks.one("dependencies", deny.env("PATH", &surroundings.path))?;
    }
    if !captured(&mut checks, &workspace)? || !checks.one("build", &mut build(&workspace))? {
        return Ok(checks.finish());
    }
    let filter = args.tier.map_or_else(|| Some("all()".to_owned()), Tier::filter);
    if let Some(filter) = filter {
        tests(&mut checks, &workspace, &surroundings, &filter)?;
    }
    if all || args.tier == Some(Tier::Unit) {
        graphics_card(&mut checks, &workspace, &surroundings)?;
    }
    if all || args.tier == Some(Tier::Performance) {
        benchmarks(&mut checks, &workspace, &surroundings.assets);
    }
    Ok(checks.finish())
}

/// Makes what the tests need, or finds it made.
///
/// # Errors
/// Names what is missing and how to get it.
pub(crate) fn prepare(report: &mut Report) -> Result<Surroundings> {
    let assets = setup::everything(report)?;
    setup::rust_components()?;
    let cache = Cache::open()?;
    setup::cargo_deny(report, &cache)?;
    setup::cargo_nextest(report, &cache)?;
    setup::clients_of_tests(report)?;
    let python = setup::test_python(report, &cache)?.into_os_string();
    let node = setup::test_node(report, &cache)?;
    Ok(Surroundings { assets, python, node, path: setup::path_with_tools(&cache)? })
}

/// `cargo fmt --check`.
pub(crate) fn format(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["fmt", "--all", "--check"]);
    command
}

/// Clippy with warnings denied.
pub(crate) fn lints(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    command
}

/// The crate graph by `cargo metadata` (architecture 3, promise 1).
pub(crate) fn graph(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["test", "--locked", "--package", "promises", "--test", "crate_graph"]);
    command
}

/// cargo-deny: direct edges, licences, sources. Its advisories need the network: not here.
fn deny(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["deny", "--workspace", "--locked", "check", "bans", "licenses", "sources"]);
    command
}

/// The processes with a backdoor planted in them, for `security_captured.rs`: built first and put
/// aside, since the ordinary build then takes their names. The example is asked for because it
/// makes cargo choose the same features of every library as that build does.
fn captured(checks: &mut Checks, workspace: &Workspace) -> Result<bool> {
    let features = CAPTURED.map(|(package, _)| format!("{package}/captured")).join(",");
    let mut build = workspace.cargo();
    build.args(["build", "--locked", "--workspace", "--example", "probe", "--features", &features]);
    for (_, program) in CAPTURED {
        build.args(["--bin", program]);
    }
    if !checks.one("captured processes", &mut build)? {
        return Ok(false);
    }
    let aside = workspace.captured();
    fs::create_dir_all(&aside)?;
    for (_, program) in CAPTURED {
        let (built, kept) = (workspace.programs(Profile::Dev).path(program), aside.join(program));
        fs::copy(&built, &kept).with_context(|| format!("{} is not built", built.display()))?;
    }
    Ok(true)
}

/// Programs and tests in one build, so that both are made of the same crates.
pub(crate) fn build(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["build", "--locked", "--workspace", "--all-targets"]);
    command
}

/// `cargo nextest run` over the workspace, told of this machine.
pub(crate) fn nextest(workspace: &Workspace, surroundings: &Surroundings) -> Command {
    let programs = workspace.programs(Profile::Dev);
    let mut nextest = workspace.cargo();
    nextest
        .args(["nextest", "run", "--locked", "--workspace"])
        .env("PATH", &surroundings.path)
        .env("COMPANION_BIN_DIR", &programs.dir)
        .env("COMPANION_CAPTURED_DIR", workspace.captured())
        .env("COMPANION_LLAMA_SERVER", &surroundings.assets.llama_server)
        .env("COMPANION_MODEL", &surroundings.assets.model)
        .env("COMPANION_TEST_PYTHON", &surroundings.python)
        .env("COMPANION_TEST_NODE", &surroundings.node.program)
        .env("COMPANION_TEST_NODE_MODULES", &surroundings.node.modules);
    nextest
}

fn tests(
    checks: &mut Checks,
    workspace: &Workspace,
    surroundings: &Surroundings,
    filter: &str,
) -> Result<()> {
    let junit = workspace.target.join(JUNIT);
    if junit.exists() {
        fs::remove_file(&junit)?;
    }
    let mut nextest = nextest(workspace, surroundings);
    nextest.args(["--no-fail-fast", "--no-tests", "pass", "-E", filter]);
    let step = checks.report.begin_long("tests", filter);
    let succeeded = shown(&mut nextest)?.status().context("cannot start cargo nextest")?.success();
    let (run, failed) = counts(&junit).unwrap_or((0, 0));
    // A run that failed without a failed test (a crash of nextest itself) is a failure too.
    let failed = if succeeded { failed } else { failed.max(1) };
    checks.passed += run.saturating_sub(failed);
    checks.failed += failed;
    checks.report.done(step, &format!("{} passed, {failed} failed", run.saturating_sub(failed)));
    Ok(())
}

/// What takes a graphics card; without one it is not run, and that is said.
fn graphics_card(
    checks: &mut Checks,
    workspace: &Workspace,
    surroundings: &Surroundings,
) -> Result<()> {
    if !Path::new(DRIVER).exists() {
        let step = checks.report.begin("graphics card");
        checks.report.done(step, "none here: its memory is not compared with nvidia-smi's");
        return Ok(());
    }
    let mut nextest = nextest(workspace, surroundings);
    nextest.args(["--run-ignored", "only", "-E", ON_A_CARD]);
    checks.one("graphics card", &mut nextest).map(drop)
}

/// Tests run, and tests failed, of nextest's account.
fn counts(junit: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(junit).ok()?;
    let root = text.lines().find(|line| line.trim_start().starts_with("<testsuites"))?;
    let number = |name: &str| {
        let (_, rest) = root.split_once(&format!(" {name}=\""))?;
        rest.split('"').next()?.parse::<u64>().ok()
    };
    Some((number("tests")?, number("failures")? + number("errors")?))
}

/// Benchmarks in their quick form: that they run is tested, what they measure is not (a busy
/// machine proves nothing).
fn benchmarks(checks: &mut Checks, workspace: &Workspace, assets: &Assets) {
    let programs = workspace.programs(Profile::Dev);
    for case in bench::Case::ALL {
        let step = checks.report.begin(&format!("benchmark {}", case.name()));
        match bench::quick(*case, &programs, assets) {
            Ok(measured) => {
                checks.passed += 1;
                let told: Vec<_> = measured.iter().map(bench::Measured::for_people).collect();
                checks.report.done(step, &told.join("; "));
            }
            Err(error) => {
                checks.failed += 1;
                checks.report.done(step, &format!("FAILED: {error:#}"));
            }
        }
    }
}

/// Checks that have run, and tests that they counted.
#[derive(Debug)]
pub(crate) struct Checks {
    report: Report,
    passed: u64,
    failed: u64,
}

impl Checks {
    /// None yet.
    pub(crate) fn new(report: Report) -> Self {
        Self { report, passed: 0, failed: 0 }
    }

    /// Runs one; true when it passed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn one(&mut self, name: &str, command: &mut Command) -> Result<bool> {
        let words: Vec<_> =
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let step = self.report.begin_long(name, &format!("cargo {}", words.join(" ")));
        let passed =
            shown(command)?.status().with_context(|| format!("cannot start {name}"))?.success();
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        self.report.done(step, if passed { "passed" } else { "FAILED" });
        Ok(passed)
    }

    /// Prints the closing line.
    pub(crate) fn finish(self) -> ExitCode {
        let Self { report, passed, failed } = self;
        report.say(&format!("{passed} passed, {failed} failed"));
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_nextest_is_read() {
        let file = std::env::temp_dir().join(format!("xtask-junit-{}.xml", std::process::id()));
        let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <testsuites name=\"nextest-run\" tests=\"7\" failures=\"2\" errors=\"1\" uuid=\"x\">\n";
        fs::write(&file, text).unwrap();
        assert_eq!(counts(&file), Some((7, 3)));
        fs::write(&file, "nothing").unwrap();
        assert_eq!(counts(&file), None);
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn every_tier_but_performance_selects_tests_by_name() {
        for tier in Tier::value_variants() {
            assert_eq!(tier.filter().is_none(), *tier == Tier::Performance, "{tier:?}");
        }
    }
}
