//! `companionctl ui`: a page for people who do not live in terminals, served by this program on a
//! guarded listener of its own for as long as it runs. The endpoint's own guard stays as it is.

mod api;
mod guard;
mod keys;
mod listener;
mod page;
mod peer;
mod respond;
mod server;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use url::Url;

use self::server::Site;
use super::sign_in::open_browser;
use crate::context::Context;
use crate::output::Output;
use crate::refusal::{Failure, Refusal};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  companionctl ui
  companionctl ui --no-browser    print the address only

The address opens the page once, within a minute, for this user alone. Enter makes another one;
Ctrl-C closes the page's port.")]
pub(crate) struct UiArgs {
    /// Print the address and open nothing
    #[arg(long)]
    no_browser: bool,
}

pub(crate) async fn run(
    args: &UiArgs,
    context: Arc<Context>,
    out: &Output,
) -> Result<ExitCode, Failure> {
    if !context.is_running().await {
        return Err(Refusal::new("companion_not_running").into());
    }
    let (listener, bound) = listener::bind().map_err(|_| Refusal::new("page_not_served"))?;
    let site = Arc::new(Site::new(context, bound));
    let person = async {
        open(&site, args, out)?;
        out.remark("Enter makes another address, Ctrl-C ends it.");
        again_at_each_enter(&site, args, out).await
    };
    tokio::select! {
        () = server::serve(listener, Arc::clone(&site)) => {}
        outcome = person => outcome?,
        _ = tokio::signal::ctrl_c() => {}
    }
    out.say("The page is closed.")?;
    Ok(ExitCode::SUCCESS)
}

/// Gives out an address, and opens the system browser with it.
fn open(site: &Site, args: &UiArgs, out: &Output) -> Result<(), Failure> {
    let address = site.address()?;
    out.event("serving", json!({ "url": address }))?;
    out.say("The companion's page, good once and for a minute:\n")?;
    out.say(&format!("  {address}\n"))?;
    let over_ssh = std::env::var_os("SSH_CONNECTION").is_some();
    if over_ssh {
        let port = site.bound.port();
        out.remark(&format!(
            "Over SSH, first run this on the computer with the browser:\n  \
             ssh -N -L {port}:127.0.0.1:{port} THIS_HOST\n"
        ));
    }
    if !args.no_browser {
        let url = Url::parse(&address).map_err(|_| Refusal::new("internal"))?;
        open_browser(&url);
    }
    Ok(())
}

/// A page that was reloaded or opened too late needs another address. Without a person at a
/// terminal there is nobody to ask for one.
async fn again_at_each_enter(site: &Site, args: &UiArgs, out: &Output) -> Result<(), Failure> {
    if std::io::stdin().is_terminal() {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(_)) = lines.next_line().await {
            open(site, args, out)?;
        }
    }
    std::future::pending().await
}
