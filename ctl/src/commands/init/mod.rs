//! `companionctl init`: the first run. Settles with a person, or from flags, where models come
//! from, writes the configuration, looks whether all is well, and says what to type next.

mod ask;
mod configuration;
mod gateway;
mod own_models;

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use self::ask::{Asker, given_or_asked};
use self::gateway::{Gateway, GatewayArgs};
use self::own_models::{Made, OwnModelsArgs};
use super::doctor::Report;
use crate::cli::{Global, usage};
use crate::context::Context;
use crate::output::Output;
use crate::refusal::{Failure, Refusal};
use crate::terminal::plain;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  companionctl init                          asks on the terminal
  companionctl init --own-models ~/Downloads/model.gguf --license Apache-2.0
  companionctl init --own-models model.gguf --runtime ./llama-server --passphrase-file pass.txt
  companionctl init --gateway https://gateway.example.com/api/v1/auth/native \\
    --catalog-url https://gateway.example.com/companion/catalog/ \\
    --trust-root root.json --model-hosts models.example.com

Models of your own come from a catalog that you sign: init makes one, its keys sealed with a
passphrase that is asked for. What no flag says is asked on the terminal; without one, the flags
that are missing are named. `companion init` is the same.")]
pub(crate) struct InitArgs {
    /// Replace the configuration that is there; it is kept beside the new one as NAME.old
    #[arg(long)]
    replace: bool,
    #[command(flatten, next_help_heading = "Models of your own")]
    own: OwnModelsArgs,
    #[command(flatten, next_help_heading = "An account at a gateway")]
    account: GatewayArgs,
}

/// Where models come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Account,
    Own,
}

const CHOICE: &str = "
Where do models come from?
  1  an account at a gateway: you sign in, and choose from its signed catalog
  2  files of your own: GGUF models here, in a catalog that you sign yourself
";

pub(crate) async fn run(
    args: &InitArgs,
    global: &Global,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let config = global.config.clone().or_else(|| companion_settings::default_path(&env));
    let config = config.ok_or_else(|| Refusal::new("no_home"))?;
    let mut asker = Asker::on_a_terminal(out);
    match (&asker, args.missing()) {
        (None, Some(missing)) => return Ok(usage(&missing)),
        (None, None) => {}
        (Some(_), _) => {
            out.remark("Enter takes what stands in [brackets]; Ctrl-C leaves everything as it is.")
        }
    }
    let may_replace = args.replace || may_replace(&config, &mut asker, out)?;
    let made = match args.from(&mut asker, out)? {
        From::Account => {
            let account = gateway::settle(&args.account, &mut asker)?;
            write_account(&account, &config, may_replace)?;
            None
        }
        From::Own => {
            let made = own_models::settle(&args.own, &mut asker, out)?.make()?;
            write(&config, &made.configuration, may_replace)?;
            Some(made)
        }
    };
    let report = Report::before_the_start(Context::load(global).as_ref()).await;
    tell(made.as_ref(), &config, global, &report, out)?;
    Ok(ExitCode::SUCCESS)
}

impl InitArgs {
    /// What the flags say of where models come from.
    fn named(&self) -> Option<From> {
        match (self.own.is_any(), self.account.is_any()) {
            (true, _) => Some(From::Own),
            (_, true) => Some(From::Account),
            (false, false) => None,
        }
    }

    /// Which flags nobody can be asked for; `None` when all is there.
    fn missing(&self) -> Option<String> {
        let flags = match self.named() {
            None => {
                let (own, account) = (own_models::ALL, gateway::ALL);
                return Some(format!("init asks on a terminal; here it needs {own}, or {account}"));
            }
            Some(From::Own) => own_models::missing(&self.own),
            Some(From::Account) => gateway::missing(&self.account),
        };
        (!flags.is_empty()).then(|| format!("without a terminal init needs {}", flags.join(", ")))
    }

    fn from(&self, asker: &mut Option<Asker>, out: &Output) -> Result<From, Refusal> {
        if self.named().is_none() {
            out.remark(CHOICE);
        }
        given_or_asked(self.named(), asker, "1 or 2", "", |typed| match typed {
            "1" => Ok(From::Account),
            "2" => Ok(From::Own),
            _ => Err("Please type 1 or 2.".to_owned()),
        })
    }
}

/// Whether the configuration that is there gives way to a new one; false when there is none.
fn may_replace(config: &Path, asker: &mut Option<Asker>, out: &Output) -> Result<bool, Refusal> {
    if !config.exists() {
        return Ok(false);
    }
    if asker.is_some() {
        out.remark(&format!("{} is there already.", short(config)));
    }
    let question = "Replace it, and keep the old one beside it?";
    let agreed = asker.as_mut().map_or(Ok(false), |asker| asker.is_agreed(question))?;
    if agreed { Ok(true) } else { Err(configuration::exists(config)) }
}

/// The pinned root lies beside the configuration: the one that was named may go away.
fn write_account(account: &Gateway, config: &Path, may_replace: bool) -> Result<(), Refusal> {
    let absolute = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let pinned = absolute.with_file_name("root.json");
    let unreadable = |_| Refusal::new("input_unreadable");
    let root = gateway::read_root(&account.trust_root).map_err(unreadable)?;
    configuration::write(&pinned, &root, may_replace)?;
    write(config, &account.configuration(&pinned), may_replace)
}

fn write(config: &Path, text: &str, may_replace: bool) -> Result<(), Refusal> {
    let text = format!("# By companionctl init. docs/operations.md has every key.\n{text}\n");
    configuration::write(config, text.as_bytes(), may_replace)
}

fn tell(
    made: Option<&Made>,
    config: &Path,
    global: &Global,
    report: &Report,
    out: &Output,
) -> Result<(), Failure> {
    let next = next(made, global);
    out.object(&json!({
        "configuration": config, "catalog": made.map(|made| &made.catalog),
        "added": made.map(|made| &made.added), "healthy": report.is_healthy(),
        "checks": report.checks(), "next": next,
    }))?;
    out.say("")?;
    if let Some(made) = made {
        out.say(&format!("Made   {}, good for {} days:", short(&made.catalog), made.days))?;
        out.say(&format!("       {}", plain(&made.added.join(", "))))?;
    }
    out.say(&format!("Wrote  {}\n", short(config)))?;
    report.say_in_short(out)?;
    out.say(&format!("\nNext, in this terminal:\n  {}", next[0]))?;
    out.say(&format!("and in another one:\n  {}", next[1..].join("\n  ")))
}

/// A path as people write it: what lies in their home begins with `~`.
fn short(path: &Path) -> String {
    let home = std::env::var_os("HOME").filter(|home| home.len() > 1);
    match home.and_then(|home| path.strip_prefix(home).ok()) {
        Some(beneath) => format!("~/{}", beneath.display()),
        None => path.display().to_string(),
    }
}

/// What to type next; the first goes on running.
fn next(made: Option<&Made>, global: &Global) -> Vec<String> {
    let config = global.config.as_ref();
    let config = config.map_or_else(String::new, |file| format!(" --config {}", file.display()));
    let mut next = vec![format!("companion up{config}")];
    match made.and_then(|made| made.added.first()) {
        Some(model) => next.push(format!("companionctl{config} start {} --pull", plain(model))),
        None => next.extend(["sign-in", "models"].map(|it| format!("companionctl{config} {it}"))),
    }
    next.push(format!("companionctl{config} chat"));
    next
}
