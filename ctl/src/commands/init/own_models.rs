//! Models of one's own: a catalog of them that is signed here, by `companion-catalog`, which lies
//! beside this program. It asks for the passphrase itself.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args, ValueHint};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ask::{Asker, given_or_asked, path};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};
use crate::terminal::plain;

#[derive(Debug, Args)]
#[group(id = "own")]
pub(crate) struct OwnModelsArgs {
    /// Models of your own, as GGUF files
    #[arg(long, num_args = 1.., value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) own_models: Vec<PathBuf>,
    /// The `llama-server` that runs them; else the one on the search path
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    runtime: Option<PathBuf>,
    /// Licence of the models; else what each says of itself
    #[arg(long, value_name = "SPDX")]
    license: Option<String>,
    /// Where the catalog is made; else companion-catalog in the data directory of the user
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    catalog_dir: Option<PathBuf>,
    /// Read the passphrase from this file's first line instead of asking for it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,
}

/// What is needed of it at least.
pub(super) const ALL: &str = "--own-models FILE";

impl OwnModelsArgs {
    /// Whether any of them is given.
    pub(super) fn is_any(&self) -> bool {
        !self.own_models.is_empty()
            || self.license.is_some()
            || [&self.runtime, &self.catalog_dir, &self.passphrase_file]
                .iter()
                .any(|it| it.is_some())
    }
}

/// What was settled of it.
#[derive(Debug)]
pub(super) struct OwnModels {
    models: Vec<PathBuf>,
    runtime: Option<PathBuf>,
    license: Option<String>,
    dir: PathBuf,
    passphrase_file: Option<PathBuf>,
}

/// The catalog that was made.
#[derive(Debug, Deserialize)]
pub(super) struct Made {
    pub(super) catalog: PathBuf,
    pub(super) added: Vec<String>,
    pub(super) days: u64,
    pub(super) configuration: String,
}

/// The flags that are needed and not there, where nobody can be asked on this terminal.
pub(super) fn missing(args: &OwnModelsArgs) -> Vec<&'static str> {
    // The signer asks for the passphrase on the terminal itself, whatever standard input is.
    let can_ask = std::fs::File::open("/dev/tty").is_ok();
    [
        ("--own-models FILE", !args.own_models.is_empty()),
        ("--passphrase-file FILE", args.passphrase_file.is_some() || can_ask),
    ]
    .into_iter()
    .filter_map(|(flag, given)| (!given).then_some(flag))
    .collect()
}

/// Takes what the flags give and what can be found, and asks for the rest.
pub(super) fn settle(
    args: &OwnModelsArgs,
    asker: &mut Option<Asker>,
    out: &Output,
) -> Result<OwnModels, Failure> {
    let dir = args.catalog_dir.clone().or_else(default_directory);
    let dir = dir.ok_or_else(|| Refusal::new("no_home"))?;
    if std::fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Refusal::new("catalog_exists").with_detail(&dir.display().to_string()).into());
    }
    // With flags, what can be found is taken; without, it is offered.
    let offers = args.own_models.is_empty();
    let given = (!offers).then(|| args.own_models.clone());
    let models = given_or_asked(given, asker, "Model (GGUF file, Tab completes)", "", |typed| {
        regular_file(typed).map(|file| vec![file])
    })?;
    let license = match (&args.license, asker.as_mut()) {
        (None, Some(asker)) => ask_license(&models, offers, asker, out)?,
        (given, _) => given.clone(),
    };
    let found = on_the_search_path();
    let runtime = match (&args.runtime, found, asker.as_mut()) {
        (Some(given), ..) => Some(given.clone()),
        (None, Some(found), _) if !offers => Some(found),
        (None, found, Some(asker)) => ask_runtime(found, asker, out)?,
        (None, _, None) => return Err(Refusal::new("runtime_not_found").into()),
    };
    Ok(OwnModels { models, runtime, license, dir, passphrase_file: args.passphrase_file.clone() })
}

/// Shows what the models say of themselves; `None` when each names its licence and that is to be
/// taken.
fn ask_license(
    models: &[PathBuf],
    offers: bool,
    asker: &mut Asker,
    out: &Output,
) -> Result<Option<String>, Failure> {
    let mut named = Vec::new();
    for model in models {
        let facts = facts(model)?;
        out.remark(&format!("  {}", facts.for_people()));
        named.push(facts.license.map(|license| plain(&license)));
    }
    if !offers && named.iter().all(Option::is_some) {
        return Ok(None);
    }
    let default = named.into_iter().flatten().next().unwrap_or_default();
    let license = asker.ask("Its licence", &default, |typed| match typed {
        "" => Err("A name such as Apache-2.0: the page where you downloaded it has it.".to_owned()),
        typed => Ok(typed.to_owned()),
    })?;
    Ok(Some(license))
}

/// Without one nothing can run, but it may be added later.
fn ask_runtime(
    found: Option<PathBuf>,
    asker: &mut Asker,
    out: &Output,
) -> Result<Option<PathBuf>, Failure> {
    let default = found.map(|path| path.display().to_string()).unwrap_or_default();
    let runtime = asker.ask("Its llama-server", &default, |typed| match typed {
        "" => Ok(None),
        typed => regular_file(typed).map(Some),
    })?;
    if runtime.is_none() {
        out.remark("  Nothing can run without one. Add it later: companionctl catalog add FILE.");
    }
    Ok(runtime)
}

fn regular_file(typed: &str) -> Result<PathBuf, String> {
    let path = path(typed);
    if path.is_file() { Ok(path) } else { Err("There is no such file.".to_owned()) }
}

/// What a model says of itself.
#[derive(Debug, Deserialize)]
struct Facts {
    architecture: Option<String>,
    context_length: Option<u64>,
    quantization: Option<String>,
    license: Option<String>,
}

impl Facts {
    fn for_people(&self) -> String {
        let context = self.context_length.map(|tokens| format!("{tokens} tokens of context"));
        let texts = [self.architecture.clone(), self.quantization.clone(), context];
        plain(&texts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

fn facts(model: &Path) -> Result<Facts, Failure> {
    signer(&[OsString::from("show"), model.into()])
}

impl OwnModels {
    /// Makes the catalog, with the models and the runtime in it.
    pub(super) fn make(&self) -> Result<Made, Failure> {
        let mut arguments: Vec<OsString> = vec!["init".into(), (&self.dir).into()];
        arguments.extend(self.models.iter().chain(&self.runtime).map(OsString::from));
        if let Some(license) = &self.license {
            arguments.extend(["--license".into(), license.into()]);
        }
        if let Some(file) = &self.passphrase_file {
            arguments.extend(["--passphrase-file".into(), file.into()]);
        }
        signer(&arguments)
    }
}

/// Runs the signer, and takes what it says; its questions are on the terminal.
fn signer<T: DeserializeOwned>(arguments: &[OsString]) -> Result<T, Failure> {
    let own = std::env::current_exe().map_err(|_| Refusal::new("internal"))?;
    let ran = Command::new(own.with_file_name("companion-catalog"))
        .arg("--json")
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Refusal::new("program_not_started").with_detail(&error.to_string()))?;
    let said: Value = serde_json::from_slice(&ran.stdout).unwrap_or_default();
    if ran.status.success() {
        return serde_json::from_value(said).map_err(|_| Refusal::new("internal").into());
    }
    let told = |field: &str| said["error"][field].as_str();
    Err(match (told("reason"), told("message")) {
        (Some(reason), Some(message)) => Refusal::said(reason, message).into(),
        // Ctrl-C at its question.
        _ if ran.status.signal().is_some() => Refusal::new("set_up_given_up").into(),
        _ => Refusal::new("unexpected_answer").into(),
    })
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
