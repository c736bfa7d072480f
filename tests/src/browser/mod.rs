//! Debian's Chromium, headless, with a profile of its own, driven over the DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>) through a pipe: no port is open for it.

mod plain_server;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub use plain_server::PlainServer;

/// Longest any answer of the browser may take before the test fails.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// What a hostile page tries: defines `attempts(url, token)`.
pub const ATTEMPTS: &str = include_str!("attempts.js");
/// A page with nothing in it.
const EMPTY_PAGE: &str = "<!doctype html><title>page</title><body></body>";
/// Commands are read from descriptor 3 and answers written to descriptor 4.
const WITH_PIPES: &str = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
/// Nothing of the browser's own talks; and its own guard of the local network, which asks the
/// person and which other browsers lack, leaves ours alone with the page.
const FLAGS: [&str; 11] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=LocalNetworkAccessChecks",
    "about:blank",
];

/// A running browser. Dropping it ends all its processes.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    last_id: u64,
    _profile: TempDir,
}

/// One tab, by its DevTools session.
#[derive(Debug)]
pub struct Page {
    target: Value,
    session: String,
}

impl Browser {
    /// Starts one for which these names are 127.0.0.1, and these origins as good as https.
    ///
    /// # Errors
    /// When there is no Chromium, or it does not speak.
    pub async fn start(loopback_names: &[&str], secure_origins: &[String]) -> Result<Self> {
        let profile = tempfile::Builder::new().prefix("chromium").tempdir()?;
        let rules: Vec<_> =
            loopback_names.iter().map(|name| format!("MAP {name} 127.0.0.1")).collect();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WITH_PIPES, "sh"]).arg(chromium()?);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.arg(format!("--host-resolver-rules={}", rules.join(", ")));
        let secure = secure_origins.join(",");
        command.arg(format!("--unsafely-treat-insecure-origin-as-secure={secure}"));
        if rustix::process::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        let mut process = command
            .args(FLAGS)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("chromium")?;
        let commands = process.stdin.take().context("no standard input")?;
        let answers = BufReader::new(process.stdout.take().context("no standard output")?);
        let mut browser = Self { process, commands, answers, last_id: 0, _profile: profile };
        browser.call(None, "Browser.getVersion", json!({})).await?;
        Ok(browser)
    }

    /// Opens a tab at this URL, as if a person had typed it.
    ///
    /// # Errors
    /// When there is no page.
    pub async fn open(&mut self, url: &str) -> Result<Page> {
        let page = self.tab().await?;
        self.navigate(&page, url).await?;
        Ok(page)
    }

    /// Opens a tab at this URL with an empty page in it that did not come from there: what a page
    /// is after the name that it came from has been bound to another address.
    ///
    /// # Errors
    /// When there is no page.
    pub async fn plant(&mut self, url: &str) -> Result<Page> {
        let page = self.tab().await?;
        let session = Some(page.session.as_str());
        self.call(session, "Fetch.enable", json!({"patterns": [{"urlPattern": url}]})).await?;
        self.navigate(&page, url).await?;
        self.call(session, "Fetch.disable", json!({})).await?;
        Ok(page)
    }

    /// The value of an expression in a page; of what it resolves to when it is a promise.
    ///
    /// # Errors
    /// When it throws.
    pub async fn evaluate(&mut self, page: &Page, expression: &str) -> Result<Value> {
        let parameters = json!({
            "expression": expression,
            "awaitPromise": true,
            "returnByValue": true,
            // As if a person had just clicked: a popup is not blocked.
            "userGesture": true,
        });
        let answer = self.call(Some(&page.session), "Runtime.evaluate", parameters).await?;
        if !answer["exceptionDetails"].is_null() {
            bail!("the page threw: {}", answer["exceptionDetails"]);
        }
        Ok(answer["result"]["value"].clone())
    }

    /// A PNG of what a window of this size shows, as it looks by day or by night.
    ///
    /// # Errors
    /// When there is no picture.
    pub async fn picture(
        &mut self,
        page: &Page,
        (width, height): (u32, u32),
        scheme: &str,
    ) -> Result<Vec<u8>> {
        let session = Some(page.session.as_str());
        let window = json!({ "width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": false });
        self.call(session, "Emulation.setDeviceMetricsOverride", window).await?;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call(session, "Emulation.setEmulatedMedia", media).await?;
        // Drawn anew by then.
        let drawn =
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))";
        self.evaluate(page, &format!("{drawn}.then(() => true)")).await?;
        let taken =
            self.call(session, "Page.captureScreenshot", json!({ "format": "png" })).await?;
        let data = taken["data"].as_str().context("no picture")?;
        Ok(base64::engine::general_purpose::STANDARD.decode(data)?)
    }

    /// Closes a tab.
    ///
    /// # Errors
    /// When there is none.
    pub async fn close(&mut self, page: Page) -> Result<()> {
        self.call(None, "Target.closeTarget", json!({"targetId": page.target})).await?;
        Ok(())
    }

    async fn tab(&mut self) -> Result<Page> {
        let made = self.call(None, "Target.createTarget", json!({"url": "about:blank"})).await?;
        let attach = json!({"targetId": made["targetId"], "flatten": true});
        let attached = self.call(None, "Target.attachToTarget", attach).await?;
        let session = attached["sessionId"].as_str().context("no session")?.to_owned();
        Ok(Page { target: made["targetId"].clone(), session })
    }

    async fn navigate(&mut self, page: &Page, url: &str) -> Result<()> {
        let session = Some(page.session.as_str());
        let gone = self.call(session, "Page.navigate", json!({"url": url})).await?;
        if let Some(error) = gone["errorText"].as_str() {
            bail!("{url}: {error}");
        }
        while self.evaluate(page, "document.readyState").await? != "complete" {}
        Ok(())
    }

    /// One command and its answer. What comes between is looked at only for a request to answer
    /// in the place of the network.
    async fn call(
        &mut self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
    ) -> Result<Value> {
        let id = self.send(session, method, parameters).await?;
        loop {
            let mut message = self.next().await.with_context(|| format!("after {method}"))?;
            if message["id"] == id {
                if !message["error"].is_null() {
                    bail!("{method}: {}", message["error"]);
                }
                return Ok(message["result"].take());
            }
            if message["method"] == "Fetch.requestPaused" {
                let answer = json!({
                    "requestId": message["params"]["requestId"],
                    "responseCode": 200,
                    "responseHeaders": [{"name": "content-type", "value": "text/html"}],
                    "body": plain_server::base64(EMPTY_PAGE.as_bytes()),
                });
                let session = message["sessionId"].as_str();
                self.send(session, "Fetch.fulfillRequest", answer).await?;
            }
        }
    }

    async fn send(&mut self, session: Option<&str>, method: &str, params: Value) -> Result<u64> {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).await?;
        Ok(self.last_id)
    }

    async fn next(&mut self) -> Result<Value> {
        let mut bytes = Vec::new();
        let read = self.answers.read_until(0, &mut bytes);
        tokio::time::timeout(ANSWER_LIMIT, read).await.context("the browser is silent")??;
        if bytes.pop() != Some(0) {
            bail!("the browser has ended");
        }
        Ok(serde_json::from_slice(&bytes)?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = self.process.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

fn chromium() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join("chromium"))
        .find(|program| program.is_file())
        .context("no `chromium`: `cargo xtask test` installs Debian's")
}
