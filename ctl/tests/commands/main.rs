//! `companionctl` from outside: exit codes, JSON field names, and what never appears (contract 11).

mod account;
mod endpoint;
mod enrich;
mod machine;
mod models;
mod network;
#[expect(dead_code, reason = "the conversation tests use the rest of it")]
#[path = "../pty/mod.rs"]
mod pty;
mod saying;
#[expect(dead_code, reason = "the conversation tests use the rest of it")]
#[path = "../stand_in/mod.rs"]
mod stand_in;
mod state;

use serde_json::json;
use stand_in::{Scene, Served, StandIn};

fn nobody() -> StandIn {
    StandIn::up(Scene {
        broker: false,
        supervisor: false,
        frontdoor: false,
        answer: None,
        ..Scene::default()
    })
}

/// Every command that needs the companion, with arguments that are right.
const COMMANDS: [&[&str]; 16] = [
    &["sign-in", "--no-browser"],
    &["sign-out"],
    &["session"],
    &["models"],
    &["pull", "m"],
    &["start", "m"],
    &["stop"],
    &["rm", "m"],
    &["env"],
    &["exec", "true"],
    &["chat", "hi"],
    &["ui", "--no-browser"],
    &["lane"],
    &["logs"],
    &["top"],
    &["status"],
];

fn chunks() -> Served {
    let text = |text: &str| json!({ "choices": [{ "delta": { "content": text } }] });
    let pieces = [
        format!("data: {}\r\n\r\n: ping\n\n", text("Grü")),
        format!("data: {}\n", text("ße \u{1b}[31mred")),
        "\n".to_owned(),
        format!("data: {}\n\n", json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] })),
        format!(
            "data: {}\n\n",
            json!({ "choices": [], "usage": { "prompt_tokens": 4,
            "completion_tokens": 2, "total_tokens": 6 } })
        ),
        "data: [DONE]\n\n".to_owned(),
    ];
    Served::Chunks(pieces.to_vec())
}
