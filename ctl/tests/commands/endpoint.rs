//! What is sent to the endpoint, and who is given its key.

use serde_json::json;

use crate::chunks;
use crate::stand_in::{Scene, Served, StandIn, TOKEN};

#[test]
fn env_is_what_a_shell_can_evaluate() {
    let stand_in = StandIn::up(Scene::default());
    let printed = stand_in.ctl(&["env"]).stdout();
    let script = format!("{printed}\nprintf '%s %s' \"$OPENAI_BASE_URL\" \"$OPENAI_API_KEY\"");
    let output = std::process::Command::new("sh").arg("-c").arg(script).output().expect("sh");
    let text = String::from_utf8(output.stdout).expect("text");
    let (url, key) = text.split_once(' ').expect("two values");
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/v1"));
    assert_eq!(key, TOKEN);
    let json = stand_in.ctl(&["env", "--json"]).json();
    assert_eq!(json, json!({ "OPENAI_BASE_URL": url, "OPENAI_API_KEY": TOKEN }));
}

#[test]
fn exec_gives_the_program_both_variables_and_takes_its_exit_code() {
    let stand_in = StandIn::up(Scene::default());
    let script = "printf '%s|%s|%s' \"$OPENAI_BASE_URL\" \"$OPENAI_API_KEY\" \"$NO_PROXY\"; exit 7";
    let proxy = [("HTTP_PROXY", "http://proxy.example:3128")];
    let ran = stand_in.ctl_with(&["exec", "--", "sh", "-c", script], "", &proxy);
    assert_eq!(ran.code(), 7);
    let stdout = ran.stdout();
    let said: Vec<&str> = stdout.split('|').collect();
    assert!(said[0].ends_with("/v1"));
    let name = said[1].strip_prefix(TOKEN).and_then(|rest| rest.strip_prefix(".exec-"));
    let name = name.expect("the token, and behind it the name of this one program");
    assert!(name.parse::<u32>().is_ok(), "{name}");
    assert_eq!(said[2], "127.0.0.1,localhost,::1");
    let ran = stand_in.ctl(&["exec", "--json", "--", "/nonexistent/program"]);
    assert_eq!(ran.code(), 1);
    assert_eq!(ran.json()["error"]["reason"], "program_not_started");
}

#[test]
fn chat_streams_text_without_control_characters() {
    let stand_in = StandIn::up(Scene { answer: Some(chunks()), ..Scene::default() });
    let ran = stand_in.ctl(&["chat", "say", "hello"]);
    assert_eq!((ran.code(), ran.stdout().as_str()), (0, "Grüße [31mred\n"));
    let events = stand_in.ctl(&["chat", "--json", "hello"]).events();
    assert_eq!(events[0], json!({ "event": "delta", "text": "Grü" }));
    assert_eq!(events[1], json!({ "event": "delta", "text": "ße \u{1b}[31mred" }));
    assert_eq!(
        events[2],
        json!({ "event": "done", "finish_reason": "stop", "model": "stand-in-model",
            "usage": { "prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6 } })
    );
}

#[test]
fn chat_takes_its_prompt_from_standard_input_and_needs_one() {
    let stand_in = StandIn::up(Scene { answer: Some(chunks()), ..Scene::default() });
    assert_eq!(stand_in.ctl_with(&["chat"], "piped", &[]).code(), 0);
    let ran = stand_in.ctl(&["chat"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("PROMPT"));
}

#[test]
fn a_cut_stream_and_a_refusal_are_failures_with_their_reason() {
    let cut = Served::Chunks(vec!["data: {\"choices\":[]}\n\n".to_owned()]);
    let stand_in = StandIn::up(Scene { answer: Some(cut), ..Scene::default() });
    let ran = stand_in.ctl(&["chat", "--json", "hello"]);
    assert_eq!(ran.json()["reason"], "stream_interrupted");
    let full = Some(Served::Refusal("queue_full"));
    let stand_in = StandIn::up(Scene { answer: full, ..Scene::default() });
    let ran = stand_in.ctl(&["chat", "hello"]);
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr().ends_with("(queue_full)\n"));
}

#[test]
fn nothing_is_sent_to_an_endpoint_that_is_not_loopback() {
    let mut scene = Scene { answer: None, ..Scene::default() };
    scene.door.endpoint = "http://192.0.2.1:80".to_owned();
    let stand_in = StandIn::up(scene);
    for command in [&["env"][..], &["exec", "true"], &["chat", "x"]] {
        let ran = stand_in.ctl(command);
        assert!(ran.stderr().ends_with("(endpoint_not_loopback)\n"), "{ran:?}");
        assert_eq!(ran.stdout(), "");
    }
}
