//! `companionctl`: what a person, or a script, says to the companion.
//!
//! A client of three Unix sockets and of the loopback endpoint; it decides nothing that the
//! processes behind them have not decided.

mod cli;
mod commands;
mod context;
mod endpoint;
mod enrich;
mod output;
mod reasons;
#[cfg(test)]
mod reference;
mod refusal;
mod terminal;

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::output::Output;
use crate::refusal::{Failure, Refusal};

fn main() -> ExitCode {
    keep_other_programs_out();
    let cli = Cli::parse();
    let out = Output::new(cli.global.json);
    let failed_as = cli.command.failure_shape();
    match run(cli, &out) {
        Ok(code) => code,
        Err(failure) => out.failed(&failure, failed_as),
    }
}

fn run(cli: Cli, out: &Output) -> Result<ExitCode, Failure> {
    match &cli.command {
        Command::Completions(args) => return commands::completions::run(args, out),
        Command::Man(args) => return commands::man::run(args, out),
        Command::Catalog(args) => return commands::catalog::run(args, out.is_json()),
        Command::Doctor(_) | Command::Init(_) => trust_as_the_processes_do()?,
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|_| Refusal::new("internal"))?;
    let outcome = runtime.block_on(dispatch(cli, out));
    // A browser launcher or a read of the terminal may still hold a thread: do not wait for it.
    runtime.shutdown_background();
    outcome
}

async fn dispatch(cli: Cli, out: &Output) -> Result<ExitCode, Failure> {
    let Cli { global, command } = cli;
    // What comes before a configuration, or judges it.
    match &command {
        Command::Init(args) => return commands::init::run(args, &global, out).await,
        Command::Doctor(_) => {
            return commands::doctor::run(Context::load(&global).as_ref(), out).await;
        }
        _ => {}
    }
    let context = Context::load(&global);
    let shared = Arc::new(context?);
    let context = &*shared;
    match command {
        Command::Status(_) => commands::status::run(context, out).await,
        Command::Top(_) => commands::top::run(context, out).await,
        Command::SignIn(args) => commands::sign_in::run(&args, context, out).await,
        Command::SignOut(_) => commands::sign_out::run(context, out).await,
        Command::Session(_) => commands::session::run(context, out).await,
        Command::Models(args) => commands::models::run(&args, context, out).await,
        Command::Pull(args) => commands::pull::run(&args, context, out).await,
        Command::Start(args) => commands::start::run(&args, context, out).await,
        Command::Stop(_) => commands::stop::run(context, out).await,
        Command::Rm(args) => commands::rm::run(&args, context, out).await,
        Command::Env(_) => commands::env::run(context, out).await,
        Command::Exec(args) => commands::exec::run(&args, context, out).await,
        Command::Chat(args) => commands::chat::run(&args, context, out).await,
        Command::Ui(args) => commands::ui::run(&args, shared, out).await,
        Command::Enrich(args) => commands::enrich::run(&args, context, out).await,
        Command::Capabilities(_) => commands::capabilities::run(context, out).await,
        Command::Lane(args) => commands::lane::run(&args, context, out).await,
        Command::Logs(args) => commands::logs::run(&args, context, out).await,
        Command::Doctor(_) => commands::doctor::run(Ok(context), out).await,
        Command::Catalog(args) => commands::catalog::run(&args, out.is_json()),
        Command::Init(args) => commands::init::run(&args, &global, out).await,
        Command::Completions(args) => commands::completions::run(&args, out),
        Command::Man(args) => commands::man::run(&args, out),
    }
}

/// Becomes itself again without the variables that name other certificates than the system's: the
/// processes, whose way to their hosts is looked at, have no environment.
fn trust_as_the_processes_do() -> Result<(), Refusal> {
    const NAMED: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
    if NAMED.iter().all(|name| std::env::var_os(name).is_none()) {
        return Ok(());
    }
    let own = std::env::current_exe().map_err(|_| Refusal::new("internal"))?;
    let mut again = std::process::Command::new(own);
    again.args(std::env::args_os().skip(1));
    for name in NAMED {
        again.env_remove(name);
    }
    Err(Refusal::new("program_not_started").with_detail(&again.exec().to_string()))
}

/// Makes this process non-dumpable: it may hold the loopback token, so no core file is written
/// of it and no program of the same user reads its memory (prctl(2), PR_SET_DUMPABLE).
fn keep_other_programs_out() {
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        eprintln!("companionctl: this process stays readable to a debugger: {error}");
    }
}
