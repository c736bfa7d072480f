//! Hostile pages in a real browser knock at the listener of `companionctl ui`, in every way that
//! a page has (contract 2 Pa and Pb). That each way works at a server without a guard is shown in
//! `security_browser.rs`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use promises::browser::{ATTEMPTS, Browser, Page, PlainServer};
use promises::{Ui, World, raw_request, tcp_listeners_of};
use serde_json::{Value, json};

const HOSTILE_NAME: &str = "hostile.example";
const REBOUND_NAME: &str = "rebound.example";

#[tokio::test(flavor = "multi_thread")]
async fn no_other_page_reads_a_byte_of_the_page_even_with_its_key() -> Result<()> {
    let world = World::start().await?;
    let ui = Ui::start(&world).await?;
    let key = exchange(&ui).await?;
    let port = ui.address().rsplit(':').next().context("no port")?;
    let hostile = PlainServer::start()?;
    let secure = [
        format!("http://{HOSTILE_NAME}:{}", hostile.port()),
        format!("http://{REBOUND_NAME}:{port}"),
    ];
    let mut browser = Browser::start(&[HOSTILE_NAME, REBOUND_NAME], &secure).await?;

    // Another origin, the same site on another port, and an origin that is nobody's.
    let pages = [
        format!("{}/page", secure[0]),
        format!("http://127.0.0.1:{}/page", hostile.port()),
        "data:text/html,<!doctype html><body></body>".to_owned(),
    ];
    for from in pages {
        for host in ["127.0.0.1", "localhost"] {
            let page = browser.open(&from).await?;
            let read = attempts(&mut browser, page, &format!("http://{host}:{port}"), &key).await?;
            let leaked: Vec<_> = read.iter().filter(|(_, text)| text.is_some()).collect();
            assert!(leaked.is_empty(), "{from} at {host}: {leaked:?}");
        }
    }

    // A rebound name: the browser lets the page read, and all it reads is that it is refused.
    let page = browser.plant(&format!("{}/page", secure[1])).await?;
    let told = attempts(&mut browser, page, &secure[1], &key).await?;
    for (name, text) in &told {
        let Some(text) = text else { continue };
        let refusal: Value =
            serde_json::from_str(text).with_context(|| format!("{name}: {text}"))?;
        assert_eq!(refusal["error"]["reason"], "host_not_allowed", "{name}");
    }
    assert!(told["fetch with the token"].is_some(), "the page is of another origin: {told:?}");

    // The page's own request passes, so what was refused was refused for whence it came.
    ensure!(post(&ui, "/api/status", &key, "{}").await?.0 == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_on_loopback_for_its_own_user_and_inert_in_another_run() -> Result<()> {
    let world = World::start().await?;
    let (first, second) = (Ui::start(&world).await?, Ui::start(&world).await?);
    assert_eq!(tcp_listeners_of(first.pid()?)?, [first.address()]);
    let key = exchange(&first).await?;
    let refused = |reason: &str| (401, json!(reason));
    let (status, said) = post(&second, "/api/status", &key, "{}").await?;
    assert_eq!((status, said["error"]["reason"].clone()), refused("page_key_refused"));
    let code = json!({ "code": first.code() }).to_string();
    for ui in [&first, &second] {
        let (status, said) = post(ui, "/exchange", "", &code).await?;
        assert_eq!((status, said["error"]["reason"].clone()), refused("page_code_refused"));
    }
    promises::need_root()?;
    let address = first.address().to_owned();
    let answered = tokio::task::spawn_blocking(move || as_another_user(&address)).await??;
    assert_eq!(answered, "", "another user was answered");
    Ok(())
}

/// What a program of another user is answered with at this address.
fn as_another_user(address: &str) -> Result<String> {
    const NOBODY: &str = "65534";
    let (host, port) = address.rsplit_once(':').context("no port")?;
    let script = format!(
        "exec 3<>/dev/tcp/{host}/{port} && printf 'GET / HTTP/1.1\\r\\nHost: {address}\\r\\n\
         Connection: close\\r\\n\\r\\n' >&3; cat <&3 || true"
    );
    let output = std::process::Command::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "bash", "-c", &script])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn exchange(ui: &Ui) -> Result<String> {
    let code = json!({ "code": ui.code() }).to_string();
    let (status, said) = post(ui, "/exchange", "", &code).await?;
    ensure!(status == 200, "{said}");
    Ok(said["key"].as_str().context("no key")?.to_owned())
}

/// As the page itself posts.
async fn post(ui: &Ui, path: &str, key: &str, body: &str) -> Result<(u16, Value)> {
    let host = ui.address();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\
         Content-Type: application/json\r\nAuthorization: Bearer {key}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = raw_request(host, request.as_bytes()).await?;
    Ok((answer.status, serde_json::from_slice(&answer.body)?))
}

/// What each attempt gave the page to read; they go to the page and to its status.
async fn attempts(
    browser: &mut Browser,
    page: Page,
    server: &str,
    key: &str,
) -> Result<BTreeMap<String, Option<String>>> {
    let call = format!(
        "attempts((name, path) => '{server}' + (path === '/v1/models' ? '/' : '/api/status'), \
         '{key}')"
    );
    let read = browser.evaluate(&page, &format!("{ATTEMPTS}\n{call}")).await?;
    browser.close(page).await?;
    Ok(serde_json::from_value(read)?)
}
