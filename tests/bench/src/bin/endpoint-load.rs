//! A load on an endpoint, and what it measured, as one JSON object. It has one thread, and knows
//! nothing of whom it asks.
#![expect(clippy::print_stdout, reason = "it talks to the program that started it")]

use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::{Parser, Subcommand};
use endpoint_bench::{ASKED, SILENT, STREAM, WHOLE, WRITTEN_AT, now_us};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A request, and the status that it must get.
#[derive(Debug, Clone, Copy)]
struct Question {
    method: &'static str,
    path: &'static str,
    body: &'static str,
    has_token: bool,
    status: StatusCode,
}

/// What a small client sends.
const QUESTION: Question = Question {
    method: "POST",
    path: WHOLE,
    body: r#"{"model":"stand-in","prompt":"The capital of France is","max_tokens":16,"temperature":0}"#,
    has_token: true,
    status: StatusCode::OK,
};
const MIX: [Question; 8] = [
    QUESTION,
    Question { path: STREAM, body: r#"{"stream":true,"pieces":2,"pace_us":1}"#, ..QUESTION },
    Question { body: "[[", status: StatusCode::BAD_REQUEST, ..QUESTION },
    get(ASKED, StatusCode::OK),
    Question { has_token: false, ..get(ASKED, StatusCode::UNAUTHORIZED) },
    get("/nowhere", StatusCode::NOT_FOUND),
    get("/companion/v1/status", StatusCode::OK),
    get("/metrics", StatusCode::OK),
];

const fn get(path: &'static str, status: StatusCode) -> Question {
    Question { method: "GET", path, body: "", has_token: true, status }
}

#[derive(Debug, Parser)]
struct Cli {
    /// `ADDRESS:PORT`, or the path of a Unix socket
    #[arg(long)]
    to: String,
    #[command(subcommand)]
    load: Load,
}

#[derive(Debug, Clone, Subcommand)]
enum Load {
    /// Asks for answers in one piece, one after another on each connection
    Whole {
        #[arg(long)]
        connections: usize,
        #[arg(long)]
        millis: u64,
    },
    /// Asks for one after another of all that clients ask for, what is refused too
    Mixed {
        #[arg(long)]
        connections: usize,
        #[arg(long)]
        millis: u64,
    },
    /// Asks for streams, one after another, and times each piece
    Stream {
        #[arg(long)]
        streams: usize,
        #[arg(long)]
        pieces: usize,
        #[arg(long)]
        pace_us: u64,
    },
    /// Asks on each connection for what is never answered, says so, and waits for its input's end
    Hold {
        #[arg(long)]
        connections: usize,
    },
}

/// The bearer token, where one is wanted.
const TOKEN_VARIABLE: &str = "ENDPOINT_LOAD_TOKEN";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let token = std::env::var(TOKEN_VARIABLE).ok();
    let target = Target { to: cli.to, token };
    match cli.load {
        Load::Whole { connections, millis } => {
            requests(&target, &[QUESTION], connections, Duration::from_millis(millis)).await
        }
        Load::Mixed { connections, millis } => {
            requests(&target, &MIX, connections, Duration::from_millis(millis)).await
        }
        Load::Stream { streams, pieces, pace_us } => {
            stream(&target, streams, pieces, pace_us).await
        }
        Load::Hold { connections } => hold(&target, connections).await,
    }
}

/// Each connection asks all of them, over and over.
async fn requests(
    target: &Target,
    questions: &'static [Question],
    connections: usize,
    time: Duration,
) -> Result<()> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(target.connect().await?);
    }
    let began = Instant::now();
    let until = began + time;
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let target = target.clone();
            tokio::spawn(async move {
                let mut taken = Vec::new();
                for question in questions.iter().cycle() {
                    let asked = Instant::now();
                    if asked >= until {
                        break;
                    }
                    let body = question.body.into();
                    let response = target.ask(&mut client, *question, body).await?;
                    response.into_body().collect().await?;
                    taken.push(micros(asked.elapsed()));
                }
                Ok::<_, anyhow::Error>(taken)
            })
        })
        .collect();
    let mut taken = Vec::new();
    for task in tasks {
        taken.extend(task.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let per_second = taken.len() as f64 / seconds;
    report(taken, json!({ "per_second": per_second }))
}

async fn stream(target: &Target, streams: usize, pieces: usize, pace_us: u64) -> Result<()> {
    let mut client = target.connect().await?;
    let question = Question { path: STREAM, ..QUESTION };
    let wanted = json!({"stream": true, "pieces": pieces, "pace_us": pace_us}).to_string();
    let mut late = Vec::new();
    for _ in 0..streams {
        let response = target.ask(&mut client, question, wanted.clone().into()).await?;
        let mut body = response.into_body();
        let mut seen = String::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let now = now_us();
            seen.push_str(std::str::from_utf8(&data)?);
            while let Some(end) = seen.find("\n\n") {
                let event: String = seen.drain(..end + 2).collect();
                let (_, at) = event.split_once(WRITTEN_AT).context("a piece without its time")?;
                let at: u64 = at.trim_end().trim_end_matches('}').parse()?;
                late.push(now.saturating_sub(at));
            }
        }
    }
    ensure!(late.len() == streams * pieces, "{} pieces came", late.len());
    report(late, json!({}))
}

async fn hold(target: &Target, connections: usize) -> Result<()> {
    for _ in 0..connections {
        let (mut client, target) = (target.connect().await?, target.clone());
        tokio::spawn(async move {
            let question = Question { path: SILENT, ..QUESTION };
            let answer = target.ask(&mut client, question, QUESTION.body.into()).await;
            eprintln!("answered: {:?}", answer.map(|answer| answer.status()));
        });
    }
    println!("{}", json!({ "held": connections }));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

fn report(mut micros: Vec<u64>, mut figures: serde_json::Value) -> Result<()> {
    ensure!(!micros.is_empty(), "nothing was measured");
    micros.sort_unstable();
    let at = |share: usize| micros[(micros.len() * share / 100).min(micros.len() - 1)];
    figures["count"] = json!(micros.len());
    figures["p50_us"] = json!(at(50));
    figures["p99_us"] = json!(at(99));
    println!("{figures}");
    Ok(())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Whom it asks, and with what right.
#[derive(Debug, Clone)]
struct Target {
    to: String,
    token: Option<String>,
}

type Client = SendRequest<Full<Bytes>>;

impl Target {
    async fn connect(&self) -> Result<Client> {
        if self.to.starts_with('/') {
            return client(UnixStream::connect(PathBuf::from(&self.to)).await?).await;
        }
        let stream = TcpStream::connect(&self.to).await?;
        stream.set_nodelay(true)?;
        client(stream).await
    }

    async fn ask(
        &self,
        client: &mut Client,
        question: Question,
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        client.ready().await?;
        let host = if self.to.starts_with('/') { "localhost" } else { &self.to };
        let mut request = Request::builder()
            .method(question.method)
            .uri(question.path)
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = self.token.as_ref().filter(|_| question.has_token) {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = client.send_request(request.body(Full::new(body))?).await?;
        if response.status() != question.status {
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            bail!("{status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(response)
    }
}

async fn client(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Client> {
    let (sender, connection) = handshake(TokioIo::new(io)).await?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
