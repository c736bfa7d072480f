//! The line that a person types, with history and more than one line.

use std::io::IsTerminal as _;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Behavior, Config, Helper};

use super::said::goes_on;
use crate::refusal::Refusal;

const PROMPT: &str = "> ";

/// What came of asking for a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Text(String),
    /// Ctrl-C: the line is given up.
    GivenUp,
    /// Ctrl-D.
    End,
}

/// A line editor. Its history is in memory: what is asked is private, and no file keeps it.
pub(super) struct Editor(rustyline::Editor<ManyLines, MemHistory>);

impl Editor {
    /// # Errors
    /// `input_unreadable` when there is no terminal to edit on.
    pub(super) fn open() -> Result<Self, Refusal> {
        // Answers may go to a file: the line is then edited on the terminal itself.
        let behavior =
            if std::io::stdout().is_terminal() { Behavior::Stdio } else { Behavior::PreferTerm };
        let config = Config::builder().behavior(behavior).auto_add_history(true).build();
        let history = MemHistory::with_config(&config);
        let mut editor =
            rustyline::Editor::with_history(config, history).map_err(|_| unreadable())?;
        editor.set_helper(Some(ManyLines));
        Ok(Self(editor))
    }

    /// Waits for a line on a thread of its own: connections must still be closed meanwhile.
    ///
    /// # Errors
    /// `input_unreadable` when the terminal is gone.
    pub(super) async fn read(mut self) -> Result<(Self, Typed), Refusal> {
        let reading = tokio::task::spawn_blocking(move || {
            let outcome = self.0.readline(PROMPT);
            (self, outcome)
        });
        let (editor, outcome) = reading.await.map_err(|_| unreadable())?;
        match outcome {
            Ok(text) => Ok((editor, Typed::Text(text))),
            Err(ReadlineError::Eof) => Ok((editor, Typed::End)),
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => {
                Ok((editor, Typed::GivenUp))
            }
            Err(_) => Err(unreadable()),
        }
    }
}

fn unreadable() -> Refusal {
    Refusal::new("input_unreadable")
}

/// Lets an input go on in the next line; completes, colours and hints nothing.
struct ManyLines;

impl Validator for ManyLines {
    fn validate(&self, typed: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let goes_on = goes_on(typed.input());
        Ok(if goes_on { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Completer for ManyLines {
    type Candidate = String;
}
impl Hinter for ManyLines {
    type Hint = String;
}
impl Highlighter for ManyLines {}
impl Helper for ManyLines {}
