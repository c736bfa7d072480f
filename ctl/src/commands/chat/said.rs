//! What a person typed in a conversation: a question, or a command that begins with a slash.

/// Three of these before and after a text let it have many lines.
const FENCE: &str = "\"\"\"";

/// One input of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    Question(String),
    End,
    New,
    Help,
    Speed,
    /// The models, or another one to go on with.
    Model(Option<String>),
    /// The instruction, or another one; empty takes it away.
    System(Option<String>),
    /// A word that looks like a command and is none.
    Unknown(String),
}

impl Said {
    pub(super) fn parse(typed: &str) -> Self {
        if let Some(text) = fenced(typed) {
            return if text.is_empty() { Self::Nothing } else { Self::Question(text.to_owned()) };
        }
        let text = typed.replace("\\\n", "\n");
        let text = text.trim();
        if text.is_empty() {
            return Self::Nothing;
        }
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = Some(rest.trim()).filter(|rest| !rest.is_empty()).map(str::to_owned);
        match word {
            "/exit" | "/quit" | "/bye" => Self::End,
            "/new" => Self::New,
            "/help" | "/?" => Self::Help,
            "/speed" => Self::Speed,
            "/model" => Self::Model(rest),
            "/system" => {
                Self::System(rest.map(|text| if text == "-" { String::new() } else { text }))
            }
            _ if is_command(word) => Self::Unknown(word.to_owned()),
            _ => Self::Question(text.to_owned()),
        }
    }
}

/// Whether an input goes on in the next line: it ends in a backslash, or its fence is open.
pub(super) fn goes_on(typed: &str) -> bool {
    match typed.trim_start().strip_prefix(FENCE) {
        Some(inside) => !inside.trim_end().ends_with(FENCE),
        None => typed.ends_with('\\'),
    }
}

/// The text between two fences: a question whatever it begins with.
fn fenced(typed: &str) -> Option<&str> {
    let inside = typed.trim().strip_prefix(FENCE)?;
    Some(inside.strip_suffix(FENCE).unwrap_or(inside).trim())
}

/// `/word`: a path or a date has more in it than letters.
fn is_command(word: &str) -> bool {
    let letters = word.strip_prefix('/').unwrap_or_default();
    !letters.is_empty() && letters.bytes().all(|b| b.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slash_and_a_word_is_a_command_and_a_path_is_a_question() {
        assert_eq!(Said::parse("  "), Said::Nothing);
        assert_eq!(Said::parse("/quit"), Said::End);
        assert_eq!(Said::parse("/model"), Said::Model(None));
        assert_eq!(Said::parse("/model  m "), Said::Model(Some("m".to_owned())));
        assert_eq!(Said::parse("/system Be short."), Said::System(Some("Be short.".to_owned())));
        assert_eq!(Said::parse("/system -"), Said::System(Some(String::new())));
        assert_eq!(Said::parse("/modle m"), Said::Unknown("/modle".to_owned()));
        for question in ["/etc/passwd is what?", "Hello /new", "/ why", "/Why?"] {
            assert_eq!(Said::parse(question), Said::Question(question.to_owned()));
        }
    }

    #[test]
    fn a_backslash_and_a_fence_let_a_question_have_many_lines() {
        assert!(goes_on("one \\") && goes_on("\"\"\"one") && goes_on("\"\"\"\none\n"));
        assert!(!goes_on("one") && !goes_on("\"\"\"one\ntwo\"\"\"") && !goes_on(""));
        let question = |typed| Said::parse(typed);
        assert_eq!(question("one \\\ntwo"), Said::Question("one \ntwo".to_owned()));
        let fenced = "\"\"\"\n/new\n  two\\\n\"\"\"";
        assert_eq!(question(fenced), Said::Question("/new\n  two\\".to_owned()));
        assert_eq!(question("\"\"\"\n\"\"\""), Said::Nothing);
    }

    proptest! {
        #[test]
        fn nothing_that_is_typed_panics(typed in "[/\"\\\\a-z \n-]{0,40}") {
            let (_said, _on) = (Said::parse(&typed), goes_on(&typed));
        }
    }
}
