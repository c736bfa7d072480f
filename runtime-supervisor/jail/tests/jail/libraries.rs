//! A runtime that came as an archive: it finds the libraries it brought, and executes none of what
//! lies beside them. Linked by the C compiler that links every Rust program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use confine::{JailPlan, LIBRARIES_DESCRIPTOR};
use rustix::fs::OFlags;

use crate::stage::{Stage, everybody, handed, opened};

const LIBRARY: &str = "int answer(void) { return 42; }";

/// Prints what its library answers, then tries to become a program that lies beside it.
const PROGRAM: &str = r#"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int answer(void);
int main(int count, char **words) {
    printf("the library answers %d\n", answer());
    char *none[] = {0};
    execve(words[1], none, none);
    printf("exec: %s\n", strerror(errno));
    return 0;
}
"#;

/// `files/b1/` as an archive of llama.cpp has it: the program, its library, another program.
fn unpacked(stage: &Stage) {
    let directory = stage.path("store/files/b1");
    fs::create_dir_all(&directory).expect("directories");
    let compile = |source: &str, name: &str, flags: &[&str]| {
        let file = stage.path("source.c");
        fs::write(&file, source).expect("a file");
        let output = directory.join(name);
        let mut cc = Command::new("cc");
        cc.arg(file).arg("-o").arg(&output).args(flags).stdin(Stdio::null());
        assert!(cc.status().expect("a C compiler").success(), "{name}");
        output
    };
    let beside = format!("-L{}", directory.display());
    let library = compile(LIBRARY, "libanswer.so", &["-shared", "-fPIC"]);
    let flags = [&beside, "-lanswer", "-Wl,-rpath,$ORIGIN"];
    let program = compile(PROGRAM, "llama-server", &flags);
    let other = compile("int main(void) { return 7; }", "llama-cli", &[]);
    for (file, mode) in [(&library, 0o400), (&program, 0o111), (&other, 0o500)] {
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("its mode");
    }
    stage.give(&stage.path("store"));
}

/// Code, output and complaint of the program, with or without the directory it was unpacked into.
fn run(stage: &Stage, libraries: bool) -> (Option<i32>, String, String) {
    let other = stage.path("store/files/b1/llama-cli").to_string_lossy().into_owned();
    let plan = serde_json::to_vec(&JailPlan { libraries, ..stage.plan(&[&other]) }).expect("JSON");
    let mut descriptors = stage.descriptors_for(&plan, "store/files/b1/llama-server");
    if libraries {
        let directory = opened(&stage.path("store/files"), OFlags::PATH | OFlags::DIRECTORY);
        descriptors.push(handed(LIBRARIES_DESCRIPTOR, directory));
    }
    let output = stage.jail_handed(descriptors).output().expect("the jail");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_runtime_finds_the_libraries_it_brought_and_executes_nothing_beside_them() {
    for who in everybody() {
        let stage = Stage::new(who);
        unpacked(&stage);
        let (code, said, complaint) = run(&stage, true);
        let wanted = "the library answers 42\nexec: Operation not permitted\n";
        assert_eq!((code, said.as_str()), (Some(0), wanted), "{who:?} {complaint}");
    }
}

#[test]
fn without_the_directory_handed_in_the_libraries_are_out_of_reach() {
    for who in everybody() {
        let stage = Stage::new(who);
        unpacked(&stage);
        let (code, said, complaint) = run(&stage, false);
        assert!(code != Some(0) && said.is_empty(), "{who:?} {said}");
        assert!(complaint.contains("libanswer.so"), "{who:?} {complaint}");
    }
}
