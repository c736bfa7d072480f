//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Days until a publication expires, unless others are given.
pub(crate) const PUBLISHED_DAYS: i64 = 365;

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
  companionctl catalog add https://models.example.com/m.gguf --dir ~/catalog --license MIT
  companionctl catalog add /usr/local/bin/llama-server --dir ~/catalog --license MIT
  companionctl catalog add llama-b1-bin-ubuntu-x64.tar.gz --dir ~/catalog --license MIT
  companionctl catalog publish --dir ~/catalog"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Read the passphrase of the keys from this file's first line instead of asking for it
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Print one JSON object with stable field names
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an empty catalog, its keys sealed with a passphrase
    Init(InitArgs),
    /// Show what a model, or the archive of a runtime, says of itself
    Show {
        /// The file
        file: PathBuf,
    },
    /// Take a model (GGUF) or a runtime (a Linux program, or a tar.gz of one) into the next publication
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
pub(crate) struct InitArgs {
    /// A directory that is not there yet, or empty
    pub(crate) dir: PathBuf,
    /// Files to add and publish at once
    pub(crate) files: Vec<PathBuf>,
    /// Licence of the models; else what each says of itself
    #[arg(long)]
    pub(crate) license: Option<String>,
    /// Licence of the runtimes; llama.cpp's, unless another is given
    #[arg(long, default_value = "MIT")]
    pub(crate) runtime_license: String,
}

#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The catalog
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

impl Place {
    /// What to type next for the same catalog.
    pub(crate) fn next(&self, verb: &str) -> String {
        match self.dir.to_str() {
            Some(".") => format!("Next: companionctl catalog {verb}"),
            _ => format!("Next: companionctl catalog {verb} --dir {}", self.dir.display()),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// A file, which is linked or copied into the catalog, or an https URL, which is downloaded
    #[arg(value_name = "FILE|URL")]
    pub(crate) source: PathBuf,
    /// One more CA to trust for the download, beside the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// The name people type; else made from the file's name
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// SPDX expression; else what the model says of itself
    #[arg(long)]
    pub(crate) license: Option<String>,
    /// Version of a runtime; else today's date
    #[arg(long)]
    pub(crate) version: Option<String>,
}
