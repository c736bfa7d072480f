//! `companionctl chat [PROMPT]`: one answer, or a conversation.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _};
use runtime_api::v1::GetStatusRequest;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

use crate::cli::Cli;
use crate::context::{Context, Process, limits};
use crate::endpoint::{Access, Delta, Http, Message, Request, Role, Usage, stream};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};
use crate::terminal::plain;

/// Most that is read from standard input, in bytes.
const MAX_INPUT_BYTES: u64 = 8 * 1024 * 1024;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  companionctl chat \"Explain tides in two sentences\"
  companionctl chat --system \"Answer in German\" \"What is a sluice?\"
  git diff | companionctl chat \"Write a commit message for this\"
  companionctl chat                      a conversation; Ctrl-D ends it

What is piped in is appended to the prompt.")]
pub(crate) struct ChatArgs {
    /// What to ask; without it, on a terminal, a conversation begins
    #[arg(value_name = "PROMPT")]
    prompt: Vec<String>,
    /// Model to name in the request; else the running one
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// Instruction that stands before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// How far answers may wander, 0 to 2
    #[arg(long, value_name = "T", value_parser = temperature)]
    temperature: Option<f64>,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=2.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 2".to_owned()),
    }
}

pub(crate) async fn run(
    args: &ChatArgs,
    context: &Context,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let on_terminal = std::io::stdin().is_terminal();
    let piped = if on_terminal { String::new() } else { read_input()? };
    let prompt = joined(&args.prompt.join(" "), &piped);
    if prompt.is_empty() && (!on_terminal || out.is_json()) {
        return Ok(usage("chat needs a PROMPT, or text on standard input"));
    }
    let http = Http::new(Access::ask_available(context).await?);
    let mut conversation = Conversation::new(args, running_model(context).await);
    if prompt.is_empty() {
        return talk(&mut conversation, &http, out).await;
    }
    let answer = conversation.ask(prompt, &http, out).await?;
    out.event("done", answer.as_json(&conversation.model))?;
    Ok(ExitCode::SUCCESS)
}

/// Prompt and piped text, a blank line between them.
fn joined(prompt: &str, piped: &str) -> String {
    let parts = [prompt.trim(), piped.trim()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn read_input() -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|_| Refusal::new("input_unreadable"))?;
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        return Err(Refusal::new("input_too_large"));
    }
    String::from_utf8(bytes).map_err(|_| Refusal::new("input_not_text"))
}

fn usage(text: &str) -> ExitCode {
    let error = Cli::command().error(ErrorKind::MissingRequiredArgument, text);
    // When standard error is closed the exit code still tells.
    let _unread = error.print();
    ExitCode::from(2)
}

/// The running model's id; empty, and so left to the runtime, when it is not known.
async fn running_model(context: &Context) -> String {
    let mut supervisor = context.supervisor();
    let call = supervisor.get_status(GetStatusRequest {});
    let facts = context.ask(Process::Supervisor, limits::FACTS, call).await;
    facts.map(|facts| facts.model_id).unwrap_or_default()
}

/// What was said so far, and how to ask on.
struct Conversation {
    model: String,
    messages: Vec<Message>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
}

#[derive(Debug, Default)]
struct Answer {
    text: String,
    finish_reason: Option<String>,
    usage: Option<Usage>,
}

impl Answer {
    fn as_json(&self, model: &str) -> serde_json::Value {
        json!({ "finish_reason": self.finish_reason, "model": model, "usage": self.usage })
    }
}

impl Conversation {
    fn new(args: &ChatArgs, running: String) -> Self {
        let system = args.system.iter().map(|text| Message::new(Role::System, text.clone()));
        Self {
            model: args.model.clone().unwrap_or(running),
            messages: system.collect(),
            max_tokens: args.max_tokens,
            temperature: args.temperature,
        }
    }

    fn forget(&mut self) {
        self.messages.retain(|message| message.role == Role::System);
    }

    /// Asks, prints the answer as it comes, and remembers both.
    async fn ask(&mut self, prompt: String, http: &Http, out: &Output) -> Result<Answer, Failure> {
        self.messages.push(Message::new(Role::User, prompt));
        let request = Request {
            model: self.model.clone(),
            messages: self.messages.clone(),
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            ..Request::default()
        };
        let mut deltas = stream(http, &request).await?;
        let mut answer = Answer::default();
        while let Some(delta) = deltas.next().await? {
            match delta {
                Delta::Text(text) => {
                    out.event("delta", json!({ "text": text }))?;
                    if !out.is_json() {
                        out.piece(&plain(&text))?;
                    }
                    answer.text.push_str(&text);
                }
                Delta::Finished(reason) => answer.finish_reason = Some(reason),
                Delta::Used(usage) => answer.usage = Some(usage),
            }
        }
        out.say("")?;
        if answer.finish_reason.as_deref() == Some("length") {
            out.remark("(cut at the limit of tokens)");
        }
        self.messages.push(Message::new(Role::Assistant, answer.text.clone()));
        Ok(answer)
    }
}

/// A conversation on the terminal, until Ctrl-D or `/exit`. Ctrl-C stops an answer.
async fn talk(
    conversation: &mut Conversation,
    http: &Http,
    out: &Output,
) -> Result<ExitCode, Failure> {
    out.remark("Ctrl-C stops an answer, /new forgets the conversation, Ctrl-D ends it.");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = next_line(&mut lines).await? {
        let said = conversation.messages.len();
        match line.trim() {
            "" => continue,
            "/exit" | "/quit" => break,
            "/new" => {
                conversation.forget();
                continue;
            }
            _ => {}
        }
        let outcome = tokio::select! {
            outcome = conversation.ask(line, http, out) => Some(outcome),
            _ = tokio::signal::ctrl_c() => None,
        };
        match outcome {
            Some(Ok(_)) => continue,
            Some(Err(Failure::Refused(refusal))) => out.complain(&refusal.message()),
            Some(Err(closed @ Failure::OutputClosed)) => return Err(closed),
            None => out.say("")?,
        }
        // A question without an answer is not part of the conversation.
        conversation.messages.truncate(said);
    }
    Ok(ExitCode::SUCCESS)
}

/// The next line a person types; `None` at Ctrl-D and Ctrl-C.
async fn next_line(lines: &mut Lines<BufReader<Stdin>>) -> Result<Option<String>, Failure> {
    let mut prompt = std::io::stdout().lock();
    prompt.write_all(b"> ")?;
    prompt.flush()?;
    drop(prompt);
    tokio::select! {
        line = lines.next_line() => Ok(line.map_err(|_| Refusal::new("input_unreadable"))?),
        _ = tokio::signal::ctrl_c() => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piped_text_is_appended_to_the_prompt() {
        assert_eq!(joined("Summarise:", "a\nb\n"), "Summarise:\n\na\nb");
        assert_eq!(joined("", "piped"), "piped");
        assert_eq!(joined(" ask ", ""), "ask");
        assert_eq!(joined("", "\n"), "");
    }

    #[test]
    fn a_temperature_lies_between_zero_and_two() {
        assert_eq!(temperature("0.7"), Ok(0.7));
        for bad in ["-0.1", "2.1", "NaN", "inf", "warm", ""] {
            assert!(temperature(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_end_of_an_answer_has_stable_field_names() {
        let answer = Answer {
            text: String::new(),
            finish_reason: Some("stop".to_owned()),
            usage: Some(Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }),
        };
        assert_eq!(
            answer.as_json("m"),
            json!({ "finish_reason": "stop", "model": "m",
                "usage": { "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3 } })
        );
    }

    #[test]
    fn forgetting_keeps_the_instruction() {
        let mut conversation = Conversation {
            model: String::new(),
            messages: vec![Message::new(Role::System, "s"), Message::new(Role::User, "u")],
            max_tokens: None,
            temperature: None,
        };
        conversation.forget();
        assert_eq!(conversation.messages, [Message::new(Role::System, "s")]);
    }
}
