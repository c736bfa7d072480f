//! No line of a policy is idle: with the other layers switched off, a policy without the line
//! gives another answer to at least one attempt. So whoever loses a line by mistake fails a test,
//! since the tables of `matrix` say what every answer must be.
use std::path::Path;

use crate::stage::{Stage, everybody, table};

/// A line of a role's policy, as the probe lists it.
struct Line {
    number: usize,
    layer: String,
    what: String,
    place: String,
}

#[test]
fn no_line_of_the_brokers_policy_is_idle() {
    assert_no_line_is_idle("broker");
}

#[test]
fn no_line_of_the_supervisors_policy_is_idle() {
    assert_no_line_is_idle("supervisor");
}

#[test]
fn no_line_of_the_front_doors_policy_is_idle() {
    assert_no_line_is_idle("frontdoor");
}

#[test]
fn no_line_of_the_runtimes_policy_is_idle() {
    assert_no_line_is_idle("runtime");
}

#[test]
fn no_line_of_the_policy_of_a_runtime_that_computes_on_a_card_is_idle() {
    assert_no_line_is_idle("runtime-with-gpu");
}

#[test]
fn no_line_of_a_parsers_policy_is_idle() {
    assert_no_line_is_idle("parser");
}

fn assert_no_line_is_idle(role: &str) {
    let lines = lines(role);
    assert!(lines.len() > 60, "{role} has {} lines", lines.len());
    let idle: Vec<String> = ["files", "calls", "limits"]
        .into_iter()
        .flat_map(|layer| idle_lines(role, layer, &lines))
        .collect();
    assert!(idle.is_empty(), "{role} could lose {} lines unseen: {idle:#?}", idle.len());
}

fn idle_lines(role: &str, layer: &str, lines: &[Line]) -> Vec<String> {
    let answers = |policy: String| {
        let stage = Stage::new(everybody()[0]);
        match layer {
            "limits" => table(&mut stage.probe_as("limits", &policy)),
            _ => stage.attempts(&policy),
        }
    };
    let whole = answers(format!("{layer}:{role}"));
    lines
        .iter()
        .filter(|line| line.layer == layer && !is_about_nothing(line))
        .filter(|line| !needs_root_to_matter(line))
        .filter(|line| answers(format!("without {}:{role}", line.number)) == whole)
        .map(|line| line.what.clone())
        .collect()
}

/// A directory of libraries without a file: some distributions have it for their loader's link.
fn is_about_nothing(line: &Line) -> bool {
    let place = Path::new(&line.place);
    !line.place.is_empty()
        && place.is_dir()
        && ["/usr", "/lib64"].iter().any(|libraries| place.starts_with(libraries))
        && crate::stage::file_beneath(place).is_none()
}

/// Calls that the kernel refuses to an ordinary user anyhow, by the same error.
fn needs_root_to_matter(line: &Line) -> bool {
    let numbers = [
        libc::SYS_fanotify_init,
        libc::SYS_pivot_root,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_fspick,
    ];
    !rustix::process::geteuid().is_root()
        && numbers.iter().any(|call| line.what.starts_with(&format!("system call {call}:")))
}

fn lines(role: &str) -> Vec<Line> {
    let stage = Stage::new(everybody()[0]);
    let output = stage.probe().args(["lines", role]).arg(stage.directory()).output();
    let output = String::from_utf8(output.expect("the probe").stdout).expect("text");
    output
        .lines()
        .enumerate()
        .map(|(number, line)| {
            let mut parts = line.split('\t').map(str::to_owned);
            let mut part = || parts.next().expect("three parts");
            Line { number, layer: part(), what: part(), place: part() }
        })
        .collect()
}
