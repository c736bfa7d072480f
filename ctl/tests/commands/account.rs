//! Signing in and out.

use authority_api::v1::{Authorize, Failed, SessionState, SignedIn, sign_in_event};
use serde_json::json;

use crate::stand_in::{Scene, StandIn};

#[test]
fn sign_in_prints_the_address_and_then_that_it_is_done() {
    let url = "https://gateway.example/authorize?state=s";
    let scene = Scene {
        sign_in: vec![
            sign_in_event::Event::Authorize(Authorize { url: url.to_owned() }),
            sign_in_event::Event::SignedIn(SignedIn {}),
        ],
        ..Scene::default()
    };
    let stand_in = StandIn::up(scene);
    let ran = stand_in.ctl(&["--json", "sign-in", "--no-browser"]);
    assert_eq!(
        ran.events(),
        [json!({ "event": "authorize", "url": url }), json!({ "event": "signed_in" })]
    );
    assert_eq!(ran.code(), 0);
    let ran = stand_in.ctl(&["sign-in", "--no-browser"]);
    assert!(ran.stdout().contains(url) && ran.stdout().contains("Signed in."));
}

#[test]
fn a_refused_sign_in_says_why() {
    let failed = Failed { reason: "state_mismatch".to_owned() };
    let scene = Scene { sign_in: vec![sign_in_event::Event::Failed(failed)], ..Scene::default() };
    let stand_in = StandIn::up(scene);
    let ran = stand_in.ctl(&["sign-in", "--no-browser", "--json"]);
    assert_eq!(ran.code(), 1);
    assert_eq!(ran.json()["event"], "failed");
    assert_eq!(ran.json()["reason"], "state_mismatch");
    let ran = stand_in.ctl(&["sign-in", "--no-browser"]);
    assert!(ran.stderr().ends_with("(state_mismatch)\n"));
}

#[test]
fn an_address_that_is_not_https_is_never_shown_to_a_browser() {
    let authorize = Authorize { url: "file:///etc/passwd".to_owned() };
    let event = sign_in_event::Event::Authorize(authorize);
    let stand_in = StandIn::up(Scene { sign_in: vec![event], ..Scene::default() });
    let ran = stand_in.ctl(&["sign-in", "--json"]);
    assert_eq!(ran.json()["reason"], "authorization_url_refused");
}

#[test]
fn session_sign_out_stop_and_rm_have_stable_field_names() {
    let mut scene = Scene::default();
    scene.session.state = SessionState::Reauth.into();
    let stand_in = StandIn::up(scene);
    assert_eq!(stand_in.ctl(&["session", "--json"]).json()["session"], "reauth");
    let signed_out = stand_in.ctl(&["sign-out", "--json"]).json();
    assert_eq!(signed_out, json!({ "signed_out": true, "revoked": true }));
    assert_eq!(stand_in.ctl(&["stop", "--json"]).json(), json!({ "stopped": true }));
    let removed = stand_in.ctl(&["rm", "m", "--json"]).json();
    assert_eq!(removed, json!({ "removed": "m", "freed_bytes": 7 }));
}
