//! What was said so far, and one question more.

use serde_json::{Value, json};

use super::ChatArgs;
use super::speed::Speed;
use crate::endpoint::{Delta, Http, Message, Request, Role, Usage, stream};
use crate::output::Output;
use crate::refusal::Failure;
use crate::terminal::plain;

/// What was said so far, and how to ask on.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) model: String,
    /// Whether the speed of each answer is shown.
    pub(super) speed: bool,
    messages: Vec<Message>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
}

/// One answer, as far as it came.
#[derive(Debug)]
pub(super) struct Answer {
    finish_reason: Option<String>,
    usage: Option<Usage>,
    speed: Speed,
}

impl Conversation {
    pub(super) fn new(args: &ChatArgs, running: String) -> Self {
        let mut conversation = Self {
            model: args.model.clone().unwrap_or(running),
            speed: args.speed,
            messages: Vec::new(),
            max_tokens: args.max_tokens,
            temperature: args.temperature,
        };
        conversation.instruct(args.system.as_deref().unwrap_or_default());
        conversation
    }

    pub(super) fn forget(&mut self) {
        self.messages.retain(|message| message.role == Role::System);
    }

    /// Sets the instruction that stands before the conversation; an empty one takes it away.
    pub(super) fn instruct(&mut self, instruction: &str) {
        self.messages.retain(|message| message.role != Role::System);
        if !instruction.is_empty() {
            self.messages.insert(0, Message::new(Role::System, instruction));
        }
    }

    pub(super) fn instruction(&self) -> Option<&str> {
        let first = self.messages.first().filter(|message| message.role == Role::System);
        first.map(|message| message.content.as_str())
    }

    /// Adds a question. One that was stopped before any answer came is asked together with it:
    /// the templates of many models refuse two questions in a row.
    fn question(&mut self, text: String) {
        match self.messages.last_mut().filter(|message| message.role == Role::User) {
            Some(unanswered) => {
                unanswered.content.push_str("\n\n");
                unanswered.content.push_str(&text);
            }
            None => self.messages.push(Message::new(Role::User, text)),
        }
    }

    /// Asks, prints the answer as it comes, and remembers both: also what came of an answer when
    /// this future is dropped in the middle of it.
    ///
    /// # Errors
    /// The endpoint's reason; the conversation is then as it was before.
    pub(super) async fn ask(
        &mut self,
        prompt: String,
        http: &Http,
        out: &Output,
    ) -> Result<Answer, Failure> {
        let before = self.messages.clone();
        self.question(prompt);
        let request = Request {
            model: self.model.clone(),
            messages: self.messages.clone(),
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            ..Request::default()
        };
        let outcome = self.hear(&request, http, out).await;
        if outcome.is_err() {
            self.messages = before;
        }
        outcome
    }

    async fn hear(
        &mut self,
        request: &Request,
        http: &Http,
        out: &Output,
    ) -> Result<Answer, Failure> {
        let mut answer = Answer::begin();
        let mut deltas = stream(http, request).await?;
        while let Some(delta) = deltas.next().await? {
            match delta {
                Delta::Text(text) => {
                    out.event("delta", json!({ "text": text }))?;
                    if !out.is_json() {
                        out.piece(&plain(&text))?;
                    }
                    answer.speed.text_came();
                    self.remember(&text);
                }
                Delta::Finished(reason) => answer.finish_reason = Some(reason),
                Delta::Used(usage) => answer.usage = Some(usage),
            }
        }
        out.say("")?;
        if answer.finish_reason.as_deref() == Some("length") {
            out.remark("(cut at the limit of tokens)");
        }
        if self.speed {
            out.remark(&answer.speed.for_people(answer.tokens()));
        }
        Ok(answer)
    }

    fn remember(&mut self, text: &str) {
        match self.messages.last_mut().filter(|message| message.role == Role::Assistant) {
            Some(answer) => answer.content.push_str(text),
            None => self.messages.push(Message::new(Role::Assistant, text)),
        }
    }
}

impl Answer {
    fn begin() -> Self {
        let speed = Speed::begin();
        Self { finish_reason: None, usage: None, speed }
    }

    fn tokens(&self) -> u64 {
        self.usage.map_or(0, |usage| usage.completion_tokens)
    }

    /// The fields of the event `done`.
    pub(super) fn as_json(&self, conversation: &Conversation) -> Value {
        let mut fields = json!({
            "finish_reason": self.finish_reason,
            "model": conversation.model,
            "usage": self.usage,
        });
        if conversation.speed {
            fields["speed"] = self.speed.as_json(self.tokens());
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation() -> Conversation {
        Conversation {
            model: "m".to_owned(),
            speed: false,
            messages: Vec::new(),
            max_tokens: None,
            temperature: None,
        }
    }

    #[test]
    fn the_end_of_an_answer_has_stable_field_names() {
        let mut answer = Answer::begin();
        answer.finish_reason = Some("stop".to_owned());
        answer.usage = Some(Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 });
        assert_eq!(
            answer.as_json(&conversation()),
            json!({ "finish_reason": "stop", "model": "m",
                "usage": { "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3 } })
        );
        let shown = answer.as_json(&Conversation { speed: true, ..conversation() });
        assert_eq!(shown["speed"]["tokens_per_second"], Value::Null);
    }

    #[test]
    fn forgetting_keeps_the_instruction_and_another_one_replaces_it() {
        let mut talk = conversation();
        talk.question("u".to_owned());
        talk.instruct("first");
        talk.instruct("second");
        assert_eq!(talk.instruction(), Some("second"));
        assert_eq!(talk.messages.len(), 2);
        talk.forget();
        assert_eq!(talk.messages, [Message::new(Role::System, "second")]);
        talk.instruct("");
        assert_eq!(talk.instruction(), None);
    }

    #[test]
    fn questions_and_answers_always_take_turns() {
        let mut talk = conversation();
        talk.question("one".to_owned());
        talk.question("two".to_owned());
        talk.remember("an");
        talk.remember("swer");
        talk.question("three".to_owned());
        let said: Vec<_> = talk.messages.iter().map(|m| (m.role, m.content.as_str())).collect();
        let turns =
            [(Role::User, "one\n\ntwo"), (Role::Assistant, "answer"), (Role::User, "three")];
        assert_eq!(said, turns);
    }
}
