//! Whole connections, and bodies, out of bytes that nobody meant: mutants of a committed corpus
//! (contract 4). A second reader says which requests may pass.

#[path = "../../../tests/fuzz/mutants.rs"]
mod mutants;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use companion_settings::Frontdoor as Section;
use frontdoor_core::Reason;
use frontdoor_core::credential::TokenDigest;
use frontdoor_core::guard::AllowedHosts;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::mutants::Target;
use super::second_reader::{self, Asked, HOSTS};
use super::{StandInDial, TOKEN, charter, find, nobody, ready_facts};
use crate::door::{Door, Plan, TokenHolder};
use crate::health::HealthCredential;
use crate::places::Places;
use crate::{http_server, json};

const REQUESTS: Target = Target {
    name: "requests",
    mutants: 4000,
    words: &[
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b"?",
        b"GET ",
        b"POST ",
        b" HTTP/1.0\r\n",
        b" HTTP/1.1\r\n",
        b"http://127.0.0.1:4711/",
        b"/../",
        b"%2f",
        b"\r\nHost: 127.0.0.1:4711",
        b"\r\nHost: evil.example",
        b"\r\nAuthorization: Bearer x",
        b"\r\nX-Companion-Token: the-loopback-token-of-this-very-start-0123456",
        b"\r\nContent-Length: 2",
        b"\r\nContent-Length: 0",
        b"\r\nTransfer-Encoding: chunked",
        b"\r\nOrigin: http://127.0.0.1:4711",
        b"\r\nOrigin: http://evil.example",
        b"\r\nSec-Fetch-Site: none",
        b"\r\nSec-Fetch-Site: cross-site",
        b"\r\nUpgrade: h2c",
        b"\r\nConnection: upgrade",
        b"0\r\n\r\n",
        b"{}",
    ],
};

const BODIES: Target = Target {
    name: "bodies",
    mutants: 20_000,
    words: &[
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b",",
        b":",
        b"\\",
        b"\\u0061",
        b"\\ud800",
        b"null",
        b"-0",
        b"1e999",
        b"\"a\":1,",
        b"\"a\":{\"a\":2},",
        b"\"lora\":",
        b"\"verbose\":true,",
        b"\"messages\":[",
        b"\"image_url\":",
        b"\"source\":{\"data\":",
        b"\"http://x\"",
        b"file:",
        b"\xff",
        b"\xef\xbb\xbf",
        b"[[[[[[[[[[[[[[[[",
    ],
};

#[test]
fn no_bytes_reach_the_runtime_but_a_request_that_meets_every_condition_of_the_guard() {
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let knocker = executor.block_on(async { Knocker::new() });
    REQUESTS.fuzz(|bytes| executor.block_on(knocker.judge(bytes)));
}

#[test]
fn a_body_passes_only_as_strict_json_that_addresses_nothing_of_the_server() {
    BODIES.fuzz(|bytes| {
        let verdict = json::check(bytes).map_err(|refusal| refusal.reason);
        match verdict {
            Ok(()) => assert!(second_reader::may_be_relayed(bytes)),
            Err(Reason::MalformedBody) => assert!(second_reader::strict_object(bytes).is_none()),
            Err(reason) => assert_eq!(reason, Reason::FieldNotAllowed),
        }
        verdict.is_ok()
    });
}

/// A front door without a socket, and behind it a runtime that answers whatever comes and
/// remembers it. Time stands, and jumps when nobody has anything left to do.
struct Knocker {
    door: Arc<Door>,
    places: Arc<Places>,
    reached: Arc<Mutex<Vec<Asked>>>,
    _token: TokenHolder,
}

impl Knocker {
    fn new() -> Self {
        let address = HOSTS[0].parse().unwrap();
        let (runtime, mut dialled) = mpsc::unbounded_channel();
        let dial = StandInDial { runtime, how: Arc::default(), address, supervisor: nobody() };
        let section = Section { rate_limit_requests: 100_000, ..Section::default() };
        let hosts = AllowedHosts::of(address).unwrap();
        let credential = HealthCredential::random().unwrap().digest();
        let door =
            Door::new(Plan::of(&charter(section, address, 0)), hosts, Box::new(dial), credential);
        door.tell_facts(Some(ready_facts(1)));
        let token = door.new_holder();
        token.hold(Some(TokenDigest::of(TOKEN.as_bytes())));
        let reached = Arc::<Mutex<Vec<_>>>::default();
        let remembered = Arc::clone(&reached);
        tokio::spawn(async move {
            while let Some(stream) = dialled.recv().await {
                tokio::spawn(answer_all(stream, Arc::clone(&remembered)));
            }
        });
        Self { door, places: Places::new(4), reached, _token: token }
    }

    async fn judge(&self, bytes: &[u8]) -> bool {
        let said = self.knock(bytes).await;
        let reached = std::mem::take(&mut *self.reached.lock().unwrap());
        reached.iter().for_each(assert_bears_nothing_of_the_clients);
        let mut reached =
            reached.iter().map(|it| (it.method.as_str(), it.target.as_str(), &it.body));
        let (statuses, mut rest) = (statuses(&said), bytes);
        for status in &statuses {
            let Some((asked, behind)) = Asked::first(rest) else {
                assert_eq!(*status / 100, 4, "an answer to what is no request");
                break;
            };
            rest = behind;
            if *status == 200 {
                asked.assert_may_pass();
                let (path, _) = asked.path_and_query();
                if !["/metrics", "/companion/v1/status"].contains(&path) {
                    assert_eq!(reached.next(), Some((asked.method.as_str(), path, &asked.body)));
                }
            }
        }
        assert_eq!(reached.next(), None, "reached the runtime without an answer");
        statuses.contains(&200)
    }

    /// Sends in two pieces, waits until nothing happens any more, and says what came back.
    async fn knock(&self, bytes: &[u8]) -> Vec<u8> {
        let (mut client, socket) = duplex(1 << 20);
        let place = self.places.take().await.unwrap();
        let stop = CancellationToken::new();
        let served =
            tokio::spawn(http_server::converse(socket, Arc::clone(&self.door), stop, place));
        let cut = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (bytes.len() + 1);
        // An end that comes before all is written is an answer too.
        for piece in [&bytes[..cut], &bytes[cut..]] {
            drop(client.write_all(piece).await);
            sleep(Duration::from_millis(1)).await;
        }
        drop(client.shutdown().await);
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        served.await.expect("it does not panic");
        said
    }
}

async fn answer_all(mut stream: UnixStream, reached: Arc<Mutex<Vec<Asked>>>) {
    let mut seen = Vec::new();
    while stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
        while let Some((asked, rest)) = Asked::first(&seen) {
            seen = rest.to_vec();
            reached.lock().unwrap().push(asked);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await);
        }
    }
}

/// But the method, the path and the body.
fn assert_bears_nothing_of_the_clients(asked: &Asked) {
    let is_ours = |(name, value): &(String, String)| match name.as_str() {
        "host" => value == "localhost",
        "content-type" => value == "application/json",
        "connection" => value == "close",
        name => name == "content-length",
    };
    assert!(asked.headers.iter().all(is_ours), "{asked:?}");
}

/// Of every answer, each whole and hardened.
fn statuses(mut said: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !said.is_empty() {
        let end = find(said, b"\r\n\r\n").expect("a whole head") + 4;
        let head = std::str::from_utf8(&said[..end]).unwrap().to_ascii_lowercase();
        let status = head["http/1.1 ".len()..][..3].parse().unwrap();
        said = &said[end..];
        if status == 100 {
            continue;
        }
        let value =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        assert_eq!(value("cache-control"), Some("no-store"), "{head}");
        assert_eq!(value("x-content-type-options"), Some("nosniff"));
        assert_eq!(value("cross-origin-resource-policy"), Some("same-origin"));
        assert!(value("x-request-id").is_some() && !head.contains("access-control-"));
        let length: usize = value("content-length").expect("a length").parse().unwrap();
        said = said.get(length..).expect("a whole body");
        statuses.push(status);
    }
    statuses
}
