//! A conversation on the terminal, until Ctrl-D or `/exit`. Ctrl-C stops an answer.

use std::process::ExitCode;

use authority_api::v1::{CatalogEntry, Kind, ListCatalogRequest};

use super::conversation::Conversation;
use super::editor::{Editor, Typed};
use super::said::Said;
use crate::commands::{start, stop};
use crate::context::{Context, Process, limits};
use crate::endpoint::{Access, Http};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};
use crate::terminal::plain;

const HELP: &str = "\
/model [ID]       the models here, or go on with another one
/system [TEXT]    the instruction before the conversation, or another one; `-` takes it away
/new              forget what was said, but not the instruction
/speed            show or hide the tokens a second of each answer
/exit             end it, like Ctrl-D
A line that ends in a backslash goes on in the next; so does text between two \"\"\".";

pub(super) async fn talk(
    conversation: &mut Conversation,
    context: &Context,
    out: &Output,
) -> Result<ExitCode, Failure> {
    out.remark("Ctrl-C stops an answer, /help lists the commands, Ctrl-D ends it.");
    let mut editor = Editor::open()?;
    loop {
        let typed;
        (editor, typed) = editor.read().await?;
        let said = match typed {
            Typed::End => return Ok(ExitCode::SUCCESS),
            Typed::GivenUp => {
                out.remark("Ctrl-D ends the conversation.");
                continue;
            }
            Typed::Text(text) => Said::parse(&text),
        };
        if said == Said::End {
            return Ok(ExitCode::SUCCESS);
        }
        let outcome = tokio::select! {
            outcome = answer(said, conversation, context, out) => outcome,
            // What came of the answer stays said.
            _ = tokio::signal::ctrl_c() => out.say(""),
        };
        match outcome {
            Err(Failure::Refused(refusal)) => out.complain(&refusal.message()),
            closed @ Err(Failure::OutputClosed) => closed?,
            Ok(()) => {}
        }
    }
}

async fn answer(
    said: Said,
    conversation: &mut Conversation,
    context: &Context,
    out: &Output,
) -> Result<(), Failure> {
    match said {
        Said::Question(text) => {
            let http = Http::new(Access::ask_available(context).await?);
            conversation.ask(text, &http, out).await?;
        }
        Said::New => {
            conversation.forget();
            out.remark("Forgotten.");
        }
        Said::Help => out.remark(HELP),
        Said::Speed => {
            conversation.speed = !conversation.speed;
            out.remark(if conversation.speed { "Speed is shown." } else { "Speed is hidden." });
        }
        Said::Model(None) => out.remark(&choice(&models(context).await?)),
        Said::Model(Some(id)) => conversation.model = go_on_with(id, context, out).await?,
        Said::System(None) => out.remark(conversation.instruction().unwrap_or("(none)")),
        Said::System(Some(text)) => {
            conversation.instruct(&text);
            out.remark("The instruction holds from here on.");
        }
        Said::Unknown(word) => out.remark(&format!("{word} is no command; see /help.")),
        Said::Nothing | Said::End => {}
    }
    Ok(())
}

async fn models(context: &Context) -> Result<Vec<CatalogEntry>, Refusal> {
    let mut broker = context.broker();
    let call = broker.list_catalog(ListCatalogRequest {});
    let mut entries = context.ask(Process::Broker, limits::NETWORK, call).await?.entries;
    entries.retain(|entry| entry.kind() == Kind::Model);
    Ok(entries)
}

fn choice(models: &[CatalogEntry]) -> String {
    let line = |entry: &CatalogEntry| {
        let state = match (entry.running, entry.provisioned) {
            (true, _) => "running",
            (false, true) => "in the store",
            (false, false) => "not pulled",
        };
        format!("{}  {state}", plain(&entry.id))
    };
    models.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Stops the running model and starts another, once it is clear that it can be.
async fn go_on_with(id: String, context: &Context, out: &Output) -> Result<String, Failure> {
    let models = models(context).await?;
    let wanted = models.iter().find(|entry| entry.id == id);
    let wanted = wanted.ok_or_else(|| Refusal::new("unknown_artifact"))?;
    if !wanted.provisioned {
        return Err(Refusal::new("not_provisioned").into());
    }
    if !wanted.running {
        stop::stop(context).await?;
        start::bring_up(&id, context, out).await?;
    }
    out.remark(&format!("{} answers from here on.", plain(&id)));
    Ok(id)
}
