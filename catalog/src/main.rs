//! `companion-catalog`: makes and maintains a signed catalog of one's own models.
//!
//! A program of its own, run by `companionctl catalog`, since nobody but the broker and a signer
//! links the library of catalogs. It talks to no other process and to no network.

mod entry;
mod keys;
mod repository;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use zeroize::Zeroizing;

use crate::entry::{Described, Draft};
use crate::repository::Repository;

/// Shortest passphrase that is taken, in characters.
const SHORTEST_PASSPHRASE: usize = 8;

/// Days until a publication expires, unless others are given.
const PUBLISHED_DAYS: i64 = 365;

/// Make and maintain a signed catalog of your own models.
#[derive(Debug, Parser)]
#[command(
    name = "companionctl catalog",
    bin_name = "companionctl catalog",
    version,
    after_help = "\
Example:
  companionctl catalog init ~/catalog
  companionctl catalog add ~/Downloads/model.gguf --dir ~/catalog --license Apache-2.0
  companionctl catalog add /usr/local/bin/llama-server --dir ~/catalog --license MIT
  companionctl catalog publish --dir ~/catalog"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Read the passphrase of the keys from this file's first line instead of asking for it
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an empty catalog, its keys sealed with a passphrase
    Init(InitArgs),
    /// Take a model (GGUF) or a runtime (a Linux program) into the next publication
    Add(AddArgs),
    /// Sign what was added: from now on the companion lists it
    Publish {
        #[command(flatten)]
        place: Place,
        /// Days until it expires and must be published anew
        #[arg(long, default_value_t = PUBLISHED_DAYS, value_parser = clap::value_parser!(i64).range(1..=3650))]
        days: i64,
    },
    /// Replace both keys, and sign what is published with the new ones
    Rotate {
        #[command(flatten)]
        place: Place,
    },
    /// Check the signatures, and every file against them
    Verify {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
struct InitArgs {
    /// A directory that is not there yet, or empty
    dir: PathBuf,
    /// Files to add and publish at once
    files: Vec<PathBuf>,
    /// Licence of the models; else what each says of itself
    #[arg(long)]
    license: Option<String>,
    /// Licence of the runtimes; llama.cpp's, unless another is given
    #[arg(long, default_value = "MIT")]
    runtime_license: String,
    /// Write a configuration that uses it to this file, which must not be there
    #[arg(long, value_name = "FILE")]
    configure: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Place {
    /// The catalog
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The file; it is linked or copied into the catalog
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// The name people type; else made from the file's name
    #[arg(long)]
    id: Option<String>,
    /// SPDX expression; else what the model says of itself
    #[arg(long)]
    license: Option<String>,
    /// Version of a runtime; else today's date
    #[arg(long)]
    version: Option<String>,
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
    let executor = tokio::runtime::Builder::new_current_thread().build();
    let outcome = executor.context("no executor").and_then(|it| it.block_on(run(cli)));
    match outcome {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("companionctl catalog: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<String> {
    let passphrase = |repeat: bool| passphrase(cli.passphrase_file.as_ref(), repeat);
    match &cli.command {
        Command::Init(args) => init(args, &passphrase(true)?).await,
        Command::Add(args) => {
            let repository = Repository::open(&args.place.dir)?;
            let mut draft = Draft::read(repository.dir())?;
            let described = Described {
                id: args.id.clone(),
                license: args.license.clone(),
                version: args.version.clone(),
            };
            let id = draft.add(&args.file, described)?;
            draft.write()?;
            Ok(format!("{id} is in the next publication. Next: companionctl catalog publish"))
        }
        Command::Publish { place, days } => {
            let repository = Repository::open(&place.dir)?;
            let draft = Draft::read(repository.dir())?;
            let version = repository.publish(&draft, &passphrase(false)?, *days).await?;
            Ok(format!("Version {version} is published: {} entries, for {days} days.", draft.len()))
        }
        Command::Rotate { place } => {
            let repository = Repository::open(&place.dir)?;
            let version = repository.rotate(&passphrase(false)?).await?;
            Ok(format!(
                "Both keys are replaced, by root {version}. Next: companionctl catalog publish"
            ))
        }
        Command::Verify { place } => Repository::open(&place.dir)?.verify().await,
    }
}

async fn init(args: &InitArgs, passphrase: &str) -> Result<String> {
    if let Some(file) = &args.configure {
        ensure!(!file.exists(), "{} is there already", file.display());
    }
    let repository = Repository::create(&args.dir, passphrase).await?;
    let mut draft = Draft::read(repository.dir())?;
    let mut added = Vec::new();
    for file in &args.files {
        let license = match entry::is_program(file)? {
            true => Some(args.runtime_license.clone()),
            false => args.license.clone(),
        };
        added.push(draft.add(file, Described { id: None, license, version: None })?);
    }
    draft.write()?;
    if !added.is_empty() {
        repository.publish(&draft, passphrase, PUBLISHED_DAYS).await?;
    }
    let configuration = repository.configuration()?;
    let Some(file) = &args.configure else {
        return Ok(format!("The catalog is made. In the configuration:\n\n{configuration}"));
    };
    repository::write_configuration(file, &configuration)?;
    Ok(format!(
        "The catalog lists {} and is good for {PUBLISHED_DAYS} days. {} is written.\n\
         Next: companion up, and in another terminal companionctl start ID --pull",
        added.join(", "),
        file.display()
    ))
}

/// From the file, else asked for on the terminal, which does not show it.
fn passphrase(file: Option<&PathBuf>, repeat: bool) -> Result<Zeroizing<String>> {
    let given = match file {
        Some(file) => {
            let text = Zeroizing::new(
                std::fs::read_to_string(file).context("the passphrase file cannot be read")?,
            );
            Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
        }
        None => ask("Passphrase of the catalog's keys: ")?,
    };
    if repeat && given.chars().count() < SHORTEST_PASSPHRASE {
        bail!("a passphrase has at least {SHORTEST_PASSPHRASE} characters");
    }
    if repeat && file.is_none() && *given != *ask("The same again: ")? {
        bail!("the two passphrases differ");
    }
    Ok(given)
}

fn ask(prompt: &str) -> Result<Zeroizing<String>> {
    let given = rpassword::prompt_password(prompt);
    given.map(Zeroizing::new).context("no terminal to ask for the passphrase: --passphrase-file")
}
