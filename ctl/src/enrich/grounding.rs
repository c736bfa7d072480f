//! How much of a summary stands in the note: a model that invents is asked again.

use std::collections::HashSet;

/// Characters by which two forms of a word are taken for one.
const STEM_CHARS: usize = 5;
/// Words in a row whose repetition shows a model that goes in circles.
const GRAM_WORDS: usize = 4;

/// What an invented number weighs beside an invented word.
const NUMBER_WEIGHT: usize = 2;

/// The vocabulary of a note.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    words: HashSet<String>,
    stems: HashSet<String>,
}

impl Vocabulary {
    pub(crate) fn of(text: &str) -> Self {
        let words: HashSet<String> = words(text).iter().map(|word| singular(word)).collect();
        Self { stems: words.iter().map(|word| stem(word)).collect(), words }
    }

    /// The share, 0 to 1, of a text's longer words and numbers that stand in the note, in this
    /// or another form.
    pub(crate) fn share(&self, text: &str) -> f64 {
        let (mut all, mut known) = (0_usize, 0_usize);
        for word in words(text).iter().filter(|word| carries_meaning(word)) {
            let weight = if is_number(word) { NUMBER_WEIGHT } else { 1 };
            all += weight;
            known += if self.holds(word) { weight } else { 0 };
        }
        if all == 0 { 0.0 } else { known as f64 / all as f64 }
    }

    /// Whether every longer word of a text stands in the note, in this form or as a plural.
    pub(crate) fn holds_all(&self, text: &str) -> bool {
        let words = words(text);
        let mut counted = words.iter().filter(|word| carries_meaning(word)).peekable();
        counted.peek().is_some() && counted.all(|word| self.words.contains(&singular(word)))
    }

    fn holds(&self, word: &str) -> bool {
        let word = singular(word);
        self.words.contains(&word) || (!is_number(&word) && self.stems.contains(&stem(&word)))
    }
}

/// The share, 0 to 1, of four-word runs that came before in the same text.
pub(crate) fn repetition(text: &str) -> f64 {
    let words = words(text);
    let runs: Vec<&[String]> = words.windows(GRAM_WORDS).collect();
    if runs.is_empty() {
        return 0.0;
    }
    let distinct: HashSet<&[String]> = runs.iter().copied().collect();
    1.0 - distinct.len() as f64 / runs.len() as f64
}

/// The share, 0 to 1, of four-word runs of `text` that stand in `other`.
pub(crate) fn overlap(text: &str, other: &str) -> f64 {
    let (text, other) = (words(text), words(other));
    let runs: Vec<&[String]> = text.windows(GRAM_WORDS).collect();
    if runs.is_empty() {
        return 0.0;
    }
    let there: HashSet<&[String]> = other.windows(GRAM_WORDS).collect();
    runs.iter().filter(|run| there.contains(*run)).count() as f64 / runs.len() as f64
}

/// Words in lowercase. Scripts that set no spaces give a word a character.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() && !sets_no_spaces(c) {
            word.extend(c.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if sets_no_spaces(c) {
            words.push(c.to_string());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn singular(word: &str) -> String {
    word.strip_suffix('s').unwrap_or(word).to_owned()
}

fn stem(word: &str) -> String {
    word.chars().take(STEM_CHARS).collect()
}

fn is_number(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_digit())
}

fn carries_meaning(word: &str) -> bool {
    is_number(word) || word.chars().count() >= 4 || word.chars().any(sets_no_spaces)
}

/// Kana, Han and Hangul; Thai.
fn sets_no_spaces(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0e7f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "Tobias walked the line on Sunday and found the joint behind plot 17 wet.";

    #[test]
    fn invented_words_and_numbers_lower_the_share() {
        let note = Vocabulary::of(NOTE);
        assert_eq!(note.share("Tobias found a wet joint at plot 17."), 1.0);
        assert_eq!(note.share("Tobias walked: joints and plots"), 1.0);
        assert!(note.share("Tobias found a wet joint at plot 18.") < 1.0);
        assert_eq!(note.share("The committee approved a budget"), 0.0);
        assert_eq!(note.share(""), 0.0);
        assert!(note.holds_all("plots") && !note.holds_all("sundayjournal2"));
        assert!(note.holds_all("sunday") && !note.holds_all("monday") && !note.holds_all("of"));
    }

    #[test]
    fn going_in_circles_is_seen() {
        assert_eq!(repetition("one two three four five six"), 0.0);
        assert!(repetition(&"she will read it again and ".repeat(6)) > 0.5);
        assert_eq!(repetition("short"), 0.0);
    }

    #[test]
    fn an_echo_is_seen() {
        let instruction = "Provide a concise summary of the input text in two sentences.";
        assert!(overlap("A concise summary of the input text.", instruction) > 0.6);
        assert_eq!(overlap("Tobias found the joint behind plot 17.", instruction), 0.0);
    }

    #[test]
    fn scripts_without_spaces_are_compared_by_character() {
        let note = Vocabulary::of("委員会は水道管を直す");
        assert_eq!(note.share("水道管を直す"), 1.0);
        assert!(note.share("予算を増やす") < 0.6);
    }
}
