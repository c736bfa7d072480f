//! `companion-catalog`: makes and maintains a signed catalog of one's own models.
//!
//! A program of its own, run by `companionctl catalog`, since nobody but the broker and a signer
//! links the library of catalogs. It talks to no other process, and to the network only for
//! `add URL`, which unseals no key.

mod cli;
mod download;
mod entry;
mod examine;
mod keys;
mod lock;
mod passphrase;
mod refusal;
mod repository;
mod tls;

use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use url::Url;

use crate::cli::{AddArgs, Cli, Command, InitArgs, PUBLISHED_DAYS, Place};
use crate::entry::Draft;
use crate::examine::{Described, examine, id_of};
use crate::refusal::Refusal;
use crate::repository::Repository;

/// What is told of a command that did what was asked: to people, and to programs.
struct Said {
    text: String,
    object: Value,
}

#[expect(clippy::print_stdout, reason = "this program talks to people")]
fn main() -> ExitCode {
    // It holds unsealed keys: no core file, and no look into its memory (prctl(2)).
    let hidden =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    if hidden.is_err() {
        eprintln!("companionctl catalog: this process stays readable to a debugger");
    }
    let cli = Cli::parse();
    let json = cli.json;
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match executor.map_err(anyhow::Error::new).and_then(|it| it.block_on(run(cli))) {
        Ok(said) if json => println!("{}", said.object),
        Ok(said) => println!("{}", said.text),
        Err(error) => {
            let (reason, message) = (refusal::reason(&error), refusal::message(&error));
            match json {
                true => println!("{}", json!({"error": {"reason": reason, "message": message}})),
                false => eprintln!("companionctl catalog: {message}"),
            }
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn run(cli: Cli) -> Result<Said> {
    let known = || passphrase::known(cli.passphrase_file.as_ref());
    match &cli.command {
        Command::Init(args) => init(args, cli.passphrase_file.as_ref()).await,
        Command::Show { file } => {
            let (text, object) = examine::show(file)?;
            Ok(Said { text, object })
        }
        Command::Add(args) => add(args, !cli.json && stderr().is_terminal()).await,
        Command::Publish { place, days } => {
            let (repository, passphrase, _lock) = to_sign(place, known)?;
            let draft = Draft::read(repository.dir())?;
            let version = repository.publish(&draft, &passphrase, *days).await?;
            let entries = draft.len();
            Ok(Said {
                text: format!(
                    "Version {version} is published: {entries} entries, for {days} days."
                ),
                object: json!({ "version": version, "entries": entries, "days": days }),
            })
        }
        Command::Rotate { place } => {
            let (repository, passphrase, _lock) = to_sign(place, known)?;
            let root = repository.rotate(&passphrase).await?;
            Ok(Said {
                text: format!("Both keys are replaced, by root {root}.\n{}", place.next("publish")),
                object: json!({ "root_version": root }),
            })
        }
        Command::Verify { place } => {
            let (files, expires) = Repository::open(&place.dir)?.verify().await?;
            Ok(Said {
                text: format!(
                    "{files} files are as they were signed; the catalog is good until {expires}."
                ),
                object: json!({ "verified": files, "expires": expires }),
            })
        }
    }
}

/// The catalog, locked, and the passphrase of its keys.
fn to_sign<P>(
    place: &Place,
    known: impl FnOnce() -> Result<P>,
) -> Result<(Repository, P, lock::Lock)> {
    let there = Repository::open(&place.dir)?;
    let passphrase = known()?;
    let lock = lock::lock(there.dir())?;
    // Opened anew under the lock: somebody else may have replaced its keys meanwhile.
    Ok((Repository::open(&place.dir)?, passphrase, lock))
}

/// All of it or nothing: the catalog is made beside its place, and moved there once it is whole.
async fn init(args: &InitArgs, passphrase_file: Option<&PathBuf>) -> Result<Said> {
    let work = repository::beside(&args.dir)?;
    let described = || Described {
        license: args.license.clone(),
        runtime_license: Some(args.runtime_license.clone()),
        ..Described::default()
    };
    let examined = args.files.iter().map(|file| examine(file, described()));
    let examined = examined.collect::<Result<Vec<_>>>()?;
    let passphrase = passphrase::new(passphrase_file)?;
    if stderr().is_terminal() {
        eprintln!("Hashing and signing …");
    }
    let repository = Repository::create(work.path(), &passphrase).await?;
    let mut draft = Draft::read(repository.dir())?;
    let added = examined.into_iter().map(|it| Ok(draft.take(it)?.0)).collect::<Result<Vec<_>>>()?;
    draft.write()?;
    if !added.is_empty() {
        repository.publish(&draft, &passphrase, PUBLISHED_DAYS).await?;
    }
    let repository = repository.move_to(&args.dir)?;
    let configuration = repository.configuration()?;
    let made = match added.is_empty() {
        true => "The catalog is made, and empty.".to_owned(),
        false => {
            let ids = added.join(", ");
            format!("The catalog lists {ids}, and is good for {PUBLISHED_DAYS} days.")
        }
    };
    Ok(Said {
        text: format!("{made} In the configuration:\n\n{configuration}"),
        object: json!({
            "catalog": repository.dir(), "added": added, "days": PUBLISHED_DAYS,
            "configuration": configuration,
        }),
    })
}

async fn add(args: &AddArgs, shows: bool) -> Result<Said> {
    let repository = Repository::open(&args.place.dir)?;
    let url = download::url(&args.source)?;
    let downloaded = match &url {
        Some(url) => Some(fetch(url, args, repository.dir(), shows).await?),
        None => None,
    };
    let file = downloaded.as_ref().map_or(args.source.as_path(), |file| file.path());
    let described = Described {
        id: args.id.clone().or_else(|| url.as_ref().map(|url| id_of(&download::name(url)))),
        license: args.license.clone(),
        version: args.version.clone(),
        runtime_license: None,
    };
    let examined = examine(file, described)?;
    let _lock = lock::lock(repository.dir())?;
    let mut draft = Draft::read(repository.dir())?;
    let (id, sha256) = draft.take(examined)?;
    draft.write()?;
    // Whoever signs says what the bytes are to be: the page of a download may say it too.
    let compare = match &url {
        Some(_) => format!("\nIts SHA-256, to compare with what its page says:\n  {sha256}"),
        None => String::new(),
    };
    Ok(Said {
        text: format!("{id} is in the next publication.{compare}\n{}", args.place.next("publish")),
        object: json!({ "added": id, "sha256": sha256 }),
    })
}

/// Downloads until Ctrl-C; what came is then thrown away.
async fn fetch(url: &Url, args: &AddArgs, dir: &Path, shows: bool) -> Result<NamedTempFile> {
    tokio::select! {
        file = download::download(url.clone(), args.ca_file.as_deref(), dir, shows) => file,
        _ = tokio::signal::ctrl_c() => {
            let next = "Nothing of it was kept.";
            Err(Refusal::new("download_cancelled", "The download was stopped", next).into())
        }
    }
}
