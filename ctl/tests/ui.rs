//! `companionctl ui` from outside, before any browser: who is served, what is refused, and what
//! the page is told.

#[expect(dead_code, reason = "the other tests of this program use the rest of it")]
mod pty;
#[expect(dead_code, reason = "the other tests use the rest of it")]
mod stand_in;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use authority_api::v1::{CatalogEntry, Kind, Progress, Ready, Verified, work_event};
use pty::Pty;
use serde_json::{Value, json};
use stand_in::{Scene, Served, StandIn, TOKEN};

/// A running `companionctl ui`; killed when it is dropped.
struct Ui {
    child: Child,
    host: String,
    code: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    fn events(&self) -> Vec<Value> {
        self.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn reason(&self) -> String {
        self.json()["error"]["reason"].as_str().expect("a reason").to_owned()
    }
}

impl Ui {
    fn of(companion: &StandIn) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_companionctl"))
            .arg("--runtime-dir")
            .arg(companion.dir())
            .args(["--json", "ui", "--no-browser"])
            .env_clear()
            .env("HOME", companion.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("companionctl runs");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("stdout");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(event["event"], "serving");
        let url = event["url"].as_str().expect("url");
        let (host, code) =
            url.strip_prefix("http://").and_then(|it| it.split_once("/#")).expect("#");
        Self { host: host.to_owned(), code: code.to_owned(), child }
    }

    /// As the page posts.
    fn post(&self, path: &str, key: &str, body: &str) -> Answer {
        let host = &self.host;
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\
             Sec-Fetch-Site: same-origin\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {key}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    fn exchange(&self, code: &str) -> Answer {
        self.post("/exchange", "none", &json!({ "code": code }).to_string())
    }

    fn opened(&self) -> String {
        let answer = self.exchange(&self.code);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["key"].as_str().expect("key").to_owned()
    }

    fn get(&self, path: &str) -> Answer {
        let host = &self.host;
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    }

    fn send(&self, request: &str) -> Answer {
        self.sent(request).expect("an answer")
    }

    /// `None` when the connection is closed without a word.
    fn sent(&self, request: &str) -> Option<Answer> {
        let mut stream = TcpStream::connect(&self.host).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("read to its end");
        let text = String::from_utf8(bytes).expect("text");
        if text.is_empty() {
            return None;
        }
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { joined(body) } else { body.to_owned() };
        Some(Answer { status, head: head.to_ascii_lowercase(), body })
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn joined(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            break;
        }
        body.push_str(&more[..size]);
        rest = &more[size + 2..];
    }
    body
}

#[test]
fn the_page_is_served_whole_and_opens_with_its_code_once() {
    let companion = StandIn::up(Scene::default());
    let ui = Ui::of(&companion);
    for path in ["/", "/page.js", "/page.css", "/icon.svg"] {
        let answer = ui.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.head.contains("content-security-policy: default-src 'none'"), "{path}");
        assert!(!answer.body.contains(&ui.code) && !answer.body.contains(TOKEN), "{path}");
    }
    assert_eq!(ui.exchange("wrong").reason(), "page_code_refused");
    let key = ui.opened();
    let again = ui.exchange(&ui.code);
    assert_eq!((again.status, again.reason().as_str()), (401, "page_code_refused"));
    let status = ui.post("/api/status", &key, "{}").json();
    assert_eq!(status["available"], true);
    assert_eq!(status["model"], "stand-in-model");
    assert_eq!(status["account_configured"], true);
}

#[test]
fn on_a_terminal_enter_makes_another_address_and_ctrl_c_ends_it() {
    let companion = StandIn::up(Scene::default());
    let dir = companion.dir().to_str().expect("path");
    let arguments = ["--runtime-dir", dir, "ui", "--no-browser"];
    let mut pty = Pty::start(env!("CARGO_BIN_EXE_companionctl"), &arguments, &[("HOME", dir)]);
    pty.sees("Enter makes another");
    pty.types("\r");
    pty.sees("The companion's page");
    pty.sees("/#");
    pty.types("\u{3}");
    let (status, shown) = pty.ends();
    assert!(status.success(), "{shown}");
    let mut addresses: Vec<_> =
        shown.split_whitespace().filter(|word| word.starts_with("http://127.0.0.1:")).collect();
    addresses.dedup();
    assert_eq!(addresses.len(), 2, "{shown}");
    assert!(shown.contains("The page is closed."), "{shown}");
}

#[test]
fn a_page_of_another_run_and_the_endpoints_own_key_open_nothing() {
    let companion = StandIn::up(Scene::default());
    let (first, second) = (Ui::of(&companion), Ui::of(&companion));
    let (of_first, of_second) = (first.opened(), second.opened());
    for (ui, key) in [(&first, &of_second), (&second, &of_first), (&first, &TOKEN.to_owned())] {
        let answer = ui.post("/api/status", key, "{}");
        assert_eq!((answer.status, answer.reason().as_str()), (401, "page_key_refused"));
    }
    assert_eq!(second.exchange(&first.code).reason(), "page_code_refused");
    assert_eq!(first.post("/api/status", &of_first, "{}").status, 200);
}

/// What another page, a rebound name or a form can send; the guard's own table has every form.
#[test]
fn other_pages_get_nothing_even_with_the_right_key() {
    let companion = StandIn::up(Scene::default());
    let ui = Ui::of(&companion);
    let key = ui.opened();
    let own = [
        ("Host", ui.host.clone()),
        ("Origin", format!("http://{}", ui.host)),
        ("Content-Type", "application/json".to_owned()),
        ("Authorization", format!("Bearer {key}")),
    ];
    let port = ui.host.rsplit(':').next().expect("a port");
    let changed = [
        ("Host", format!("localhost:{port}"), "host_not_allowed"),
        ("Host", format!("rebound.test:{port}"), "host_not_allowed"),
        ("Origin", "https://evil.test".to_owned(), "cross_site_forbidden"),
        ("Origin", "null".to_owned(), "cross_site_forbidden"),
        ("Content-Type", "text/plain".to_owned(), "content_not_json"),
        ("Authorization", "Bearer wrong".to_owned(), "page_key_refused"),
    ];
    for (name, value, reason) in &changed {
        let headers: String = own
            .iter()
            .map(|(n, v)| format!("{n}: {}\r\n", if n == name { value } else { v }))
            .collect();
        let answer = ui.send(&format!(
            "POST /api/status HTTP/1.1\r\n{headers}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        ));
        assert_eq!(answer.reason(), *reason, "{name}: {value}");
        assert!(!answer.head.contains("access-control"), "{name}: {value}");
    }
    assert_eq!(ui.post("/api/status", &key, "{}").status, 200);
}

/// What is no plain request of a page, from a raw socket.
#[test]
fn nothing_is_smuggled_past_the_guard() {
    let companion = StandIn::up(Scene::default());
    let ui = Ui::of(&companion);
    let key = ui.opened();
    let host = &ui.host;
    let good = format!(
        "Host: {host}\r\nOrigin: http://{host}\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {key}\r\nConnection: close\r\n"
    );
    let post = "POST /api/status HTTP/1.1\r\n";
    let cases = [
        format!("{post}{good}Host: {host}\r\nContent-Length: 2\r\n\r\n{{}}"),
        format!("{post}{good}Authorization: Bearer {key}\r\nContent-Length: 2\r\n\r\n{{}}"),
        format!("{post}{good}Upgrade: h2c\r\nContent-Length: 2\r\n\r\n{{}}"),
        format!("{post}{good}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
        format!("{post}{good}Transfer-Encoding: gzip\r\n\r\n{{}}"),
        format!("{post}{good}Content-Length : 2\r\n\r\n{{}}"),
        format!("{post}{good} folded: x\r\nContent-Length: 2\r\n\r\n{{}}"),
        format!("POST http://{host}/api/status HTTP/1.1\r\n{good}Content-Length: 2\r\n\r\n{{}}"),
        format!("POST /api/status HTTP/1.0\r\n{good}Content-Length: 2\r\n\r\n{{}}"),
        format!("CONNECT {host} HTTP/1.1\r\n{good}\r\n"),
        format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        ),
        format!("{post}{good}X: {}\r\nContent-Length: 2\r\n\r\n{{}}", "x".repeat(20_000)),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "nonsense\r\n\r\n".to_owned(),
    ];
    for (index, request) in cases.iter().enumerate() {
        let status = ui.sent(request).map(|answer| answer.status);
        // What is no HTTP/1 at all may be closed without a word.
        let refused = status.map_or(!request.contains("HTTP/1"), |it| (400..=431).contains(&it));
        assert!(refused, "case {index}: {status:?}");
    }
    let plain = format!("{post}{good}Content-Length: 2\r\n\r\n{{}}");
    assert_eq!(ui.send(&plain).status, 200, "the test can fail");
}

#[test]
fn an_answer_streams_and_the_endpoints_key_stays_in_this_program() {
    let piece = |text: &str| {
        format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }))
    };
    let served =
        Served::Chunks(vec![piece("Hi "), piece("<b>you</b>"), "data: [DONE]\n\n".to_owned()]);
    let companion = StandIn::up(Scene { answer: Some(served), ..Scene::default() });
    let ui = Ui::of(&companion);
    let key = ui.opened();
    let ask = json!({ "messages": [{ "role": "user", "content": "hello" }] });
    let answer = ui.post("/api/chat", &key, &ask.to_string());
    assert_eq!(
        answer.events(),
        [
            json!({ "event": "delta", "text": "Hi " }),
            json!({ "event": "delta", "text": "<b>you</b>" }),
            json!({ "event": "done", "finish_reason": null, "usage": null }),
        ]
    );
    assert!(!answer.body.contains(TOKEN) && !answer.head.contains("access-control"));
    assert_eq!(companion.asked()[0]["messages"], ask["messages"]);
}

#[test]
fn work_tells_its_steps_and_a_refusal_its_reason() {
    let progress = Progress {
        id: "m".to_owned(),
        received_bytes: 1,
        total_bytes: 2,
        bytes_per_second: 3,
        seconds_left: None,
        waiting: false,
    };
    let scene = Scene {
        work: vec![
            work_event::Event::Progress(progress),
            work_event::Event::Verified(Verified { id: "m".to_owned() }),
            work_event::Event::Ready(Ready { id: "m".to_owned() }),
        ],
        catalog: vec![CatalogEntry {
            id: "m".to_owned(),
            kind: Kind::Model.into(),
            ..CatalogEntry::default()
        }],
        ..Scene::default()
    };
    let companion = StandIn::up(scene.clone());
    let ui = Ui::of(&companion);
    let key = ui.opened();
    let events = ui.post("/api/pull", &key, r#"{"id":"m"}"#).events();
    assert_eq!(
        events,
        [
            json!({ "event": "progress", "id": "m", "received": 1, "total": 2,
                "bytes_per_second": 3, "seconds_left": null, "waiting": false }),
            json!({ "event": "verified", "id": "m" }),
        ]
    );
    assert_eq!(ui.post("/api/models", &key, "{}").json()["models"][0]["state"], "absent");
    assert_eq!(ui.post("/api/models", &key, r#"{"x":1}"#).reason(), "malformed_body");

    let locked = StandIn::up(Scene { refuse: Some("keychain_locked"), ..scene });
    let ui = Ui::of(&locked);
    let key = ui.opened();
    let refused = ui.post("/api/models", &key, "{}");
    assert_eq!((refused.status, refused.reason().as_str()), (409, "keychain_locked"));
    let events = ui.post("/api/pull", &key, r#"{"id":"m"}"#).events();
    assert_eq!(events.last().map(|it| &it["reason"]), Some(&json!("keychain_locked")));
}

#[test]
fn a_body_beyond_its_bound_is_refused_and_the_port_closes_with_the_program() {
    let companion = StandIn::up(Scene::default());
    let mut ui = Ui::of(&companion);
    let key = ui.opened();
    let large = "x".repeat(4 * 1024 * 1024 + 1);
    assert_eq!(ui.post("/api/chat", &key, &large).reason(), "body_too_large");
    ui.child.kill().expect("ended");
    ui.child.wait().expect("ended");
    assert!(TcpStream::connect(&ui.host).is_err());
}
