//! What passes through the front door is what the runtime says (contract 4): the same question
//! to the companion and to a bare `llama-server` of the same files, dialled by its path.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use devstack::assets::Assets;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyperlocal::{UnixClientExt, UnixConnector};
use promises::World;
use serde_json::Value;

const QUESTION: &str = r#"{"prompt":"The capital of France is","max_tokens":8,"temperature":0}"#;
/// Longest the bare server may take to load.
const LOAD_LIMIT: Duration = Duration::from_secs(120);

type Client = hyper_util::client::legacy::Client<UnixConnector, Full<Bytes>>;

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_through_the_front_door_is_the_runtimes_own() -> Result<()> {
    let world = World::ready().await?;
    let (address, token) = world.endpoint_and_token().await?;
    let guarded = promises::post(&address, "/v1/completions", &token, QUESTION).await?;
    assert_eq!(guarded.status, 200);
    assert_eq!(guarded.header("content-type"), Some("application/json; charset=utf-8"));
    let guarded: Value = serde_json::from_slice(&guarded.body)?;

    let socket = world.dir().join("bare.sock");
    let assets = Assets::find()?;
    let _bare = tokio::process::Command::new(assets.llama_server)
        .arg("--model")
        .arg(assets.model)
        .arg("--host")
        .arg(&socket)
        .args(["--ctx-size", "4096", "--parallel", "2", "--threads", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let client = Client::unix();
    tokio::time::timeout(LOAD_LIMIT, healthy(&client, &socket)).await.context("not loaded")?;
    let request = Request::post(hyperlocal::Uri::new(&socket, "/v1/completions"))
        .header("content-type", "application/json")
        .body(Full::from(QUESTION))?;
    let answer = client.request(request).await?.into_body().collect().await?.to_bytes();
    let bare: Value = serde_json::from_slice(&answer)?;

    assert!(bare["choices"][0]["text"].as_str().is_some_and(|text| !text.is_empty()), "{bare}");
    assert_eq!(guarded["choices"][0]["text"], bare["choices"][0]["text"]);
    assert_eq!(guarded["usage"], bare["usage"]);
    Ok(())
}

/// Asks until the server answers 200: it binds its socket before the model is loaded.
async fn healthy(client: &Client, socket: &Path) {
    loop {
        let asked = client.get(hyperlocal::Uri::new(socket, "/health").into()).await;
        if asked.is_ok_and(|answer| answer.status() == StatusCode::OK) {
            return;
        }
        tokio::task::yield_now().await;
    }
}
