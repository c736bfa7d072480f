//! What is, and what is wrong: status, lane, doctor.

use serde_json::{Value, json};

use crate::nobody;
use crate::stand_in::{Scene, StandIn};

#[test]
fn status_joins_the_three_processes() {
    let ran = StandIn::up(Scene::default()).ctl(&["status", "--json"]);
    let status = ran.json();
    assert_eq!(ran.code(), 0);
    assert_eq!(status["available"], true);
    assert_eq!(status["missing"], json!([]));
    assert_eq!(status["lifecycle"], "ready");
    assert_eq!(status["model"], "stand-in-model");
    assert_eq!(status["session"], "valid");
    assert!(status["endpoint"].as_str().expect("endpoint").starts_with("http://127.0.0.1:"));
    let pids = json!({ "launcher": 11, "broker": 12, "supervisor": 13, "frontdoor": 14,
        "runtime": 15 });
    assert_eq!(status["pids"], pids);
}

#[test]
fn status_works_when_a_process_does_not_answer() {
    let broken = StandIn::up(Scene { broker: false, ..Scene::default() });
    let ran = broken.ctl(&["status", "--json"]);
    assert_eq!(ran.code(), 0);
    assert_eq!(ran.json()["available"], false);
    assert_eq!(ran.json()["missing"], json!(["broker_unreachable"]));
    assert_eq!(ran.json()["session"], Value::Null);
    assert_eq!(ran.json()["pids"]["launcher"], Value::Null);
    assert_eq!(ran.json()["pids"]["frontdoor"], 14);
    assert!(broken.ctl(&["status"]).stdout().contains("(broker_unreachable)"));
    let ran = broken.ctl(&["session"]);
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr().ends_with("(broker_unreachable)\n"), "{ran:?}");
}

#[test]
fn lane_tells_the_decision_and_a_refused_one_exits_with_1() {
    let stand_in = StandIn::up(Scene::default());
    let ran = stand_in.ctl(&["lane", "--json"]);
    assert_eq!(ran.code(), 0);
    assert_eq!(ran.json(), json!({ "lane": "local", "decision": "allow", "metered": false }));
    let ran = stand_in.ctl(&["lane", "--private-data", "--json"]);
    assert_eq!(ran.code(), 1);
    assert_eq!(ran.json()["decision"], "cloud_consent_required");
    let ran = stand_in.ctl(&["lane", "--private-data", "--consent-id", "x"]);
    assert_eq!(ran.code(), 0);
}

#[test]
fn doctor_finds_the_stopped_companion_and_names_what_starts_it() {
    let ran = nobody().ctl(&["doctor", "--json"]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    let said = ran.json();
    assert_eq!(said["healthy"], false);
    let companion = finding(&said, "companion");
    assert_eq!(companion["state"], "fail");
    assert_eq!(companion["reason"], "companion_not_running");
    assert!(companion["mend"].as_str().expect("mend").contains("companion up"));
    let unasked = ["keychain", "catalog", "endpoint"];
    let checks = said["checks"].as_array().expect("checks");
    assert!(checks.iter().all(|one| !unasked.iter().any(|name| one["check"] == *name)));
}

#[test]
fn doctor_finds_nothing_wrong_with_processes_that_answer() {
    let ran = StandIn::up(Scene::default()).ctl(&["doctor", "--json"]);
    let said = ran.json();
    for check in ["companion", "keychain", "session", "model", "leftovers"] {
        assert_eq!(finding(&said, check)["state"], "ok", "{check}: {said}");
    }
}

#[test]
fn doctor_reports_a_refused_configuration_instead_of_stopping_at_it() {
    let nobody = nobody();
    let ran = nobody.ctl(&["--config", "/nonexistent/companion.toml", "doctor"]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.stdout().contains("fail  configuration"), "{ran:?}");
    assert!(ran.stdout().contains("kernel"), "{ran:?}");
}

fn finding(said: &Value, check: &str) -> Value {
    let checks = said["checks"].as_array().expect("checks");
    checks.iter().find(|one| one["check"] == check).cloned().unwrap_or_default()
}
