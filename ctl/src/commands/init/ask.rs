//! Questions on the terminal, one line each.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use rustyline::completion::{Completer, FilenameCompleter, Pair, Quote, escape, unescape};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::output::Output;
use crate::refusal::Refusal;
use crate::terminal::{Paint, Style};

/// Asks a person.
pub(super) struct Asker(Editor<Paths, MemHistory>);

impl Asker {
    /// `None` where nobody can be asked: without a terminal, or for `--json`.
    pub(super) fn on_a_terminal(out: &Output) -> Option<Self> {
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        if !terminal || out.is_json() {
            return None;
        }
        let config = Config::builder().completion_type(CompletionType::List).build();
        let mut editor = Editor::with_history(config, MemHistory::new()).ok()?;
        editor.set_helper(Some(Paths(FilenameCompleter::new())));
        Some(Self(editor))
    }

    /// Asks until `read` takes the answer. Enter alone is the default, where there is one.
    ///
    /// # Errors
    /// `set_up_given_up` at Ctrl-C and Ctrl-D.
    pub(super) fn ask<T>(
        &mut self,
        question: &str,
        default: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Refusal> {
        let prompt = match default {
            "" => format!("{question}: "),
            _ => format!("{question} [{default}]: "),
        };
        loop {
            let typed = self.0.readline(&prompt).map_err(|error| stop(&error))?;
            let answer = if typed.trim().is_empty() { default } else { typed.trim() };
            match read(answer) {
                Ok(value) => return Ok(value),
                Err(why) => complain(&why),
            }
        }
    }

    /// Asks for a yes; Enter alone is no.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) fn is_agreed(&mut self, question: &str) -> Result<bool, Refusal> {
        self.ask(question, "no", |answer| match answer.to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("Please answer yes or no.".to_owned()),
        })
    }
}

/// What a flag gave, else what a person answers.
pub(super) fn given_or_asked<T>(
    given: Option<T>,
    asker: &mut Option<Asker>,
    question: &str,
    default: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Refusal> {
    match (given, asker) {
        (Some(given), _) => Ok(given),
        (None, Some(asker)) => asker.ask(question, default, read),
        // That a flag is missing was told before.
        (None, None) => Err(Refusal::new("internal")),
    }
}

fn stop(error: &ReadlineError) -> Refusal {
    match error {
        ReadlineError::Eof | ReadlineError::Interrupted | ReadlineError::Signal(_) => {
            Refusal::new("set_up_given_up")
        }
        _ => Refusal::new("input_unreadable"),
    }
}

fn complain(why: &str) {
    eprintln!("  {}", Style::of_stderr().paint(Paint::Careful, why));
}

/// A path as a person types, completes or drops it: quoted, with backslashes, or beneath `~`.
pub(super) fn path(typed: &str) -> PathBuf {
    let quoted = ['\'', '"'].iter().find_map(|q| typed.strip_prefix(*q)?.strip_suffix(*q));
    let text = quoted.map_or_else(|| unescape(typed, Some('\\')), Into::into);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match (text.strip_prefix("~/"), home) {
        (Some(beneath), Some(home)) => home.join(beneath),
        _ => PathBuf::from(text.as_ref()),
    }
}

/// Completes names of files at Tab, beneath `~` too; colours and hints nothing.
struct Paths(FilenameCompleter);

impl Completer for Paths {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let Some((home, beneath)) = beneath_home(line, at) else {
            return self.0.complete(line, at, context);
        };
        let absolute = format!("{home}{beneath}");
        let (start, mut pairs) = self.0.complete(&absolute, absolute.len(), context)?;
        for pair in &mut pairs {
            // Where it cannot be shown beneath `~` again, the whole path is as right.
            if let Some(rest) = pair.replacement.strip_prefix(&home) {
                pair.replacement = format!("~/{rest}");
            }
        }
        // Within the home directory's own name nothing is completed.
        let from = if start == 0 { Some(0) } else { (start + "~/".len()).checked_sub(home.len()) };
        Ok(from.map_or_else(|| (at, Vec::new()), |from| (from, pairs)))
    }
}

/// The home directory, as it would be typed, and what is typed beneath it.
fn beneath_home(line: &str, at: usize) -> Option<(String, &str)> {
    let beneath = line.get(..at)?.strip_prefix("~/")?;
    let home = std::env::var("HOME").ok().filter(|home| home.starts_with('/'))?;
    let home = format!("{}/", home.trim_end_matches('/'));
    let is_special = |letter: char| !letter.is_alphanumeric() && !"/._-+,:%~".contains(letter);
    Some((escape(home, Some('\\'), is_special, Quote::None), beneath))
}
impl Hinter for Paths {
    type Hint = String;
}
impl Highlighter for Paths {}
impl Validator for Paths {}
impl Helper for Paths {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_as_people_type_it() {
        let of = |typed| path(typed).to_str().expect("text").to_owned();
        assert_eq!(of("/m/my model.gguf"), "/m/my model.gguf");
        assert_eq!(of("/m/my\\ model.gguf"), "/m/my model.gguf");
        assert_eq!(of("'/m/my model.gguf'"), "/m/my model.gguf");
        assert_eq!(of("\"/m/it's.gguf\""), "/m/it's.gguf");
        assert_eq!(of("~x"), "~x");
        let home = std::env::var("HOME").expect("a home");
        assert_eq!(of("~/m.gguf"), format!("{home}/m.gguf"));
    }
}
