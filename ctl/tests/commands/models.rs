//! The catalog, the store, and what is started from it.

use authority_api::v1::{
    CatalogEntry, Expected, Kind, Progress, Ready, Starting, Verified, work_event,
};
use serde_json::{Value, json};

use crate::pty::Pty;
use crate::stand_in::{Scene, StandIn};

#[test]
fn pull_reports_progress_and_then_verified() {
    let progress = Progress {
        id: "m".to_owned(),
        received_bytes: 5,
        total_bytes: 10,
        bytes_per_second: 3,
        seconds_left: Some(2),
        waiting: false,
    };
    let scene = Scene {
        work: vec![
            work_event::Event::Progress(progress),
            work_event::Event::Verified(Verified { id: "m".to_owned() }),
        ],
        ..Scene::default()
    };
    let stand_in = StandIn::up(scene);
    let ran = stand_in.ctl(&["pull", "m", "--json"]);
    assert_eq!(ran.code(), 0);
    assert_eq!(
        ran.events(),
        [
            json!({ "event": "progress", "id": "m", "received": 5, "total": 10,
                "bytes_per_second": 3, "seconds_left": 2, "waiting": false }),
            json!({ "event": "verified", "id": "m" }),
        ]
    );
    assert_eq!(stand_in.ctl(&["pull", "m"]).stdout(), "m verified\n");
}

#[test]
fn on_a_terminal_a_pull_says_what_it_checks() {
    let size_bytes = 98_362_432;
    let hosts = vec!["models.example".to_owned()];
    let expected = Expected { id: "m".to_owned(), size_bytes, hosts };
    let progress = Progress { id: "m".to_owned(), total_bytes: size_bytes, ..Progress::default() };
    let verified = work_event::Event::Verified(Verified { id: "m".to_owned() });
    let pulled = vec![
        work_event::Event::Expected(expected.clone()),
        work_event::Event::Progress(progress),
        verified.clone(),
    ];
    let on_a_terminal = |work| {
        let stand_in = StandIn::up(Scene { work, ..Scene::default() });
        assert_eq!(stand_in.ctl(&["pull", "m"]).stderr(), "", "only on a terminal");
        let dir = stand_in.dir().to_str().expect("path");
        let arguments = ["--runtime-dir", dir, "pull", "m"];
        Pty::start(env!("CARGO_BIN_EXE_companionctl"), &arguments, &[("HOME", dir)]).ends().1
    };
    let shown = on_a_terminal(pulled);
    for said in ["93.81 MiB", "models.example", "98362432 bytes", "SHA-256", "verified"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    // What was there already was not downloaded, and nobody says so.
    let shown = on_a_terminal(vec![work_event::Event::Expected(expected), verified]);
    assert!(shown.contains("in the store") && !shown.contains("SHA-256"), "{shown}");
}

#[test]
fn a_pull_that_ends_without_a_word_is_a_failure() {
    let ran = StandIn::up(Scene::default()).ctl(&["pull", "m", "--json"]);
    assert_eq!(ran.code(), 1);
    assert_eq!(ran.json()["reason"], "unexpected_answer");
}

#[test]
fn start_is_done_when_the_endpoint_is_available_and_says_where() {
    let scene = Scene {
        work: vec![
            work_event::Event::Starting(Starting { id: "m".to_owned() }),
            work_event::Event::Ready(Ready { id: "m".to_owned() }),
        ],
        ..Scene::default()
    };
    let stand_in = StandIn::up(scene);
    let ran = stand_in.ctl(&["start", "m", "--json"]);
    assert_eq!(ran.code(), 0);
    let events = ran.events();
    assert_eq!(events[0], json!({ "event": "starting", "id": "m" }));
    assert_eq!(events[1]["event"], "ready");
    assert!(events[1]["endpoint"].as_str().expect("endpoint").starts_with("http://127.0.0.1:"));
    assert_eq!(events.len(), 2);
}

#[test]
fn a_ready_runtime_without_an_available_endpoint_is_no_success() {
    let mut scene = Scene {
        work: vec![work_event::Event::Ready(Ready { id: "m".to_owned() })],
        ..Scene::default()
    };
    scene.door.available = false;
    let ran = StandIn::up(scene).ctl(&["start", "m", "--json"]);
    assert_eq!(ran.code(), 1);
    assert_eq!(ran.json()["event"], "failed");
}

#[test]
fn models_are_listed_for_people_and_for_programs() {
    let entry = CatalogEntry {
        id: "m".to_owned(),
        kind: Kind::Model.into(),
        size_bytes: 98_362_432,
        provisioned: true,
        ..CatalogEntry::default()
    };
    let stand_in = StandIn::up(Scene { catalog: vec![entry], ..Scene::default() });
    let ran = stand_in.ctl(&["models", "--json"]);
    assert_eq!(ran.json()["models"][0]["id"], "m");
    assert_eq!(ran.json()["models"][0]["state"], "provisioned");
    let text = stand_in.ctl(&["models"]).stdout();
    assert!(text.contains("93.81 MiB") && text.contains("in the store"), "{text}");
}

#[test]
fn a_verification_names_each_file_of_the_store_and_fails_when_one_does() {
    let entry = |id: &str, provisioned| CatalogEntry {
        id: id.to_owned(),
        kind: Kind::Model.into(),
        provisioned,
        ..CatalogEntry::default()
    };
    let catalog = vec![entry("m", true), entry("spoilt", true), entry("absent", false)];
    let stand_in = StandIn::up(Scene { catalog, ..Scene::default() });
    let ran = stand_in.ctl(&["models", "--verify", "--json"]);
    let said: Vec<_> = (0..3).map(|n| ran.json()["models"][n]["verification"].clone()).collect();
    assert_eq!(said, [json!("verified"), json!("digest_mismatch"), Value::Null]);
    let ran = stand_in.ctl(&["models", "--verify"]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert!(ran.stdout().contains("digest_mismatch"), "{ran:?}");
    assert_eq!(stand_in.ctl(&["models"]).code(), 0);
}
