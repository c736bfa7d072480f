//! `devstack`: the development server as a program.
#![expect(clippy::print_stdout, reason = "it talks to the person or program that started it")]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use devstack::session_bus::SessionBus;
use devstack::stack::{Stack, StackOptions};
use devstack::{browser, certs};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// A DEVELOPMENT server for the companion: a gateway that signs in whoever asks, a signed
/// catalog, and a model host, on loopback, with certificates made on the spot. Never run it for
/// anything but development and tests.
#[derive(Debug, Parser)]
#[command(name = "devstack", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the stack up and keep it until TERM, INT, or the end of standard input (a pipe's or
    /// a terminal's; /dev/null does not count).
    #[command(after_help = "Example:\n  devstack up --dir /tmp/dev --llama-server ./llama-server \
                      --model ./model.gguf --session-bus --json")]
    Up(UpArguments),
    /// Play the browser: follow an address through its redirects and say where it ended.
    #[command(after_help = "Example:\n  devstack follow --ca /tmp/dev/ca.pem 'https://…'")]
    Follow {
        /// PEM file of the certificate authority to trust.
        #[arg(long)]
        ca: PathBuf,
        /// One JSON line instead of the page.
        #[arg(long)]
        json: bool,
        /// The address.
        url: String,
    },
}

#[derive(Debug, clap::Args)]
struct UpArguments {
    /// Directory for catalog, certificate and configuration; made when missing.
    #[arg(long)]
    dir: PathBuf,
    /// The llama-server program to list in the catalog.
    #[arg(long)]
    llama_server: PathBuf,
    /// The model to list in the catalog.
    #[arg(long)]
    model: PathBuf,
    /// Also start a private session bus with a Secret Service.
    #[arg(long)]
    session_bus: bool,
    /// Bytes a second that the model host sends, over all its connections.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pace: Option<u64>,
    /// One JSON line when ready instead of text.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let command = Cli::parse().command;
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Up(arguments) => up(arguments).await,
            Command::Follow { ca, json, url } => follow(&ca, json, &url).await,
        }
    });
    // A read of standard input that nobody answers must not hold the end back.
    runtime.shutdown_background();
    outcome
}

async fn up(arguments: UpArguments) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    std::fs::create_dir_all(&arguments.dir)?;
    let dir = arguments.dir.canonicalize()?;

    let mut options = StackOptions::new(&dir);
    options.llama_server = Some(absolute(&arguments.llama_server)?);
    options.model = Some(absolute(&arguments.model)?);
    let stack = Stack::start(options).await?;
    stack.model_host.switch(|host| host.pace = arguments.pace);
    // The bus has a directory of its own: a socket's path must be short, `--dir` may be long.
    let bus_dir = tempfile::Builder::new().prefix("bus").tempdir()?;
    let bus = match arguments.session_bus {
        true => Some(SessionBus::start(bus_dir.path()).await?),
        false => None,
    };
    announce(&ready(&stack, bus.as_ref()), arguments.json)?;

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = standard_input_ends() => {}
    }
    Ok(())
}

fn ready(stack: &Stack, bus: Option<&SessionBus>) -> Value {
    json!({
        "event": "ready",
        "issuer": stack.gateway.issuer(),
        "gateway": stack.gateway.origin(),
        "catalog": stack.gateway.catalog_url(),
        "trust_root": stack.trust_root(),
        "model_host": stack.model_host.authority(),
        "ca_file": stack.ca_file(),
        "config": stack.config(),
        "dbus_address": bus.map(SessionBus::address),
    })
}

fn announce(ready: &Value, as_json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{ready}")?;
    } else {
        writeln!(out, "development stack, not for production; ends with Ctrl-C")?;
        for (name, value) in ready.as_object().into_iter().flatten() {
            if let (Some(value), true) = (value.as_str(), name != "event") {
                writeln!(out, "  {name:<13}{value}")?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

async fn follow(ca: &Path, as_json: bool, url: &str) -> Result<()> {
    let page = browser::follow(url, &certs::client_config_from(ca)?).await?;
    if as_json {
        // Where it ended, without the query: that holds the code and the state.
        let mut place = page.url.clone();
        place.set_query(None);
        let status = page.status.as_u16();
        println!("{}", json!({ "status": status, "url": place.as_str(), "body": page.text() }));
    } else {
        println!("{}\n{}", page.status, page.text());
    }
    anyhow::ensure!(page.status.is_success(), "the last page answered {}", page.status);
    Ok(())
}

fn absolute(file: &Path) -> Result<PathBuf> {
    file.canonicalize().with_context(|| format!("{} is not there", file.display()))
}

/// Ends with a pipe or terminal at standard input; of anything else it never ends.
async fn standard_input_ends() {
    let is_live = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|fd| File::from(fd).metadata())
        .is_ok_and(|metadata| metadata.file_type().is_fifo() || metadata.file_type().is_socket());
    if !is_live && !io::IsTerminal::is_terminal(&io::stdin()) {
        return std::future::pending().await;
    }
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 256];
    while stdin.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}
