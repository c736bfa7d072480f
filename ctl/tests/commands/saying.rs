//! What every command has in common: exit codes, reasons, and what never appears.

use serde_json::json;

use crate::stand_in::{Scene, StandIn, TOKEN};
use crate::{COMMANDS, chunks, nobody};

#[test]
fn without_a_companion_every_command_says_so_and_exits_with_1() {
    let nobody = nobody();
    for command in COMMANDS {
        let ran = nobody.ctl(command);
        assert_eq!(ran.code(), 1, "{command:?}: {ran:?}");
        assert!(ran.stderr().ends_with("(companion_not_running)\n"), "{command:?}: {ran:?}");
        assert!(ran.stderr().contains("companion up"), "{command:?}");
        assert_eq!(ran.stdout(), "", "{command:?}");
    }
}

#[test]
fn without_a_companion_json_says_so_on_standard_output_alone() {
    let nobody = nobody();
    for command in COMMANDS {
        let ran = nobody.ctl(&[&["--json"], command].concat());
        assert_eq!((ran.code(), ran.stderr().as_str()), (1, ""), "{command:?}: {ran:?}");
        let said = ran.json();
        match command[0] {
            "status" => assert_eq!(said["missing"], json!(["companion_not_running"])),
            "sign-in" | "pull" | "start" | "chat" | "ui" | "logs" => {
                assert_eq!(said["event"], "failed", "{command:?}");
                assert_eq!(said["reason"], "companion_not_running", "{command:?}");
            }
            _ => assert_eq!(said["error"]["reason"], "companion_not_running", "{command:?}"),
        }
    }
}

#[test]
fn the_brokers_reason_reaches_the_person_with_advice() {
    let stand_in = StandIn::up(Scene { refuse: Some("keychain_locked"), ..Scene::default() });
    for command in [&["models"][..], &["pull", "m"], &["start", "m"], &["rm", "m"], &["env"]] {
        let ran = stand_in.ctl(command);
        assert_eq!(ran.code(), 1, "{command:?}");
        assert!(ran.stderr().contains("Unlock it"), "{command:?}: {ran:?}");
        assert!(ran.stderr().ends_with("(keychain_locked)\n"), "{command:?}: {ran:?}");
    }
}

#[test]
fn a_configuration_that_is_refused_names_its_key() {
    let stand_in = StandIn::up(Scene::default());
    let config = stand_in.dir().join("config.toml");
    std::fs::write(&config, "[gateway]\nisuer = \"x\"\n").expect("file");
    let ran = stand_in.ctl(&["--config", config.to_str().expect("path"), "status", "--json"]);
    assert_eq!(ran.code(), 1);
    assert_eq!(ran.json()["error"]["reason"], "configuration_refused");
    assert!(ran.json()["error"]["message"].as_str().expect("text").contains("isuer"));
}

#[test]
fn the_key_is_printed_by_env_alone() {
    let scene = Scene { answer: Some(chunks()), ..Scene::default() };
    let stand_in = StandIn::up(scene);
    // `ui` goes on until it is ended: tests/ui.rs.
    for command in COMMANDS.iter().filter(|command| !["env", "ui"].contains(&command[0])) {
        for form in [&["--json"][..], &[]] {
            let ran = stand_in.ctl(&[form, command].concat());
            assert!(!ran.stdout().contains(TOKEN), "{command:?}");
            assert!(!ran.stderr().contains(TOKEN), "{command:?}");
        }
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let logs = (0..20_000).map(|n| format!("line {n}")).collect();
    let stand_in = StandIn::up(Scene { logs, ..Scene::default() });
    let program = env!("CARGO_BIN_EXE_companionctl");
    let script = "\"$0\" --runtime-dir \"$1\" logs 2>err | head -n 1 >/dev/null; cat err";
    let output = std::process::Command::new("sh")
        .args(["-c", script, program])
        .arg(stand_in.dir())
        .current_dir(stand_in.dir())
        .output()
        .expect("sh");
    assert_eq!(String::from_utf8(output.stdout).expect("text"), "");
}

#[test]
fn completions_need_no_companion() {
    let ran = nobody().ctl(&["completions", "bash"]);
    assert_eq!(ran.code(), 0);
    assert!(ran.stdout().contains("companionctl"));
}

#[test]
fn logs_cannot_act_on_the_terminal() {
    let logs = vec!["loading \u{1b}]0;owned\u{7}model".to_owned()];
    let stand_in = StandIn::up(Scene { logs, ..Scene::default() });
    assert_eq!(stand_in.ctl(&["logs"]).stdout(), "loading ]0;ownedmodel\n");
    let event = stand_in.ctl(&["logs", "--json"]).json();
    assert_eq!(event["event"], "log");
}
