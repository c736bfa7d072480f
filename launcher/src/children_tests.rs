//! Children played by shell scripts that write down what they see.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use companion_settings::Overrides;
use rustix::process::test_kill_process;

use super::*;

/// Longest a test waits for a child to act.
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    dir: tempfile::TempDir,
    stop: watch::Sender<Stop>,
    running: JoinHandle<Result<(), ChildError>>,
}

/// Runs a script as the broker; `$D` is the test's own directory.
fn world(script: &str) -> World {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    let overrides = Overrides {
        runtime: Some(base.join("run")),
        state: Some(base.join("state")),
        data: Some(base.join("data")),
    };
    let dirs = Dirs::resolve("default", &overrides, |_| None);
    crate::directories::prepare(&dirs).unwrap();
    let dialer = Dialer::new(&Settings::default(), &dirs, "127.0.0.1:1".parse().unwrap()).unwrap();
    let program = base.join("program");
    // Written under another name first: a script still open for writing cannot be run.
    let text = format!("#!/bin/sh\nD='{}'\n{script}\n", base.display());
    fs::write(base.join("draft"), text).unwrap();
    fs::set_permissions(base.join("draft"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(base.join("draft"), &program).unwrap();
    let socket = OwnedFd::from(fs::File::open("/dev/null").unwrap());
    let plan = ChildPlan {
        role: Role::Broker,
        program,
        charter: b"the charter".to_vec(),
        sockets: vec![(socket, descriptor::BROKER_SOCKET)],
        output: Arc::new(Output::Inherited),
    };
    let stop = watch::Sender::new(Stop::No);
    let running =
        tokio::spawn(keep_running(plan, dialer, mpsc::unbounded_channel().0, stop.subscribe()));
    World { dir, stop, running }
}

impl World {
    /// The file's text once the child has put it there in one piece.
    async fn told(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        let appearing = async {
            while !path.exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, appearing).await.unwrap();
        fs::read_to_string(path).unwrap()
    }

    async fn pid(&self, name: &str) -> Pid {
        Pid::from_raw(self.told(name).await.trim().parse().unwrap()).unwrap()
    }

    async fn ended(self) -> Result<(), ChildError> {
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap()
    }
}

/// Puts `$1` of the child's own making in place at once.
const TELL: &str = r#"tell() { cat > "$D/$1.part"; mv "$D/$1.part" "$D/$1"; }"#;

#[tokio::test]
async fn a_child_is_born_with_its_charter_no_environment_and_no_argument() {
    let world = world(&format!(
        "{TELL}\ntr '\\0' '\\n' < /proc/$$/environ | tell environ
         cat <&3 | tell charter; echo $# | tell arguments; pwd | tell place
         echo $$ | tell pid; exec sleep 60"
    ));
    let pid = world.pid("pid").await;
    assert_eq!(world.told("environ").await, "");
    assert_eq!(world.told("charter").await, "the charter");
    assert_eq!(world.told("arguments").await.trim(), "0");
    assert_eq!(world.told("place").await.trim(), "/");
    assert_eq!(rustix::process::getpgid(Some(pid)).unwrap(), pid);
    world.stop.send_replace(Stop::Now);
    world.ended().await.unwrap();
}

/// Architecture 3, promise 6: the system returns to service by itself.
#[tokio::test]
async fn a_child_that_dies_is_started_again_with_a_fresh_charter() {
    let world = world(&format!(
        "{TELL}\nif [ -e $D/first ]; then cat <&3 | tell charter; echo $$ | tell second
         else echo $$ | tell first; fi; exec sleep 60"
    ));
    let first = world.pid("first").await;
    kill_process(first, Signal::KILL).unwrap();
    let second = world.pid("second").await;
    assert_ne!(first, second);
    assert_eq!(world.told("charter").await, "the charter");
    world.stop.send_replace(Stop::Now);
    world.ended().await.unwrap();
    assert!(test_kill_process(second).is_err());
}

/// What cannot ask for anything any more is of no use, and starts anew.
#[tokio::test]
async fn a_child_that_closed_its_monitor_is_ended_and_started_again() {
    let world = world(&format!(
        "{TELL}\nif [ -e $D/first ]; then echo $$ | tell second; exec sleep 60; fi
         echo $$ | tell first; exec sleep 60 4<&-"
    ));
    let first = world.pid("first").await;
    assert_ne!(first, world.pid("second").await);
    world.stop.send_replace(Stop::Now);
    world.ended().await.unwrap();
}

#[tokio::test]
async fn a_child_is_asked_before_it_is_killed_and_not_started_again() {
    let world = world(&format!(
        "{TELL}\ntrap 'echo asked | tell asked; exit 0' TERM
         echo $$ | tell pid; while :; do sleep 0.02; done"
    ));
    let pid = world.pid("pid").await;
    world.stop.send_replace(Stop::Gently);
    assert_eq!(world.told("asked").await.trim(), "asked");
    world.ended().await.unwrap();
    assert!(test_kill_process(pid).is_err());
}

#[tokio::test]
async fn a_child_that_ignores_the_question_is_killed() {
    let world = world(&format!(
        "{TELL}\ntrap 'echo heard | tell heard' TERM
         echo $$ | tell pid; while :; do sleep 0.02; done"
    ));
    let pid = world.pid("pid").await;
    world.stop.send_replace(Stop::Gently);
    world.told("heard").await;
    assert!(test_kill_process(pid).is_ok());
    world.stop.send_replace(Stop::Now);
    world.ended().await.unwrap();
    assert!(test_kill_process(pid).is_err());
}

#[tokio::test]
async fn a_program_that_cannot_be_started_at_all_ends_the_start() {
    let world = world("");
    fs::remove_file(world.dir.path().join("program")).unwrap();
    assert!(matches!(world.ended().await, Err(ChildError::Spawn(_))));
}

#[test]
fn the_first_restart_waits_for_nothing_and_later_ones_ever_longer_up_to_a_bound() {
    let mut backoff = Backoff::default();
    let pauses: Vec<u128> =
        (0..12).map(|_| backoff.pause_after(Duration::ZERO).as_millis()).collect();
    assert_eq!(pauses[..5], [0, 50, 100, 200, 400]);
    assert_eq!(pauses[11], RESTART_PAUSE.1.as_millis());
    assert_eq!(backoff.pause_after(SETTLED_AFTER), Duration::ZERO);
    assert_eq!(backoff.pause_after(Duration::ZERO), RESTART_PAUSE.0);
}
