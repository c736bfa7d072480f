//! What the jail becomes when all is well.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;

use crate::stage::{Ended, Stage, everybody, facts};

#[test]
fn the_runtime_gets_the_plans_arguments_a_built_environment_and_its_model_alone() {
    for who in everybody() {
        let stage = Stage::new(who);
        let socket = stage.path("scratch/runtime.sock").to_string_lossy().into_owned();
        let facts = facts(&mut stage.jail(&stage.plan(&[&socket, "--flag", "a b"])));
        assert_eq!(facts["arguments"], format!("llama-server {socket} --flag a b"));
        let scratch = stage.path("scratch").to_string_lossy().into_owned();
        assert_eq!(
            facts["environment"],
            format!("HOME={scratch}/home TMPDIR={scratch}/tmp LANG=C.UTF-8 LC_ALL=C.UTF-8")
        );
        assert_eq!(facts["descriptors"], "0 1 2 5");
        assert_eq!(facts["model"], "weights");
        assert_eq!(facts["umask"], "077");
        assert_eq!(facts["socket"], "0700", "no more than the umask leaves");
    }
}

#[test]
fn the_runtime_cannot_leave_its_jail() {
    for who in everybody() {
        let stage = Stage::new(who);
        let facts = facts(&mut stage.jail(&stage.plan(&[])));
        for attempt in [
            "reads the list of users",
            "connects by path",
            "connects by address",
            "starts a program",
        ] {
            assert_eq!(facts[attempt], "PermissionDenied", "{attempt} as {who:?}");
        }
        assert_eq!(facts["reads the machine's facts"], "ok");
        assert_eq!(facts["starts a thread"], "ok");
        assert_eq!(facts["dumpable"], "NotDumpable", "it is execute-only");
    }
}

/// Refused where it tries, so that there is never a second process to be left behind.
#[test]
fn a_runtime_that_forks_is_refused_and_has_no_child() {
    for who in everybody() {
        let stage = Stage::new(who);
        let facts = facts(stage.jail(&stage.plan(&[])).process_group(0));
        assert_eq!(facts["forks"], "PermissionDenied", "{who:?}");
        assert_eq!(facts["starts a program"], "PermissionDenied", "{who:?}");
    }
}

#[test]
fn the_runtime_leads_a_group_and_is_bound_to_its_supervisor_and_limits() {
    for who in everybody() {
        let stage = Stage::new(who);
        let plan = confine::JailPlan { max_data_bytes: Some(1 << 30), ..stage.plan(&[]) };
        let alone = facts(&mut stage.jail(&plan));
        assert_eq!(alone["leads its group"], "true");
        assert_eq!(alone["leads its session"], "true");
        assert!(alone["signal at the parent's death"].contains("KILL"), "{alone:?}");
        assert_eq!(alone["core"], "Some(0)");
        assert_eq!(alone["data"], "Some(1073741824)");
        let in_group = facts(stage.jail(&stage.plan(&[])).process_group(0));
        assert_eq!(in_group["leads its group"], "true", "given by the supervisor");
    }
}

#[test]
fn home_and_temporary_directory_are_private_and_empty_at_every_launch() {
    for who in everybody() {
        let stage = Stage::new(who);
        for _ in 0..2 {
            let facts = facts(&mut stage.jail(&stage.plan(&[])));
            assert_eq!(facts["HOME"], "0700 with 0");
            assert_eq!(facts["TMPDIR"], "0700 with 0");
        }
    }
}

#[test]
fn a_planted_link_in_their_place_is_removed_and_not_followed() {
    for who in everybody() {
        let stage = Stage::new(who);
        fs::create_dir(stage.path("elsewhere")).expect("a directory");
        fs::write(stage.path("elsewhere/kept"), "").expect("a file");
        symlink(stage.path("elsewhere"), stage.path("scratch/home")).expect("a link");
        stage.give(&stage.path("scratch"));
        let facts = facts(&mut stage.jail(&stage.plan(&[])));
        assert_eq!(facts["HOME"], "0700 with 0");
        assert!(stage.path("elsewhere/kept").exists());
    }
}

#[test]
fn a_confined_supervisor_starts_the_runtime_and_can_end_it() {
    for who in everybody() {
        let stage = Stage::new(who);
        let mut supervisor = stage.program("bin/supervisor");
        let facts = facts(supervisor.arg("supervise").arg(stage.path("")));
        assert_eq!(facts["status"], "Some(0)");
        assert_eq!(facts["model"], "weights");
        assert_eq!(facts["connects by path"], "PermissionDenied");
        assert_eq!(facts["ends the runtime's group"], "Ok(())");
        assert_eq!(facts["it ended by"], "Some(15)");
    }
}

#[test]
fn the_runtime_dies_with_its_supervisor() {
    for who in everybody() {
        let stage = Stage::new(who);
        let mut supervisor = stage.program("bin/supervisor");
        supervisor.arg("supervise-and-die").arg(stage.path(""));
        let mut supervisor = Ended(supervisor.spawn().expect("the supervisor"));
        let mut first = String::new();
        let mut output = BufReader::new(supervisor.0.stdout.take().expect("a pipe"));
        output.read_line(&mut first).expect("a line");
        assert_eq!(first, "staying\t\n", "the runtime runs");
        // The runtime holds standard error too, and complains there if nobody ends it.
        let mut complaint = String::new();
        let mut error = supervisor.0.stderr.take().expect("a pipe");
        error.read_to_string(&mut complaint).expect("its end");
        assert_eq!(complaint, "", "as {who:?}");
    }
}
