//! What a terminal may be given: colours only where they are wanted, and no control characters
//! of somebody else's making.

use std::io::IsTerminal as _;

/// Removes what could move the cursor, change the terminal or hide text: control characters
/// but newline and tab, bidirectional overrides and invisible characters.
///
/// Model output and log lines are somebody else's text; an escape sequence in them would act on
/// the owner's terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| is_plain(*c)).collect()
}

/// Whether a character only shows itself.
pub(crate) fn is_plain(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        _ if c.is_control() => false,
        // Zero-width and directional marks, overrides, isolates, byte-order mark, tags.
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => false,
        _ => true,
    }
}

/// Colours of one stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colours: bool,
}

/// The few ways in which words stand out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Paint {
    Good,
    Bad,
    Careful,
    Strong,
    Quiet,
}

impl Style {
    /// Standard output's.
    pub(crate) fn of_stdout() -> Self {
        Self { colours: std::io::stdout().is_terminal() && wanted() }
    }

    /// Standard error's.
    pub(crate) fn of_stderr() -> Self {
        Self { colours: std::io::stderr().is_terminal() && wanted() }
    }

    /// Whether it has any.
    pub(crate) fn has_colours(self) -> bool {
        self.colours
    }

    #[cfg(test)]
    pub(crate) fn without_colours() -> Self {
        Self { colours: false }
    }

    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Good => "32",
            Paint::Bad => "31",
            Paint::Careful => "33",
            Paint::Strong => "1",
            Paint::Quiet => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Whether the person lets programs use colours (no-color.org, and terminals that have none).
fn wanted() -> bool {
    colours_wanted(|name| std::env::var(name).ok())
}

fn colours_wanted(env: impl Fn(&str) -> Option<String>) -> bool {
    let no_color = env("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env("TERM").is_some_and(|term| term == "dumb");
    !no_color && !dumb
}

/// Whether progress may be drawn.
pub(crate) fn draws_progress() -> bool {
    std::io::stderr().is_terminal() && std::env::var("TERM").is_ok_and(|term| term != "dumb")
}

/// A size for people, in binary units.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_hidden_characters_lose_their_power() {
        assert_eq!(plain("a\u{1b}]0;title\u{7}b\r\u{9b}31mc"), "a]0;titleb31mc");
        assert_eq!(plain("pay\u{202e}txt\u{2066}\u{200b}\u{feff}\u{e0041}"), "paytxt");
        assert_eq!(plain("Grüße,\n\t日本 🙂"), "Grüße,\n\t日本 🙂");
    }

    #[test]
    fn no_color_and_dumb_terminals_are_respected() {
        let env = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            }
        };
        assert!(colours_wanted(env(&[])));
        assert!(colours_wanted(env(&[("NO_COLOR", "")])));
        assert!(!colours_wanted(env(&[("NO_COLOR", "1")])));
        assert!(!colours_wanted(env(&[("TERM", "dumb")])));
    }

    #[test]
    fn without_colours_words_stay_as_they_are() {
        assert_eq!(Style { colours: false }.paint(Paint::Bad, "no"), "no");
        assert_eq!(Style { colours: true }.paint(Paint::Bad, "no"), "\u{1b}[31mno\u{1b}[0m");
    }
}
