//! Hostile pages in a real browser knock at the running front door in every way a page has
//! (contract 2 Pa and Pb, contract 4). Each attempt is first made at a server without a guard,
//! where it arrives and, as far as the browser lets it, is read.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use promises::browser::{ATTEMPTS, Browser, Page, PlainServer};
use promises::{World, get};
use serde_json::Value;

const HOSTILE_NAME: &str = "hostile.example";
const REBOUND_NAME: &str = "rebound.example";
/// How a page may spell this machine. The port of the endpoint follows.
const SPELLINGS: [&str; 7] =
    ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "localhost.", "companion.localhost", "127.1"];
/// Attempts whose answer no page reads, and no page is told of, from another origin.
const BLIND: [&str; 12] = [
    "beacon",
    "beacon of json",
    "font",
    "frame",
    "frame in a sandbox",
    "object",
    "form",
    "form of a question",
    "form with fields",
    "form in parts",
    "popup",
    "ping",
];
/// Those that stay blind where the page has the origin of the server.
const BLIND_TO_ITS_OWN: [&str; 5] =
    ["beacon", "beacon of json", "font", "frame in a sandbox", "ping"];
/// What a page without an origin of its own may not even start.
const NEEDS_AN_ORIGIN: [&str; 2] = ["shared worker", "service worker"];
/// What a page may be told: nothing of the token.
const REFUSED_BEFORE_THE_TOKEN: [&str; 4] =
    ["malformed_request", "method_not_allowed", "host_not_allowed", "cross_site_forbidden"];
const REFUSED_LIMIT: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_origin_reads_a_byte_or_reaches_the_runtime() -> Result<()> {
    let mut stage = Stage::set().await?;
    let token = stage.token.clone();
    let home = stage.hostile.port();
    let foreign = format!("http://{HOSTILE_NAME}:{home}/page");
    for host in SPELLINGS {
        stage.is_refused(&foreign, host, &token).await?;
    }
    stage.is_refused(&foreign, "127.0.0.1", "a-guess").await?;
    // The same site as the endpoint, which is not the same origin.
    for host in ["127.0.0.1", "localhost"] {
        stage.is_refused(&format!("http://{host}:{home}/page"), host, &token).await?;
    }
    // An origin that is nobody's.
    stage.is_refused("data:text/html,<!doctype html><body></body>", "127.0.0.1", &token).await?;
    stage.nothing_reached_the_runtime().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_name_was_rebound_reads_nothing_but_that_it_is_refused() -> Result<()> {
    let mut stage = Stage::set().await?;
    let token = stage.token.clone();
    let [plain, door] = [stage.plain.port(), stage.door_port()?]
        .map(|port| format!("http://{REBOUND_NAME}:{port}"));

    // The browser takes the page and the server for one: nothing of its own stands between them.
    let page = stage.browser.plant(&format!("{plain}/page")).await?;
    let read = stage.attempts(page, &plain, true, &token).await?;
    stage.plain.until_arrived(read.keys().map(String::as_str)).await?;
    read_all_but(&read, &BLIND_TO_ITS_OWN);

    let before = stage.refused().await?;
    let page = stage.browser.plant(&format!("{door}/page")).await?;
    let told = stage.attempts(page, &door, false, &token).await?;
    for (name, text) in &told {
        let Some(text) = text else { continue };
        let refusal: Value =
            serde_json::from_str(text).with_context(|| format!("{name}: {text}"))?;
        assert_eq!(refusal["error"]["code"], "host_not_allowed", "{name}");
    }
    assert!(told["fetch with the token"].is_some(), "the page is of another origin: {told:?}");
    stage.until_refused(before, told.len() - 1).await?;
    stage.nothing_reached_the_runtime().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_endpoints_own_origin_works_with_the_token_alone() -> Result<()> {
    let world = World::ready().await?;
    let (address, token) = world.endpoint_and_token().await?;
    let port = address.rsplit(':').next().context("no port")?;
    let mut browser = Browser::start(&[], &[]).await?;
    for host in ["127.0.0.1", "localhost"] {
        let page = browser.plant(&format!("http://{host}:{port}/page")).await?;
        for (token, status) in [(token.as_str(), 200), ("a-guess", 401)] {
            let listed = browser.evaluate(&page, &own_request(token)).await?;
            assert_eq!(listed["status"], status, "{listed}");
        }
        let streamed = browser.evaluate(&page, &own_stream(&token)).await?;
        let streamed = streamed.as_str().context("no text")?;
        assert!(streamed.contains("data: {") && streamed.contains("data: [DONE]"), "{streamed}");
    }
    Ok(())
}

fn own_request(token: &str) -> String {
    format!(
        "fetch('/v1/models', {{ headers: {{ Authorization: 'Bearer {token}' }} }})
           .then(async (answer) => ({{ status: answer.status, body: await answer.json() }}))"
    )
}

fn own_stream(token: &str) -> String {
    format!(
        "fetch('/v1/chat/completions', {{
           method: 'POST',
           headers: {{ 'X-Companion-Token': '{token}', 'Content-Type': 'application/json' }},
           body: JSON.stringify({{ stream: true, max_tokens: 4,
             messages: [{{ role: 'user', content: 'Name a river.' }}] }}),
         }}).then((answer) => answer.text())"
    )
}

/// What each attempt gave the page to read.
type Read = BTreeMap<String, Option<String>>;

/// A companion with a runtime that records, a hostile web server, a plain one, and a browser.
struct Stage {
    _world: World,
    token: String,
    address: String,
    hostile: PlainServer,
    plain: PlainServer,
    browser: Browser,
}

impl Stage {
    async fn set() -> Result<Self> {
        let world = World::ready_with_a_recording_runtime(&[]).await?;
        let (address, token) = world.endpoint_and_token().await?;
        let (hostile, plain) = (PlainServer::start()?, PlainServer::start()?);
        let port = address.rsplit(':').next().context("no port")?;
        // With https a page may do more; these have what https would give them.
        let secure = [
            format!("http://{HOSTILE_NAME}:{}", hostile.port()),
            format!("http://{REBOUND_NAME}:{}", plain.port()),
            format!("http://{REBOUND_NAME}:{port}"),
        ];
        let browser = Browser::start(&[HOSTILE_NAME, REBOUND_NAME], &secure).await?;
        Ok(Self { _world: world, token, address, hostile, plain, browser })
    }

    fn door_port(&self) -> Result<u16> {
        Ok(self.address.rsplit(':').next().context("no port")?.parse()?)
    }

    /// Every attempt from this page: it succeeds at the plain server, and not at the front door.
    async fn is_refused(&mut self, page: &str, host: &str, token: &str) -> Result<()> {
        let what = format!("{page} at {host}");
        let is_nobody = page.starts_with("data:");
        let cannot = |name: &String| is_nobody && NEEDS_AN_ORIGIN.contains(&name.as_str());

        self.plain.forget();
        let plain = format!("http://{host}:{}", self.plain.port());
        let tab = self.browser.open(page).await?;
        let mut read = self.attempts(tab, &plain, true, token).await?;
        read.retain(|name, _| !cannot(name));
        let arrived = self.plain.until_arrived(read.keys().map(String::as_str)).await;
        arrived.with_context(|| what.clone())?;
        read_all_but(&read, &BLIND);

        let before = self.refused().await?;
        let door = format!("http://{host}:{}", self.door_port()?);
        let tab = self.browser.open(page).await?;
        let leaked = self.attempts(tab, &door, false, token).await?;
        let leaked: Vec<_> = leaked.iter().filter(|(_, text)| text.is_some()).collect();
        assert!(leaked.is_empty(), "{what}: {leaked:?}");
        // The front door does not listen on `[::1]`. Both modules have the same address there, and
        // a page fetches a module once.
        let knocks = if host == "[::1]" { 0 } else { read.len() - 1 };
        self.until_refused(before, knocks).await.with_context(|| what)
    }

    /// Makes every attempt from this page at a server; a plain one is told the name of each.
    async fn attempts(
        &mut self,
        page: Page,
        server: &str,
        named: bool,
        token: &str,
    ) -> Result<Read> {
        let name = if named { "/${name.replaceAll(' ', '-')}" } else { "" };
        let call = format!("attempts((name, path) => `{server}{name}${{path}}`, '{token}')");
        let read = self.browser.evaluate(&page, &format!("{ATTEMPTS}\n{call}")).await?;
        self.browser.close(page).await?;
        Ok(serde_json::from_value(read)?)
    }

    /// Requests that the front door has refused, all by steps before the token's.
    async fn refused(&self) -> Result<u64> {
        let metrics = get(&self.address, "/metrics", Some(&self.token)).await?;
        ensure!(metrics.status == 200, "{metrics:?}");
        let mut refused = 0;
        for line in String::from_utf8(metrics.body)?.lines() {
            let Some(labels) = line.strip_prefix("frontdoor_requests_total{route=\"") else {
                continue;
            };
            let (route, rest) = labels.split_once("\",reason=\"").context("no reason")?;
            let (reason, count) = rest.split_once("\"} ").context("no count")?;
            let own = ["/metrics", "/health", "/v1/models"].contains(&route) && reason == "ok";
            if REFUSED_BEFORE_THE_TOKEN.contains(&reason) {
                refused += count.parse::<u64>()?;
            } else {
                ensure!(own, "a page got as far as {reason} at {route}");
            }
        }
        Ok(refused)
    }

    /// Resolves once the front door has refused so many more.
    async fn until_refused(&self, before: u64, knocks: usize) -> Result<()> {
        let wanted = before + u64::try_from(knocks)?;
        let mut refused = before;
        let waiting = async {
            while refused < wanted {
                // Each look takes a place in the rate.
                tokio::time::sleep(LOOK_INTERVAL).await;
                refused = self.refused().await?;
            }
            Ok(())
        };
        let waited = tokio::time::timeout(REFUSED_LIMIT, waiting).await;
        waited.with_context(|| format!("refused {refused} of {wanted}"))?
    }

    /// The runtime's own count: health, and the question for the count.
    async fn nothing_reached_the_runtime(&self) -> Result<()> {
        let answer = get(&self.address, "/v1/models", Some(&self.token)).await?;
        ensure!(answer.status == 200, "{answer:?}");
        let mut told: Value = serde_json::from_slice(&answer.body)?;
        let mut asked: BTreeMap<String, u64> = serde_json::from_value(told["asked"].take())?;
        ensure!(asked.remove("GET /health").is_some(), "it does not count: {asked:?}");
        let own = BTreeMap::from([("GET /v1/models".to_owned(), 1)]);
        assert_eq!(asked, own, "something reached the runtime");
        Ok(())
    }
}

/// The test can fail: every other attempt has read the plain server's answer.
fn read_all_but(read: &Read, blind: &[&str]) {
    let unread: Vec<_> = read.iter().filter(|(_, text)| text.is_none()).collect();
    let unread: Vec<_> =
        unread.iter().filter(|(name, _)| !blind.contains(&name.as_str())).collect();
    assert!(unread.is_empty(), "not read at a server without a guard: {unread:?}");
    for name in blind {
        assert!(read.contains_key(*name), "no attempt is called {name}");
    }
}
