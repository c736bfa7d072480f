//! What a confined process is, seen from outside: every thread of it, its limits, its parent, its
//! descriptors.
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use crate::stage::{Stage, Who, everybody, first_line};
use command_fds::{CommandFdExt, FdMapping};

const ROLES: [&str; 4] = ["broker", "supervisor", "frontdoor", "runtime"];

#[test]
fn every_thread_is_confined_and_none_has_a_capability() {
    for who in everybody() {
        for role in ROLES {
            let stage = Stage::new(who);
            let (mut process, dumpable) = threaded(&stage, role);
            let threads = status_of_every_thread(&process);
            assert_eq!(threads.len(), 4, "{role} as {who:?}");
            for status in &threads {
                assert_eq!(field(status, "NoNewPrivs"), "1");
                assert_eq!(field(status, "Seccomp"), "2", "a filter");
                for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                    assert_eq!(field(status, set), "0000000000000000", "{set} of {role}");
                }
                if who == Who::Root {
                    assert_eq!(field(status, "CapBnd"), "0000000000000000");
                }
            }
            assert_eq!(dumpable, "NotDumpable");
            end(&mut process);
        }
    }
}

#[test]
fn the_same_process_without_a_policy_shows_none_of_it() {
    let stage = Stage::new(everybody()[0]);
    let own = fs::read_to_string("/proc/self/status").expect("the test's own status");
    let (mut process, dumpable) = threaded(&stage, "nothing");
    for status in status_of_every_thread(&process) {
        assert_eq!(filters(&status), filters(&own));
    }
    assert_eq!(dumpable, "Dumpable");
    end(&mut process);
    let (mut process, _) = threaded(&stage, "frontdoor");
    for status in status_of_every_thread(&process) {
        assert_eq!(filters(&status), filters(&own) + 2, "the gate and the policy");
    }
    end(&mut process);
}

#[test]
fn no_role_leaves_a_core_file_and_each_has_its_limits() {
    for role in ROLES {
        let stage = Stage::new(everybody()[0]);
        let (mut process, _) = threaded(&stage, role);
        let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).expect("limits");
        assert_eq!(limit(&limits, "Max core file size"), ["0", "0"], "{role}");
        let files = limit(&limits, "Max open files");
        assert!(files[1].parse::<u64>().expect("a number") <= 8192, "{role}: {files:?}");
        if role == "runtime" {
            assert_eq!(limit(&limits, "Max data size"), ["4294967296", "4294967296"]);
            assert_eq!(limit(&limits, "Max file size"), ["67108864", "67108864"]);
        }
        end(&mut process);
    }
}

#[test]
fn a_process_with_a_second_thread_is_not_half_confined_but_refused() {
    let stage = Stage::new(everybody()[0]);
    let output = stage.probe_as("second-thread", "frontdoor").output().expect("the probe");
    assert!(!output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "error\tSecondThread\n");
}

#[test]
fn a_policy_whose_directory_is_missing_is_refused() {
    let stage = Stage::new(everybody()[0]);
    let mut probe = stage.probe();
    let output = probe.args(["second-thread", "nothing", "/nonexistent"]).output().expect("it");
    assert!(output.status.success(), "without a policy there is nothing to miss");
    let mut probe = stage.probe();
    let output = probe.args(["threads", "broker", "/nonexistent"]).output().expect("it");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("error\tPlaceMissing"));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_call_by_the_32_bit_entry_ends_the_process() {
    let stage = Stage::new(everybody()[0]);
    let unconfined = stage.probe_as("int80", "nothing").output().expect("the probe");
    let confined = stage.probe_as("int80", "frontdoor").output().expect("the probe");
    assert!(confined.stdout.is_empty());
    if unconfined.status.success() {
        assert_eq!(confined.status.signal(), Some(libc::SIGSYS));
    } else {
        assert!(confined.status.signal().is_some(), "this kernel has no 32-bit entry");
    }
}

#[test]
fn inherited_descriptors_are_closed_but_the_named_ones() {
    let stage = Stage::new(everybody()[0]);
    let mut probe = stage.probe();
    let mappings = [4, 5, 10]
        .into_iter()
        .map(|child_fd| FdMapping {
            parent_fd: fs::File::open("/dev/null").expect("a file").into(),
            child_fd,
        })
        .collect();
    probe.arg("descriptors").fd_mappings(mappings).expect("distinct numbers");
    let output = probe.output().expect("the probe");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0 1 2 5\n");
}

#[test]
fn a_child_dies_with_its_parent() {
    let stage = Stage::new(everybody()[0]);
    let mut parent = stage
        .probe()
        .arg("foster")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the parent");
    // The grandchild holds standard error open, and writes to it if it outlives its parent.
    let mut left_behind = String::new();
    parent.stderr.take().expect("a pipe").read_to_string(&mut left_behind).expect("its end");
    assert_eq!(first_line(&mut parent), "bound");
    assert!(parent.wait().expect("its end").success());
    assert_eq!(left_behind, "");
}

#[test]
fn a_child_whose_parent_is_another_is_refused() {
    let stage = Stage::new(everybody()[0]);
    let other = u32::MAX.to_string();
    let output = stage.probe().args(["bound", &other]).output().expect("the probe");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "error\tParentGone\n");
}

#[test]
fn what_the_kernel_offers_is_reported_with_its_gaps() {
    let offered = confine::supported().expect("Landlock and seccomp");
    assert!(offered.landlock_abi >= 1);
    assert_eq!(offered.gaps.is_empty(), offered.landlock_abi >= 9, "{offered:?}");
}

fn threaded(stage: &Stage, policy: &str) -> (Child, String) {
    let mut process = stage
        .probe_as("threads", policy)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the probe");
    let dumpable = first_line(&mut process);
    (process, dumpable)
}

fn end(process: &mut Child) {
    drop(process.stdin.take());
    assert!(process.wait().expect("its end").success());
}

fn status_of_every_thread(process: &Child) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", process.id())).expect("its threads");
    threads
        .map(|thread| thread.expect("a thread").path().join("status"))
        .map(|status| fs::read_to_string(status).expect("its status"))
        .collect()
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find(|line| line.split(':').next() == Some(name));
    line.and_then(|line| line.split_whitespace().nth(1)).expect("the field")
}

fn filters(status: &str) -> u32 {
    field(status, "Seccomp_filters").parse().expect("a number")
}

/// Soft and hard.
fn limit<'a>(limits: &'a str, name: &str) -> Vec<&'a str> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("the limit");
    line.split_whitespace().take(2).collect()
}
