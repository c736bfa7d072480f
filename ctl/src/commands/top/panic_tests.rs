//! A panic gives the terminal back before it says what happened.

use super::Screen;
use pty::Pty;

#[expect(dead_code, reason = "the tests from outside use the rest of it")]
#[path = "../../../tests/pty/mod.rs"]
mod pty;

const PANICS: &str = "commands::top::panic_tests::panics_while_the_screen_is_taken";
const SAID: &str = "a fault of the program";

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    let own = std::env::current_exe().expect("this test");
    let arguments = ["--exact", PANICS, "--ignored", "--nocapture"];
    let mut pty = Pty::start(own.to_str().expect("text"), &arguments, &[]);
    pty.sees("\u{1b}[?1049h");
    pty.sees("\u{1b}[?1049l");
    pty.sees(SAID);
    pty.sees("test result: FAILED");
    assert!(pty.echoes());
}

/// Another process: the panic hook is the process's, and so is the terminal.
#[test]
#[ignore = "run by the test above, on a terminal of its own"]
fn panics_while_the_screen_is_taken() {
    // Not given back by being dropped: the panic alone has to.
    let _screen = std::mem::ManuallyDrop::new(Screen::take().expect("a terminal"));
    panic!("{SAID}");
}
