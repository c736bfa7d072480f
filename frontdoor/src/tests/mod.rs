//! The shell from outside, over real TCP, with stand-ins for what is not built here: a runtime
//! that says what a test tells it (not `llama-server`), and a supervisor that reports what a test
//! tells it. The real ones are met in the whole-system tests.

mod abuse;
mod admission;
mod crowds;
mod figures;
mod grpc;
mod health;
mod hostile_bytes;
mod idle;
mod log;
mod oddities;
mod peers;
mod relay;
mod second_reader;
mod storm;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use companion_settings::Frontdoor as Section;
use frontdoor_core::credential::TokenDigest;
use frontdoor_core::guard::AllowedHosts;
use futures_util::future::BoxFuture;
use monitor_api::FrontdoorCharter;
use runtime_api::v1::{Lifecycle, ResourceLimits, Resources, RuntimeFacts};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint};

use crate::dial::{Dial, DialError};
use crate::door::{Door, Plan, TokenHolder};
use crate::health::HealthCredential;
use crate::{http_server, listener};

const TOKEN: &str = "the-loopback-token-of-this-very-start-0123456";
/// No test waits for this long unless it fails.
const LIMIT: Duration = Duration::from_secs(20);

/// A front door that serves, with stand-ins behind it.
struct House {
    door: Arc<Door>,
    address: SocketAddr,
    /// The stand-in runtime's ends of the connections that were dialled.
    dialled: mpsc::UnboundedReceiver<UnixStream>,
    dial: Arc<Mutex<Dialling>>,
    credential: Option<HealthCredential>,
    token: Option<TokenHolder>,
    _stop: DropGuard,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

/// What becomes of dialling the runtime.
#[derive(Clone, Copy, Default)]
enum Dialling {
    #[default]
    Works,
    Fails(DialError),
    /// Once.
    Panics,
}

struct StandInDial {
    runtime: mpsc::UnboundedSender<UnixStream>,
    how: Arc<Mutex<Dialling>>,
    address: SocketAddr,
    supervisor: Channel,
}

impl Dial for StandInDial {
    fn runtime(&self) -> BoxFuture<'_, Result<UnixStream, DialError>> {
        Box::pin(async {
            let how = *self.how.lock().expect("not poisoned");
            match how {
                Dialling::Works => {}
                Dialling::Fails(error) => return Err(error),
                Dialling::Panics => {
                    *self.how.lock().expect("not poisoned") = Dialling::Works;
                    panic!("planted");
                }
            }
            let (ours, theirs) = UnixStream::pair().map_err(|_| DialError::PathBroken)?;
            self.runtime.send(theirs).map_err(|_| DialError::NotThere)?;
            Ok(ours)
        })
    }

    fn own_listener(&self) -> BoxFuture<'_, Result<TcpStream, DialError>> {
        Box::pin(async { TcpStream::connect(self.address).await.map_err(|_| DialError::NotThere) })
    }

    fn supervisor(&self) -> Channel {
        self.supervisor.clone()
    }
}

impl House {
    /// With the default section, a token, and a ready runtime.
    async fn ready() -> Self {
        Self::with(Section::default()).await
    }

    async fn with(section: Section) -> Self {
        Self::with_supervisor(section, nobody()).await
    }

    async fn with_supervisor(section: Section, supervisor: Channel) -> Self {
        Self::build(section, supervisor, 0).await
    }

    async fn build(section: Section, supervisor: Channel, idle_unload_s: u64) -> Self {
        let (tcp, address) = bound();
        let (listener, hosts) = listener::adopt(tcp.into(), address).expect("loopback");
        let (runtime, dialled) = mpsc::unbounded_channel();
        let how = Arc::<Mutex<Dialling>>::default();
        let dial = StandInDial { runtime, how: Arc::clone(&how), address, supervisor };
        let credential = HealthCredential::random().expect("random");
        let plan = Plan::of(&charter(section, address, idle_unload_s));
        assert_eq!(Some(&hosts), AllowedHosts::of(address).as_ref());
        let door = Door::new(plan, hosts, Box::new(dial), credential.digest());
        let token = door.new_holder();
        token.hold(Some(TokenDigest::of(TOKEN.as_bytes())));
        door.tell_facts(Some(ready_facts(1)));
        let stop = CancellationToken::new();
        let serving = tokio::spawn(http_server::serve(listener, door.clone(), stop.clone()));
        Self {
            door,
            address,
            dialled,
            dial: how,
            credential: Some(credential),
            token: Some(token),
            _stop: stop.clone().drop_guard(),
            stop,
            serving,
        }
    }

    /// Head lines of a request of the owner, up to the empty line.
    fn good(&self, line: &str) -> String {
        format!("{line} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n", self.address)
    }

    fn get(&self, path: &str) -> String {
        format!("{}\r\n", self.good(&format!("GET {path}")))
    }

    fn post(&self, path: &str, body: &str) -> String {
        let length = body.len();
        format!("{}Content-Length: {length}\r\n\r\n{body}", self.good(&format!("POST {path}")))
    }

    async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.expect("connected"), seen: vec![] }
    }

    /// Sends on a connection of its own and reads one answer.
    async fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect().await;
        client.send(request).await;
        client.answer().await
    }

    /// The next connection that was dialled to the runtime.
    async fn runtime(&mut self) -> Runtime {
        let stream = timeout(LIMIT, self.dialled.recv()).await.expect("in time").expect("dialled");
        Runtime { stream }
    }

    fn was_never_dialled(&mut self) -> bool {
        self.dialled.try_recv().is_err()
    }

    /// Waits until so many run and so many wait.
    async fn counts(&self, in_flight: u32, queued: u32) {
        let mut counts = self.door.queue.watch();
        let wanted = |counts: &frontdoor_core::admission::Counts| {
            counts.in_flight == in_flight && counts.queued == queued
        };
        drop(timeout(LIMIT, counts.wait_for(wanted)).await.expect("in time").expect("there"));
    }
}

fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    socket.listen(512).expect("listening");
    let address = socket.local_addr().expect("an address").as_socket().expect("of the net");
    (socket, address)
}

fn charter(frontdoor: Section, bound: SocketAddr, idle_unload_s: u64) -> FrontdoorCharter {
    FrontdoorCharter {
        launcher_pid: 1,
        frontdoor,
        bound,
        health_interval_s: 5,
        health_recency_s: 15,
        drain_timeout_s: 30,
        idle_unload_s,
        no_program: PathBuf::new(),
    }
}

fn ready_facts(generation: u64) -> RuntimeFacts {
    RuntimeFacts {
        lifecycle: Lifecycle::Ready.into(),
        model_id: "a-model".to_owned(),
        model_verified: true,
        runtime_verified: true,
        resources: Some(Resources {
            observed: true,
            ram_bytes: 10,
            vram_bytes: 0,
            cpu_percent: 1.0,
        }),
        limits: Some(ResourceLimits {
            max_ram_bytes: 100,
            max_vram_bytes: 0,
            max_cpu_percent: 100.0,
        }),
        generation,
        ..RuntimeFacts::default()
    }
}

/// A channel that leads nowhere.
fn nobody() -> Channel {
    let connector = tower::service_fn(|_: http::Uri| async {
        Err::<hyper_util::rt::TokioIo<tokio::io::DuplexStream>, _>(std::io::Error::from(
            std::io::ErrorKind::ConnectionRefused,
        ))
    });
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector)
}

/// A client with nothing between it and the socket.
struct Client {
    stream: TcpStream,
    seen: Vec<u8>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    /// Whether the body came to its announced end.
    is_whole: bool,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The reason code of a refusal.
    fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(body["error"]["type"], "companion_error", "{body}");
        assert!(body["error"]["message"].is_string(), "{body}");
        let code = body["error"]["code"].as_str().expect("a code").to_owned();
        assert_eq!(body["error"]["param"].is_null(), code != "field_not_allowed", "{body}");
        code
    }

    /// Contract 4: on every response; and what is shown in a browser loads nothing.
    fn assert_hardened(&self) {
        assert_eq!(self.header("content-security-policy"), Some("default-src 'none'"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self:?}");
        assert_eq!(self.header("cross-origin-resource-policy"), Some("same-origin"), "{self:?}");
        assert_eq!(self.header("server"), None, "{self:?}");
        let id = self.header("x-request-id").expect("every answer has an id");
        assert!(id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        let shares = self.headers.iter().any(|(name, _)| name.starts_with("access-control-"));
        assert!(!shares, "{self:?}");
    }
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("sent");
    }

    /// Reads until `wanted` was seen.
    async fn until(&mut self, wanted: &str) {
        while !String::from_utf8_lossy(&self.seen).contains(wanted) {
            assert!(self.more().await > 0, "the end before {wanted:?}");
        }
    }

    async fn answer(&mut self) -> Answer {
        let head_end = loop {
            if let Some(at) = find(&self.seen, b"\r\n\r\n") {
                break at + 4;
            }
            let seen = String::from_utf8_lossy(&self.seen).into_owned();
            assert!(self.more().await > 0, "the end before an answer: {seen:?}");
        };
        let head = String::from_utf8(self.seen.drain(..head_end).collect()).expect("text");
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().expect("a status line");
        let status = status_line[9..12].parse().expect("a status");
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").expect("a header"))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: String::new(), is_whole: false };
        (answer.body, answer.is_whole) = match answer.header("content-length") {
            Some(length) => self.sized(length.parse().expect("a length")).await,
            None => self.chunked().await,
        };
        answer
    }

    async fn sized(&mut self, length: usize) -> (String, bool) {
        while self.seen.len() < length {
            if self.more().await == 0 {
                break;
            }
        }
        let is_whole = self.seen.len() >= length;
        let length = length.min(self.seen.len());
        (String::from_utf8(self.seen.drain(..length).collect()).expect("text"), is_whole)
    }

    async fn chunked(&mut self) -> (String, bool) {
        let mut body = Vec::new();
        loop {
            while find(&self.seen, b"\r\n").is_none() {
                if self.more().await == 0 {
                    return (String::from_utf8(body).expect("text"), false);
                }
            }
            let at = find(&self.seen, b"\r\n").expect("a line");
            let line: Vec<_> = self.seen.drain(..at + 2).collect();
            let line = String::from_utf8_lossy(&line[..at]).into_owned();
            let size = usize::from_str_radix(&line, 16).expect("a size");
            while self.seen.len() < size + 2 {
                if self.more().await == 0 {
                    return (String::from_utf8(body).expect("text"), false);
                }
            }
            body.extend(self.seen.drain(..size));
            self.seen.drain(..2);
            if size == 0 {
                return (String::from_utf8(body).expect("text"), true);
            }
        }
    }

    /// Whether the server ends the connection, with nothing more to say.
    async fn is_ended(&mut self) -> bool {
        self.seen.is_empty() && self.more().await == 0
    }

    /// Bytes of one more read; 0 at the end, or at a reset.
    async fn more(&mut self) -> usize {
        timeout(LIMIT, self.stream.read_buf(&mut self.seen)).await.expect("in time").unwrap_or(0)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The stand-in runtime's end of one connection.
struct Runtime {
    stream: UnixStream,
}

impl Runtime {
    /// Reads a whole request: its head, its body.
    async fn request(&mut self) -> (String, String) {
        let mut seen = Vec::new();
        let head_end = loop {
            if let Some(at) = find(&seen, b"\r\n\r\n") {
                break at;
            }
            let read = timeout(LIMIT, self.stream.read_buf(&mut seen)).await;
            assert!(read.expect("in time").expect("read") > 0, "the end before a request");
        };
        let body = seen.split_off(head_end + 4);
        let head = String::from_utf8(seen).expect("text").trim_end().to_owned();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().expect("a length"));
        let mut body = body;
        while body.len() < length {
            let read = timeout(LIMIT, self.stream.read_buf(&mut body)).await;
            assert!(read.expect("in time").expect("read") > 0, "the end before a body");
        }
        (head, String::from_utf8(body).expect("text"))
    }

    async fn say(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.expect("written");
    }

    /// A whole answer in one piece.
    async fn answer(&mut self, body: &str) {
        let length = body.len();
        self.say(&format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    }

    /// The head of a stream of events.
    async fn begin_stream(&mut self) {
        self.say(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .await;
    }

    async fn chunk(&mut self, data: &str) {
        self.say(&format!("{:x}\r\n{data}\r\n", data.len())).await;
    }

    /// Waits until the other end is closed.
    async fn is_abandoned(&mut self) -> bool {
        let mut rest = Vec::new();
        timeout(LIMIT, self.stream.read_to_end(&mut rest)).await.is_ok()
    }
}

const CHAT: &str = "/v1/chat/completions";
