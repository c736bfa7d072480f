//! `companionctl top` on a real terminal: it is drawn, answers keys, and gives the terminal back.

#[expect(dead_code, reason = "the other tests of this program use the rest of it")]
mod pty;
#[expect(dead_code, reason = "the other tests of this program use the rest of it")]
mod stand_in;

use std::fs;

use frontdoor_api::v1::{FrontdoorStatus, Refused};
use pty::Pty;
use rustix::process::{Pid, Signal, kill_process};
use stand_in::{Scene, StandIn};

/// Of the alternate screen back to the usual one, and the cursor shown (xterm's control sequences).
const GIVEN_BACK: [&str; 2] = ["\u{1b}[?1049l", "\u{1b}[?25h"];

/// Only cells that change are sent: what a test looks for has no letter in common with what stood
/// in its place.
fn scene() -> StandIn {
    let refused = Refused {
        age_ms: 3000,
        route: "/v1/models".to_owned(),
        reason: "invalid_token".to_owned(),
    };
    let usual = Scene::default();
    let door = FrontdoorStatus { last_refusals: vec![refused], ..usual.door.clone() };
    StandIn::up(Scene { door, logs: vec!["MODEL#LOADED".to_owned()], ..usual })
}

fn top(scene: &StandIn, env: &[(&str, &str)]) -> Pty {
    let dir = scene.dir().to_str().expect("path");
    let env = [&[("HOME", dir)], env].concat();
    let mut pty =
        Pty::start(env!("CARGO_BIN_EXE_companionctl"), &["--runtime-dir", dir, "top"], &env);
    pty.sees("available");
    pty
}

#[test]
fn keys_change_what_is_shown_and_q_gives_the_terminal_back() {
    let scene = scene();
    let mut pty = top(&scene, &[]);
    pty.types("r");
    pty.sees("invalid_token");
    pty.types("l");
    pty.sees("MODEL#LOADED");
    pty.types("\u{1b}");
    pty.sees("answered");
    pty.types("q");
    let (status, shown) = pty.ends();
    assert!(status.success(), "{status}");
    let drawn = shown.rfind("requests").expect("it was drawn");
    for sequence in GIVEN_BACK {
        assert!(shown[drawn..].contains(sequence), "{sequence:?}");
    }
}

#[test]
fn ctrl_c_and_term_give_the_terminal_back_too() {
    let scene = scene();
    let mut pty = top(&scene, &[]);
    pty.types("\u{3}");
    let (status, shown) = pty.ends();
    assert!(status.success() && GIVEN_BACK.iter().all(|it| shown.contains(it)), "{status}");

    let pty = top(&scene, &[]);
    kill_process(program_beneath(pty.pid()), Signal::TERM).expect("it runs");
    let (status, shown) = pty.ends();
    assert!(status.success() && GIVEN_BACK.iter().all(|it| shown.contains(it)), "{status}");
}

#[test]
fn no_color_is_respected() {
    let scene = scene();
    let mut pty = top(&scene, &[("NO_COLOR", "1")]);
    pty.types("q");
    let (_, shown) = pty.ends();
    assert!(!shown.contains("\u{1b}[38;5;") && !shown.contains("\u{1b}[32m"), "{shown:?}");
    let mut pty = top(&scene, &[]);
    pty.types("q");
    let (_, shown) = pty.ends();
    assert!(shown.contains("\u{1b}[38;5;") || shown.contains("\u{1b}[32m"), "{shown:?}");
}

#[test]
fn without_a_terminal_it_says_what_there_is_instead() {
    let ran = scene().ctl(&["top"]);
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr().contains("status --json"), "{ran:?}");
    assert!(ran.stderr().ends_with("(not_a_terminal)\n"), "{ran:?}");
}

/// `setsid` either became the program or started it.
fn program_beneath(pid: u32) -> Pid {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let child = children.ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
    Pid::from_raw(child.unwrap_or(pid.cast_signed())).expect("a process")
}
