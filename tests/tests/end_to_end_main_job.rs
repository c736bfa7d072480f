//! The main job on real input: real OAuth, real catalog, real model, real runtime (contract 1).

use anyhow::Result;
use promises::{MODEL_ID, RUNTIME_ID, World};

/// Contract 13, end-to-end: sign in, catalog, download, verify, spawn, `available`, enrich a
/// note, sign out.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_pulls_starts_enriches_and_signs_out() -> Result<()> {
    let world = World::start().await?;

    let before = world.status().await?;
    assert_eq!(before["available"], false);
    assert!(strings(&before["missing"]).contains(&"not_ready".to_owned()), "{before}");
    assert_eq!(before["session"], "signed_out");
    assert_eq!(before["lifecycle"], "stopped");

    world.sign_in().await?;
    assert_eq!(world.ctl_json(&["session"]).await?["session"], "valid");

    let models = world.ctl_json(&["models"]).await?;
    let listed = models.to_string();
    assert!(listed.contains(MODEL_ID) && listed.contains(RUNTIME_ID), "{listed}");

    for id in [RUNTIME_ID, MODEL_ID] {
        let pulled = world.ctl_events(&["pull", id]).await?;
        pulled.expect_success();
        let verified = pulled.named("verified");
        assert_eq!(verified.len(), 1, "{pulled:?}");
        assert_eq!(verified[0]["id"], id);
    }
    let started = world.ctl_events(&["start", MODEL_ID]).await?;
    started.expect_success();
    assert_eq!(started.named("ready").len(), 1, "{started:?}");

    let status = world.status().await?;
    assert_eq!(status["available"], true, "{status}");
    assert_eq!(status["missing"], serde_json::json!([]));
    assert_eq!(status["lifecycle"], "ready");
    assert_eq!(status["model"], MODEL_ID);
    assert_eq!(status["lane"], "local");
    assert!(status["endpoint"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")));
    assert!(status["ram_bytes"].as_u64().is_some_and(|bytes| bytes > 50_000_000), "{status}");
    assert!(status["health_age_ms"].as_u64().is_some_and(|age| age <= 15_000), "{status}");
    for role in ["launcher", "broker", "supervisor", "frontdoor", "runtime"] {
        assert!(status["pids"][role].as_u64().is_some_and(|pid| pid > 1), "{role}: {status}");
    }

    let note = world.dir().join("note.md");
    std::fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/demo/allotment-committee.md"),
        &note,
    )?;
    let enriched = world.ctl_events(&["enrich", &note.to_string_lossy()]).await?;
    enriched.expect_success();
    let answer =
        enriched.lines.iter().find(|line| line.get("summary").is_some()).expect("a summary");
    assert!(answer["summary"].as_str().is_some_and(|text| !text.trim().is_empty()), "{answer}");
    assert!(answer["tags"].as_array().is_some_and(|tags| !tags.is_empty()), "{answer}");
    for field in ["generated_by", "model", "version", "date", "source_event_id"] {
        assert!(answer[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {answer}");
    }
    assert_eq!(answer["model"], MODEL_ID);

    let chat = world.ctl(&["chat", "--max-tokens", "24", "Say hello."]).await?;
    assert!(chat.status.success() && !chat.stdout.trim().is_empty(), "{chat:?}");

    world.ctl(&["stop"]).await?.expect_success();
    let stopped = world.status().await?;
    assert_eq!(stopped["available"], false);
    assert_eq!(stopped["lifecycle"], "stopped");

    world.ctl(&["sign-out"]).await?.expect_success();
    assert_eq!(world.ctl_json(&["session"]).await?["session"], "signed_out");

    let pids = world.pids().await?;
    world.stop().await?;
    for pid in pids {
        assert!(!promises::is_alive(pid), "a process outlived the companion");
    }
    Ok(())
}

fn strings(value: &serde_json::Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}
