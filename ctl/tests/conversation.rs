//! `companionctl chat` on a real terminal: what stays said, and what is kept of what was typed.

#[expect(dead_code, reason = "the other tests of this program use the rest of it")]
mod pty;
#[expect(dead_code, reason = "the other tests of this program use the rest of it")]
mod stand_in;

use pty::Pty;
use serde_json::{Value, json};
use stand_in::{Scene, Served, StandIn};

fn chunk(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }))
}

fn whole(text: &str) -> Served {
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 4, "completion_tokens": 2,
        "total_tokens": 6 } });
    Served::Chunks(vec![chunk(text), format!("data: {usage}\n\n"), "data: [DONE]\n\n".to_owned()])
}

fn stand_in(answer: Served) -> StandIn {
    StandIn::up(Scene { answer: Some(answer), ..Scene::default() })
}

fn chat(stand_in: &StandIn, arguments: &[&str]) -> Pty {
    let dir = stand_in.dir().to_str().expect("path");
    let arguments = [&["--runtime-dir", dir, "chat"][..], arguments].concat();
    let mut pty = Pty::start(env!("CARGO_BIN_EXE_companionctl"), &arguments, &[("HOME", dir)]);
    pty.sees("> ");
    pty
}

/// Role and text of each turn of a request.
fn turns(asked: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let messages = asked["messages"].as_array().expect("messages");
    messages.iter().map(|turn| (text(&turn["role"]), text(&turn["content"]))).collect()
}

fn turn(role: &str, text: &str) -> (String, String) {
    (role.to_owned(), text.to_owned())
}

#[test]
fn ctrl_c_stops_the_answer_and_the_talk_goes_on_with_what_came_of_it() {
    let stand_in = stand_in(Served::Unending(vec![chunk("Half an ans")]));
    let mut pty = chat(&stand_in, &[]);
    for question in ["one", "two"] {
        pty.types(&format!("{question}\r"));
        pty.sees("Half an ans");
        pty.types("\u{3}");
        pty.sees("> ");
    }
    pty.types("\u{4}");
    let (status, _) = pty.ends();
    assert!(status.success());
    let asked = stand_in.asked();
    assert_eq!(asked.len(), 2);
    let said = [turn("user", "one"), turn("assistant", "Half an ans"), turn("user", "two")];
    assert_eq!(turns(&asked[1]), said);
}

#[test]
fn a_question_that_was_stopped_before_any_answer_is_asked_with_the_next() {
    let stand_in = stand_in(Served::Unending(vec![": nothing yet\n\n".to_owned()]));
    let mut pty = chat(&stand_in, &[]);
    pty.types("one\r");
    wait_until(|| stand_in.asked().len() == 1);
    pty.types("\u{3}");
    pty.sees("> ");
    pty.types("two\r");
    wait_until(|| stand_in.asked().len() == 2);
    pty.types("\u{3}");
    pty.sees("> ");
    pty.types("/exit\r");
    assert!(pty.ends().0.success());
    assert_eq!(turns(&stand_in.asked()[1]), [turn("user", "one\n\ntwo")]);
}

#[test]
fn history_many_lines_instruction_and_speed_work_at_the_prompt() {
    let stand_in = stand_in(whole("Yes."));
    let mut pty = chat(&stand_in, &["--system", "First."]);
    pty.types("alpha \\\rbeta\r");
    pty.sees("Yes.");
    pty.sees("> ");
    pty.types("/system Second.\r");
    pty.sees("The instruction holds from here on.");
    pty.sees("> ");
    pty.types("/new\r");
    pty.sees("Forgotten.");
    pty.sees("> ");
    pty.types("/speed\r");
    pty.sees("Speed is shown.");
    pty.sees("> ");
    pty.types("\"\"\"\r/etc\rtwo\"\"\"\r");
    pty.sees("2 tokens");
    pty.sees("> ");
    // Up through /speed, /new and /system to the first question.
    pty.types("\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A\r");
    pty.sees("2 tokens");
    pty.sees("> ");
    pty.types("\u{4}");
    assert!(pty.ends().0.success());
    let asked = stand_in.asked();
    assert_eq!(turns(&asked[0]), [turn("system", "First."), turn("user", "alpha \nbeta")]);
    assert_eq!(turns(&asked[1]), [turn("system", "Second."), turn("user", "/etc\ntwo")]);
    assert_eq!(turns(&asked[2]).last(), Some(&turn("user", "alpha \nbeta")));
}

#[test]
fn ctrl_c_at_the_prompt_gives_up_the_line_and_what_is_typed_reaches_no_file() {
    let stand_in = stand_in(whole("Yes."));
    let mut pty = chat(&stand_in, &[]);
    pty.types("given up\u{3}");
    pty.sees("Ctrl-D ends the conversation.");
    pty.sees("> ");
    pty.types("a private question\r");
    pty.sees("Yes.");
    pty.sees("> ");
    pty.types("/frob\r");
    pty.sees("/frob is no command");
    pty.sees("> ");
    pty.types("\u{4}");
    assert!(pty.ends().0.success());
    assert_eq!(turns(&stand_in.asked()[0]), [turn("user", "a private question")]);
    let files = std::fs::read_dir(stand_in.dir()).expect("home");
    for file in files.map(|file| file.expect("entry").file_name()) {
        assert!(file.to_string_lossy().ends_with(".sock"), "{file:?}");
    }
}

#[test]
fn a_refusal_leaves_the_conversation_as_it_was() {
    let stand_in = stand_in(Served::Refusal("queue_full"));
    let mut pty = chat(&stand_in, &[]);
    for _ in 0..2 {
        pty.types("again?\r");
        pty.sees("(queue_full)");
        pty.sees("> ");
    }
    pty.types("\u{4}");
    assert!(pty.ends().0.success());
    assert_eq!(turns(&stand_in.asked()[1]), [turn("user", "again?")]);
}

#[test]
fn another_model_is_named_only_when_it_can_be_started() {
    let stand_in = stand_in(whole("Yes."));
    let mut pty = chat(&stand_in, &[]);
    pty.types("/model absent\r");
    pty.sees("(unknown_artifact)");
    pty.sees("> ");
    pty.types("\u{4}");
    assert!(pty.ends().0.success());
}

/// Waits for something that the stand-in sees; the test runner ends one that never comes.
fn wait_until(holds: impl Fn() -> bool) {
    while !holds() {
        std::thread::yield_now();
    }
}
