//! What `companionctl` says of the machine it runs on.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::nobody;

/// As in a container: a directory is mounted in the place of the control groups.
#[test]
fn doctor_reckons_with_no_more_memory_than_the_control_group_gives() {
    let nobody = nobody();
    let group = nobody.dir().join("group");
    fs::create_dir(&group).expect("directory");
    for (name, told) in
        [("memory.max", "1073741824"), ("memory.current", "4096"), ("memory.stat", "anon 4096")]
    {
        fs::write(group.join(name), told).expect("written");
    }
    let user = if rustix::process::geteuid().is_root() { "--mount" } else { "--map-root-user" };
    let mut doctor = Command::new("unshare");
    doctor.args(["--mount", user, "sh", "-c"]);
    doctor.arg("mount --bind \"$0\" /sys/fs/cgroup && exec \"$@\"").arg(&group);
    doctor.arg(env!("CARGO_BIN_EXE_companionctl")).arg("--runtime-dir").arg(nobody.dir());
    let output = doctor.args(["doctor", "--json"]).env("HOME", nobody.dir()).output();
    let said: Value = serde_json::from_slice(&output.expect("it runs").stdout).expect("JSON");
    let checks = said["checks"].as_array().expect("checks");
    let memory = checks.iter().find(|check| check["check"] == "memory").expect("the memory");
    assert_eq!(memory["meaning"], "The runtime may use 768.00 MiB of 1.00 GiB.", "{memory}");
}
