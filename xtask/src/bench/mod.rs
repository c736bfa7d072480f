//! `cargo xtask bench`: ours beside others, same machine, same run, alternating, medians.

mod confinement;
mod download;
mod frontdoor;
mod start;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::report::Report;
use crate::setup::{self, Assets};
use crate::workspace::{Profile, Programs, Workspace};

/// Samples of each side, whose median counts.
const SAMPLES: usize = 10;
/// Samples of the quick form.
const QUICK_SAMPLES: usize = 3;
/// Bytes of the file that is fetched, and in the quick form.
const SIZE: u64 = 4_000_000_000;
const QUICK_SIZE: u64 = 50_000_000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench                     all of them, optimised build
  cargo xtask bench start --json        one object: case, unit, ours, rivals, target, met
  cargo xtask bench start --quick       three samples, development build
  cargo xtask bench download --size 500000000 --samples 2    a quick look on a slow disk")]
pub(crate) struct BenchArgs {
    /// Which ones; all when none is named
    cases: Vec<Case>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Few samples, development build: whether it works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// Samples of each side
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    samples: Option<u16>,
    /// Bytes of the file that `download` fetches
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    size: Option<u64>,
}

/// A benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// From `companionctl start` to available, beside bare llama-server
    Start,
    /// What entering the policies costs, and each system call behind one
    Confinement,
    /// What the front door adds, beside nginx and haproxy at the same work
    Frontdoor,
    /// A large file, verified and on the disk, beside curl, openssl and aria2c
    Download,
}

impl Case {
    /// All of them, in the order they run.
    pub(crate) const ALL: &'static [Self] =
        &[Self::Start, Self::Confinement, Self::Frontdoor, Self::Download];

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Confinement => "confinement",
            Self::Frontdoor => "frontdoor",
            Self::Download => "download",
        }
    }

    fn measure(
        self,
        programs: &Programs,
        assets: &Assets,
        samples: usize,
        size: u64,
    ) -> Result<Vec<Measured>> {
        match self {
            Self::Start => Ok(vec![start::measure(programs, assets, samples)?]),
            Self::Confinement => confinement::measure(programs, assets, samples),
            Self::Frontdoor => frontdoor::measure(programs, assets, samples),
            Self::Download => download::measure(programs, assets, samples, size),
        }
    }
}

/// What a benchmark found. Smaller is better.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Its name.
    pub(crate) case: &'static str,
    /// Unit of every number.
    pub(crate) unit: &'static str,
    /// Our median.
    pub(crate) ours: f64,
    /// Others' medians, by name.
    pub(crate) rivals: Vec<(&'static str, f64)>,
    /// The most that ours may be.
    pub(crate) target: f64,
    /// Where the target comes from, in words.
    pub(crate) target_rule: &'static str,
    /// Samples of each side.
    pub(crate) samples: usize,
}

impl Measured {
    fn met(&self) -> bool {
        self.ours <= self.target
    }

    fn as_json(&self) -> Value {
        let rivals: serde_json::Map<_, _> = self
            .rivals
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(tenths(*value))))
            .collect();
        json!({
            "case": self.case, "unit": self.unit, "ours": tenths(self.ours), "rivals": rivals,
            "target": tenths(self.target), "met": self.met(),
            "target_rule": self.target_rule, "samples": self.samples,
        })
    }

    /// One line.
    pub(crate) fn for_people(&self) -> String {
        let unit = self.unit;
        let rivals: Vec<_> =
            self.rivals.iter().map(|(name, value)| format!("{name} {value:.0} {unit}")).collect();
        let rivals = if rivals.is_empty() { "alone".to_owned() } else { rivals.join(", ") };
        format!(
            "ours {:.0} {unit}, {}; target {:.0} {unit} ({}): {}",
            self.ours,
            rivals,
            self.target,
            self.target_rule,
            if self.met() { "met" } else { "missed" }
        )
    }
}

/// Runs the named benchmarks. A missed target is told, and is no failure.
///
/// # Errors
/// When one cannot be run.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    let report = Report::new(args.json);
    let assets = setup::everything(&mut Report::quiet())?;
    let profile = if args.quick { Profile::Dev } else { Profile::Release };
    let programs = Workspace::find()?.build(profile)?;
    let default = if args.quick { QUICK_SAMPLES } else { SAMPLES };
    let samples = args.samples.map_or(default, usize::from);
    let size = args.size.unwrap_or(if args.quick { QUICK_SIZE } else { SIZE });
    let cases = if args.cases.is_empty() { Case::ALL } else { &args.cases };
    for case in cases {
        for measured in case.measure(&programs, &assets, samples, size)? {
            report.event(&measured.as_json());
            report.say(&format!("{}: {}", measured.case, measured.for_people()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs one in its quick form on programs that are built already.
///
/// # Errors
/// When it cannot be run.
pub(crate) fn quick(case: Case, programs: &Programs, assets: &Assets) -> Result<Vec<Measured>> {
    case.measure(programs, assets, QUICK_SAMPLES, QUICK_SIZE)
}

/// The median, in milliseconds.
fn median_ms(mut samples: Vec<Duration>) -> f64 {
    samples.sort_unstable();
    let middle = samples.len() / 2;
    let ms = |index: usize| samples.get(index).map_or(f64::NAN, |d| d.as_secs_f64() * 1000.0);
    if samples.len().is_multiple_of(2) {
        f64::midpoint(ms(middle.wrapping_sub(1)), ms(middle))
    } else {
        ms(middle)
    }
}

/// The middle one, or the upper of the two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    if values.len().is_multiple_of(2) {
        f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
    } else {
        at(middle)
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two() {
        let of = |ms: &[u64]| median_ms(ms.iter().copied().map(Duration::from_millis).collect());
        assert!((of(&[9, 1, 5]) - 5.0).abs() < 1e-9);
        assert!((of(&[1, 9, 3, 5]) - 4.0).abs() < 1e-9);
        assert!(of(&[]).is_nan());
    }

    #[test]
    fn a_line_for_programs_has_the_stable_fields() {
        let measured = Measured {
            case: "start",
            unit: "ms",
            ours: 412.34,
            rivals: vec![("bare llama-server", 350.0)],
            target: 500.0,
            target_rule: "bare + 150 ms",
            samples: 10,
        };
        let line = measured.as_json();
        assert_eq!(line["case"], "start");
        assert_eq!(line["ours"], 412.3);
        assert_eq!(line["rivals"]["bare llama-server"], 350.0);
        assert_eq!(line["target"], 500.0);
        assert_eq!(line["met"], true);
        assert!(!Measured { ours: 500.1, ..measured }.met());
    }
}
