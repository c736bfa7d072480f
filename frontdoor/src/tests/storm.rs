//! A storm of mixed clients (contract 5): whole answers and streams, cancels at every moment,
//! refusals, a runtime that fails, breaks off, dies or comes anew, and panics. After each gale
//! every slot is back and turns go round as ever. `STORM_SECONDS=600` makes it go on for so long.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::second_reader::Asked;
use super::{Answer, CHAT, Client, Dialling, House, Section, TOKEN, find, ready_facts};
use crate::metrics;

const SLOTS: u32 = 3;
const QUEUE: u32 = 8;
/// Names, and how many programs of each. Who is alone asks politely: one request at a time, each
/// to its end.
const CROWD: [(&str, usize); 5] = [("greedy", 12), ("crude", 4), ("a", 1), ("b", 1), ("c", 1)];
/// Of each program in a gale.
const REQUESTS: usize = 20;
const GALES: u32 = 3;

#[derive(Clone, Copy)]
enum Manner {
    Waits,
    Leaves,
    LeavesMidway,
    HalfCloses,
    SendsRubbish,
    HasNoToken,
}

/// What a client does, and what it has the runtime do. The first three are polite.
const ACTS: [(Manner, &str); 13] = [
    (Manner::Waits, "answer"),
    (Manner::Waits, "stream"),
    (Manner::Waits, "fail"),
    (Manner::Leaves, "stream"),
    (Manner::LeavesMidway, "drip"),
    (Manner::HalfCloses, "answer"),
    (Manner::Waits, "die"),
    (Manner::LeavesMidway, "stream"),
    (Manner::Waits, "die midway"),
    (Manner::Leaves, "drip"),
    (Manner::Waits, "babble"),
    (Manner::SendsRubbish, ""),
    (Manner::HasNoToken, "answer"),
];

#[tokio::test]
async fn after_any_storm_every_slot_is_back_once_and_turns_go_round_as_ever() {
    let seconds = std::env::var("STORM_SECONDS").map_or(0, |text| text.parse().expect("seconds"));
    let mut house = House::with(Section {
        max_in_flight: SLOTS,
        queue_bound: QUEUE,
        rate_limit_requests: 100_000,
        rate_limit_window_s: 1,
        ..Section::default()
    })
    .await;
    let behind = Behind::of(&mut house);
    let (mut tally, mut gales) = (BTreeMap::new(), 0);
    let began = Instant::now();
    while gales < GALES || began.elapsed() < Duration::from_secs(seconds) {
        gale(&house, gales, &mut tally).await;
        house.counts(0, 0).await;
        assert_eq!(behind.most(), SLOTS as usize, "at the runtime at one time");
        turns_go_round(&house, &behind).await;
        house.counts(0, 0).await;
        let page = metrics::render(&house.door);
        assert!(page.contains("\nfrontdoor_in_flight 0\n"), "{page}");
        gales += 1;
    }
    println!("{gales} gales in {:?}: {tally:?}", began.elapsed());
    for outcome in ["200", "200 cut", "400", "401", "500", "502", "503 queue_full", "gone", "left"]
    {
        assert!(tally.contains_key(outcome), "no {outcome:?} in {tally:?}");
    }
}

async fn gale(house: &House, gale: u32, tally: &mut BTreeMap<String, u64>) {
    let programs = CROWD.iter().flat_map(|(name, count)| (0..*count).map(move |n| (*name, n)));
    let programs = programs.enumerate().map(|(seed, (name, _))| async move {
        let mut outcomes = Vec::new();
        for turn in 0..REQUESTS {
            if (seed, turn) == (0, REQUESTS / 2) {
                come_anew(house, gale).await;
            }
            let is_polite = name.len() == 1;
            let acts = if is_polite { &ACTS[..3] } else { &ACTS[..] };
            let (manner, task) = acts[(seed * 7 + turn * 5 + gale as usize) % acts.len()];
            let outcome = request(house, name, manner, task).await;
            assert!(!is_polite || outcome != "503 queue_full", "a polite one lost its place");
            outcomes.push(outcome);
        }
        outcomes
    });
    for outcome in join_all(programs).await.into_iter().flatten() {
        *tally.entry(outcome).or_default() += 1;
    }
}

/// Another run of the runtime, and a panic in whoever dials it first.
async fn come_anew(house: &House, gale: u32) {
    house.door.tell_facts(None);
    yield_now().await;
    *house.dial.lock().expect("not poisoned") = Dialling::Panics;
    house.door.tell_facts(Some(ready_facts(u64::from(gale) + 2)));
}

async fn request(house: &House, name: &str, manner: Manner, task: &str) -> String {
    let body = match manner {
        Manner::SendsRubbish => "[[".to_owned(),
        _ => serde_json::json!({"do": task, "who": name}).to_string(),
    };
    let token = match manner {
        Manner::HasNoToken => "another".to_owned(),
        _ => format!("{TOKEN}.{name}"),
    };
    let mut client = house.connect().await;
    client.send(house.post(CHAT, &body).replace(TOKEN, &token)).await;
    match manner {
        Manner::Leaves => yield_now().await,
        Manner::LeavesMidway => {
            let is_told =
                |seen: &[u8]| [&b"data:"[..], b"error"].iter().any(|it| find(seen, it).is_some());
            while !is_told(&client.seen) && client.more().await > 0 {}
        }
        Manner::HalfCloses => {
            client.stream.shutdown().await.expect("half closed");
            while client.more().await > 0 {}
        }
        Manner::Waits | Manner::SendsRubbish | Manner::HasNoToken => {
            return told(end_of(client).await, name);
        }
    }
    "left".to_owned()
}

/// The answer, unless the connection ends before one.
async fn end_of(mut client: Client) -> Option<Answer> {
    while find(&client.seen, b"\r\n\r\n").is_none() {
        if client.more().await == 0 {
            assert!(client.seen.is_empty(), "a cut head");
            return None;
        }
    }
    Some(client.answer().await)
}

fn told(answer: Option<Answer>, name: &str) -> String {
    let Some(answer) = answer else { return "gone".to_owned() };
    answer.assert_hardened();
    // Of each name at most one is served before one who comes: it waits for their turns, and its own.
    let position = answer.header("x-companion-queue-position").map(|text| text.parse::<usize>());
    let is_served = answer.status != 503;
    if let (Some(position), 1, true) = (position, name.len(), is_served) {
        assert!(position.expect("a number") <= CROWD.len(), "{name} waits out of turn: {answer:?}");
    }
    match (answer.status, answer.is_whole) {
        (503, _) => format!("503 {}", answer.code()),
        (status, true) => status.to_string(),
        (status, false) => format!("{status} cut"),
    }
}

/// Slots full, and then each who waits in the order in which turns go round.
async fn turns_go_round(house: &House, behind: &Behind) {
    let mut clients = Vec::new();
    for (index, name) in ["h", "h", "h", "g", "g", "g", "m"].into_iter().enumerate() {
        let mut client = house.connect().await;
        let body = serde_json::json!({"do": "hold", "who": name}).to_string();
        client.send(house.post(CHAT, &body).replace(TOKEN, &format!("{TOKEN}.{name}"))).await;
        let index = index as u32 + 1;
        house.counts(index.min(SLOTS), index.saturating_sub(SLOTS)).await;
        clients.push(client);
    }
    let mut order = Vec::new();
    for arrived in 1..=clients.len() {
        while behind.arrived.lock().expect("not poisoned").len() < arrived {
            yield_now().await;
        }
        if arrived >= SLOTS as usize {
            behind.release.add_permits(1);
        }
    }
    behind.release.add_permits(SLOTS as usize - 1);
    for client in clients {
        assert_eq!(end_of(client).await.expect("an answer").status, 200);
    }
    order.append(&mut behind.arrived.lock().expect("not poisoned"));
    assert_eq!(order, ["h", "h", "h", "g", "m", "g", "g"]);
}

/// The stand-in runtime: does what it is asked to, and sees how many ask at one time.
struct Behind {
    /// Connections with a request under way; closed ones until their end is noticed.
    busy: Mutex<(HashMap<usize, OwnedFd>, usize)>,
    /// Whose requests are held, in order.
    arrived: Mutex<Vec<String>>,
    release: Semaphore,
}

impl Behind {
    fn of(house: &mut House) -> Arc<Self> {
        let behind = Arc::new(Self {
            busy: Mutex::default(),
            arrived: Mutex::default(),
            release: Semaphore::new(0),
        });
        let (_, nobody) = mpsc::unbounded_channel();
        let mut dialled = std::mem::replace(&mut house.dialled, nobody);
        let all = Arc::clone(&behind);
        tokio::spawn(async move {
            let mut number = 0;
            while let Some(stream) = dialled.recv().await {
                number += 1;
                tokio::spawn(Arc::clone(&all).serve(stream, number));
            }
        });
        behind
    }

    /// The most at one time since the last look.
    fn most(&self) -> usize {
        std::mem::take(&mut self.busy.lock().expect("not poisoned").1)
    }

    async fn serve(self: Arc<Self>, mut stream: UnixStream, number: usize) {
        let mut seen = Vec::new();
        while stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
            let Some((asked, _)) = Asked::first(&seen) else { continue };
            seen.clear();
            self.begin(number, &stream);
            let goes_on = self.answer(&mut stream, number, &asked).await;
            self.end(number);
            if goes_on.is_err() {
                return;
            }
        }
    }

    fn begin(&self, number: usize, stream: &UnixStream) {
        let mut busy = self.busy.lock().expect("not poisoned");
        let other = stream.as_fd().try_clone_to_owned().expect("a descriptor");
        busy.0.insert(number, other);
        let open = busy.0.values().filter(|socket| is_open(socket)).count();
        busy.1 = busy.1.max(open);
    }

    /// Before the last byte of an answer: with it the slot is another's.
    fn end(&self, number: usize) {
        self.busy.lock().expect("not poisoned").0.remove(&number);
    }

    /// An error closes the connection.
    async fn answer(
        &self,
        to: &mut UnixStream,
        number: usize,
        asked: &Asked,
    ) -> std::io::Result<()> {
        const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
            Transfer-Encoding: chunked\r\n\r\n";
        const PIECE: &[u8] = b"8\r\ndata: 1\n\r\n";
        let broken = || Err(std::io::ErrorKind::BrokenPipe.into());
        let body: serde_json::Value = serde_json::from_slice(&asked.body)?;
        let task = body["do"].as_str().unwrap_or_default();
        let mut last: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        match task {
            "die" => return broken(),
            "fail" => last = b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}",
            "babble" => last = b"babble\r\n\r\n",
            "stream" | "die midway" => {
                to.write_all(STREAM).await?;
                for _ in 0..3 {
                    to.write_all(PIECE).await?;
                    yield_now().await;
                }
                if task == "die midway" {
                    return broken();
                }
                last = b"0\r\n\r\n";
            }
            "drip" => {
                to.write_all(STREAM).await?;
                loop {
                    to.write_all(PIECE).await?;
                    sleep(Duration::from_millis(1)).await;
                }
            }
            "hold" => {
                let who = body["who"].as_str().unwrap_or_default().to_owned();
                self.arrived.lock().expect("not poisoned").push(who);
                self.release.acquire().await.expect("open").forget();
            }
            _ => {}
        }
        self.end(number);
        to.write_all(last).await
    }
}

/// Whether the other end is.
fn is_open(socket: &OwnedFd) -> bool {
    match recv(socket, &mut [0_u8][..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, read)) => read > 0,
        Err(error) => error == Errno::AGAIN,
    }
}
