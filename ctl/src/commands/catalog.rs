//! `companionctl catalog …` and `companionctl init`: both run `companion-catalog`, which lies
//! beside this program. The library of catalogs is not linked here.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, ValueHint};

use crate::refusal::{Failure, Refusal};

#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "Example:\n  companionctl catalog --help\n  companionctl catalog verify --dir ~/catalog"
)]
pub(crate) struct CatalogArgs {
    /// init, add, publish, rotate or verify, with its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub(crate) arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  companionctl init --own-models ~/Downloads/model.gguf --runtime /usr/local/bin/llama-server
  companionctl init --own-models model.gguf --license Apache-2.0 --passphrase-file pass.txt

It makes a catalog that you sign, lists the files in it, and writes the configuration. The keys are
sealed with a passphrase that is asked for.")]
pub(crate) struct InitArgs {
    /// Models of your own, as GGUF files
    #[arg(long, required = true, num_args = 1.., value_name = "FILE", value_hint = ValueHint::FilePath)]
    own_models: Vec<PathBuf>,
    /// The `llama-server` that runs them; else the one on the search path
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    runtime: Option<PathBuf>,
    /// Licence of the models; else what each says of itself
    #[arg(long)]
    license: Option<OsString>,
    /// Where the catalog is made; else companion-catalog in the data directory of the user
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    catalog_dir: Option<PathBuf>,
    /// Read the passphrase from this file's first line instead of asking for it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,
}

pub(crate) fn run(args: &CatalogArgs) -> Result<ExitCode, Failure> {
    become_signer(&args.arguments)
}

/// `config`: where the configuration is written, as `--config` says.
pub(crate) fn init(args: &InitArgs, config: Option<&PathBuf>) -> Result<ExitCode, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let config = config.cloned().or_else(|| companion_settings::default_path(&env));
    let dir = args.catalog_dir.clone().or_else(default_directory);
    let (Some(config), Some(dir)) = (config, dir) else {
        return Err(Refusal::new("no_home").into());
    };
    let runtime = args.runtime.clone().or_else(on_the_search_path);
    let runtime = runtime.ok_or_else(|| Refusal::new("runtime_not_found"))?;
    let mut arguments: Vec<OsString> = vec!["init".into(), dir.into()];
    arguments.extend(args.own_models.iter().map(OsString::from));
    arguments.push(runtime.into());
    arguments.extend(["--configure".into(), config.into()]);
    if let Some(license) = &args.license {
        arguments.extend(["--license".into(), license.clone()]);
    }
    if let Some(file) = &args.passphrase_file {
        arguments.extend(["--passphrase-file".into(), file.into()]);
    }
    become_signer(&arguments)
}

fn default_directory() -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|dir| dir.join("companion-catalog"))
}

fn on_the_search_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("llama-server")).find(|file| file.is_file())
}

fn become_signer(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let own = std::env::current_exe().map_err(|_| Refusal::new("internal"))?;
    // Returns only when the program could not be started.
    let error = Command::new(own.with_file_name("companion-catalog")).args(arguments).exec();
    Err(Refusal::new("program_not_started").with_detail(&error.to_string()).into())
}
