//! What the jail refuses, with exit code 125 and one constant line, before anything runs.

use std::fs;

use confine::{JailPlan, MAX_PLAN_BYTES};

use crate::stage::{Stage, everybody};

fn assert_refused(jail: &mut std::process::Command, reason: &str) {
    let output = jail.output().expect("the jail");
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("runtime-jail: {reason}\n"));
    assert_eq!(output.status.code(), Some(125));
    assert!(output.stdout.is_empty(), "nothing ran");
}

fn stage() -> Stage {
    Stage::new(everybody()[0])
}

#[test]
fn a_plan_that_is_not_exactly_a_plan_is_refused() {
    let stage = stage();
    let good = serde_json::to_string(&stage.plan(&[])).expect("JSON");
    let unknown_field = good.replacen('{', "{\"environment\":[],", 1);
    let too_long = format!("{good}{}", " ".repeat(MAX_PLAN_BYTES as usize));
    for plan in ["", "{}", "null", &unknown_field, &too_long, &format!("{good}{good}")] {
        assert_refused(&mut stage.jail_told(plan.as_bytes()), "the plan is malformed");
    }
}

#[test]
fn a_relative_scratch_directory_is_refused() {
    let stage = stage();
    let plan = JailPlan { scratch_dir: "scratch".into(), ..stage.plan(&[]) };
    assert_refused(&mut stage.jail(&plan), "the plan is malformed");
}

#[test]
fn an_argument_with_a_zero_byte_is_refused() {
    let stage = stage();
    let reason = "the plan has an argument that no program can be given";
    assert_refused(&mut stage.jail(&stage.plan(&["a\0b"])), reason);
}

#[test]
fn a_supervisor_that_is_not_the_parent_is_refused() {
    let stage = stage();
    let plan = JailPlan { supervisor_pid: u32::MAX, ..stage.plan(&[]) };
    assert_refused(&mut stage.jail(&plan), "the parent process is gone");
}

#[test]
fn a_missing_descriptor_is_refused() {
    use command_fds::CommandFdExt;
    let stage = stage();
    let plan = serde_json::to_vec(&stage.plan(&[])).expect("JSON");
    for (missing, reason) in [
        (3, "the plan cannot be read"),
        (4, "the descriptors of binary and model are not there"),
        (5, "the descriptors of binary and model are not there"),
    ] {
        let mut jail = stage.program("bin/jail");
        let mappings = stage.descriptors(&plan);
        let left = mappings.into_iter().filter(|mapping| mapping.child_fd != missing).collect();
        jail.fd_mappings(left).expect("distinct numbers");
        assert_refused(&mut jail, reason);
    }
}

#[test]
fn a_scratch_directory_that_is_not_there_is_refused() {
    let stage = stage();
    fs::remove_dir(stage.path("scratch")).expect("it was there");
    assert_refused(&mut stage.jail(&stage.plan(&[])), "the private directories cannot be made");
}

#[test]
fn a_binary_that_no_kernel_can_run_is_refused() {
    let stage = stage();
    fs::remove_file(stage.path("store/runtime")).expect("it was there");
    fs::write(stage.path("store/runtime"), "not a program").expect("a file");
    assert_refused(&mut stage.jail(&stage.plan(&[])), "the runtime cannot be executed");
}
