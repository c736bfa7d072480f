//! What is written about a request names it, by the id of its answer (docs/endpoint.md).

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::{CHAT, DialError, Dialling, House, Section, TOKEN};

/// Everything that this thread logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let lines = tracing_subscriber::fmt::layer().with_writer(log.clone()).with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(lines).with(crate::log_levels());
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The lines since the last look.
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().expect("not poisoned"));
        String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
    }

    fn take_one(&self) -> String {
        let lines = self.take();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.into_iter().next().expect("one")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn what_failed_behind_the_guard_is_one_line_with_the_id_of_its_answer() {
    let (log, _logging) = Log::begin();
    let section = Section { max_in_flight: 1, queue_timeout_s: 1, ..Section::default() };
    let mut house = House::with(section).await;
    let chat = house.post(CHAT, r#"{"prompt":"canary"}"#);
    *house.dial.lock().expect("not poisoned") = Dialling::Fails(DialError::NotThere);
    let mut answers = vec![(house.ask(&chat).await, log.take_one())];
    *house.dial.lock().expect("not poisoned") = Dialling::Works;
    let mut client = house.connect().await;
    client.send(&chat).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    answers.push((house.ask(&chat).await, log.take_one()));
    runtime.say("babble\r\n\r\n").await;
    answers.push((client.answer().await, log.take_one()));
    client.send(&chat).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.begin_stream().await;
    runtime.chunk("data: canary\n\n").await;
    client.until("canary").await;
    drop(runtime);
    let cut = client.answer().await;
    assert!(!cut.is_whole);
    answers.push((cut, log.take_one()));
    house.door.tell_facts(None);
    answers.push((house.ask(&chat).await, log.take_one()));
    let statuses: Vec<_> = answers.iter().map(|(answer, _)| answer.status).collect();
    assert_eq!(statuses, [502, 503, 502, 200, 503]);
    for (answer, line) in answers {
        let id = answer.header("x-request-id").expect("an id");
        assert!(line.contains(&format!("http.request_id=\"{id}\"")), "{line}");
        assert!(!line.contains("canary") && !line.contains(TOKEN), "{line}");
    }
}

#[tokio::test]
async fn a_panic_is_told_with_the_id_of_the_request_that_it_ended() {
    let (log, _logging) = Log::begin();
    let house = House::ready().await;
    *house.dial.lock().expect("not poisoned") = Dialling::Panics;
    let mut client = house.connect().await;
    client.send(house.post(CHAT, "{}")).await;
    assert!(client.is_ended().await);
    house.counts(0, 0).await;
    let line = log.take_one();
    assert!(line.contains("a request ended in a panic http.request_id=\""), "{line}");
}

#[tokio::test]
async fn what_was_served_or_refused_by_the_guard_writes_nothing() {
    let (log, _logging) = Log::begin();
    let mut house = House::ready().await;
    let mut client = house.connect().await;
    client.send(house.post(CHAT, "{}")).await;
    let mut runtime = house.runtime().await;
    runtime.request().await;
    runtime.answer("{}").await;
    assert_eq!(client.answer().await.status, 200);
    let good = house.get("/v1/models");
    let refused = [
        "babble\r\n\r\n".to_owned(),
        good.replace("GET", "PUT"),
        good.replace("Host: 127", "Host: 128"),
        good.replace("Host:", "Origin: null\r\nHost:"),
        good.replace(TOKEN, "x"),
        good.replace("models", "canary"),
        house.post(CHAT, "[["),
    ];
    for request in refused {
        assert_eq!(house.ask(&request).await.status / 100, 4);
    }
    assert_eq!(log.take(), [""; 0]);
}
