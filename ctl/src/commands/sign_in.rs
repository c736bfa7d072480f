//! `companionctl sign-in`: the broker makes the attempt, this program opens the browser.

use std::process::ExitCode;

use authority_api::v1::{SignInRequest, sign_in_event};
use clap::Args;
use serde_json::json;
use url::Url;
use webbrowser::{Browser, BrowserOptions};

use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};
use crate::terminal::{Paint, plain};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  companionctl sign-in
  companionctl sign-in --no-browser    print the address only, for example over SSH

The address is always printed. The browser must reach this computer's loopback: over SSH the
forwarding that makes it so is printed too.")]
pub(crate) struct SignInArgs {
    /// Print the address and open nothing
    #[arg(long)]
    no_browser: bool,
}

pub(crate) async fn run(
    args: &SignInArgs,
    context: &Context,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let mut broker = context.broker();
    let call = broker.sign_in(SignInRequest {});
    // Dropping the stream, by Ctrl-C too, cancels the attempt.
    let mut events = context.ask(Process::Broker, limits::NETWORK, call).await?;
    while let Some(event) = context.next(Process::Broker, &mut events).await? {
        match event.event {
            Some(sign_in_event::Event::Authorize(authorize)) => {
                let url = checked(&authorize.url)?;
                out.event("authorize", json!({ "url": url.as_str() }))?;
                show(&url, out)?;
                if !args.no_browser {
                    open_browser(&url);
                }
            }
            Some(sign_in_event::Event::SignedIn(_)) => {
                out.event("signed_in", json!({}))?;
                out.say(&out.style().paint(Paint::Good, "Signed in."))?;
                return Ok(ExitCode::SUCCESS);
            }
            Some(sign_in_event::Event::Failed(failed)) => {
                return Err(Refusal::told(&failed.reason).into());
            }
            None => {}
        }
    }
    Err(Refusal::new("unexpected_answer").into())
}

/// The browser's opener runs whatever handles a scheme: only https is given to it.
pub(super) fn checked(url: &str) -> Result<Url, Refusal> {
    Url::parse(url)
        .ok()
        .filter(|url| url.scheme() == "https" && url.has_host())
        .ok_or_else(|| Refusal::new("authorization_url_refused"))
}

fn show(url: &Url, out: &Output) -> Result<(), Failure> {
    out.say("To sign in, open this address in a browser:\n")?;
    out.say(&format!("  {}\n", plain(url.as_str())))?;
    let over_ssh = std::env::var_os("SSH_CONNECTION").is_some();
    if let Some(port) = redirect_port(url).filter(|_| over_ssh) {
        out.remark(&format!(
            "Over SSH, first run this on the computer with the browser:\n  \
             ssh -N -L {port}:127.0.0.1:{port} THIS_HOST\n"
        ));
    }
    out.remark("Waiting for the browser. Ctrl-C cancels.");
    Ok(())
}

/// The port of the loopback redirect URI, which the browser must reach.
fn redirect_port(url: &Url) -> Option<u16> {
    let (_, redirect) = url.query_pairs().find(|(name, _)| name == "redirect_uri")?;
    Url::parse(&redirect).ok()?.port()
}

/// Opens the system browser beside the waiting: some openers return only when the browser ends.
pub(super) fn open_browser(url: &Url) {
    let url = url.to_string();
    std::thread::spawn(move || {
        let mut options = BrowserOptions::new();
        options.with_suppress_output(true);
        // It says yes on machines without a browser too: the address was printed.
        let _opened = webbrowser::open_browser_with_options(Browser::Default, &url, &options);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_https_address_reaches_the_browser() {
        assert!(checked("https://gateway.example.com/authorize?state=x").is_ok());
        for bad in [
            "http://gateway.example.com/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "--help",
            "https:",
            "",
        ] {
            let refusal = checked(bad).expect_err("refused");
            assert_eq!(refusal.reason(), "authorization_url_refused", "{bad}");
        }
    }

    #[test]
    fn the_port_to_forward_is_the_redirect_uris() {
        let url = checked(
            "https://g.example/a?client_id=x&redirect_uri=http%3A%2F%2F127.0.0.1%3A43217%2Fcb",
        );
        assert_eq!(redirect_port(&url.expect("url")), Some(43217));
        assert_eq!(redirect_port(&checked("https://g.example/a").expect("url")), None);
    }
}
