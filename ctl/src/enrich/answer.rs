//! What a model answered, made into a summary and tags, or refused.

use serde_json::Value;

use super::grounding::{Vocabulary, overlap, repetition, words};
use super::limits;
use super::prompt::{Ask, instruction};
use crate::terminal;

/// Most of a summary that may be the instruction's own words.
const MOST_ECHO: f64 = 0.4;
/// Most of a summary that may repeat itself.
const MOST_REPETITION: f64 = 0.3;
/// A summary shorter than this says little of a note longer than [`SHORT_NOTE`].
const THIN_SUMMARY: usize = 60;
/// Characters under which a note may have a thin summary.
const SHORT_NOTE: usize = 400;
/// Words from which on an answer shows that it is lost.
const LOST_WORDS: usize = 16;
/// What a thin summary's score is multiplied by.
const THIN: f64 = 0.6;

/// Words that the questions and the format put into a model's mouth.
const NO_TAGS: [&str; 24] = [
    "answer", "author", "date", "data", "document", "example", "file", "input", "json", "link",
    "list", "message", "misc", "note", "notes", "other", "string", "summary", "tag", "tags",
    "text", "title", "topic", "topics",
];

/// Frequent longer words of English that name nothing.
const NAME_NOTHING: [&str; 40] = [
    "about", "above", "after", "again", "because", "before", "behind", "being", "between", "could",
    "during", "every", "first", "going", "might", "other", "others", "really", "second", "several",
    "should", "since", "still", "their", "there", "these", "thing", "things", "third", "those",
    "three", "through", "under", "until", "usually", "where", "which", "while", "without", "would",
];

/// A summary that has the right shape, and how well it fits its note, 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary {
    pub(crate) text: String,
    /// The share of its words and numbers that stand in the note.
    pub(crate) grounding: f64,
    /// What it is chosen by: the share, less where it repeats itself or says little.
    pub(crate) score: f64,
}

/// The JSON object of an answer; tolerant of text around it and of an answer that was cut.
pub(crate) fn object(answer: &str) -> Option<Value> {
    let start = answer.find('{')?;
    let text = &answer[start..];
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    match stream.next() {
        Some(Ok(value)) if value.is_object() => Some(value),
        _ => cut_summary(text),
    }
}

/// The summary of an object that ends within it.
fn cut_summary(text: &str) -> Option<Value> {
    let after = text.split_once("\"summary\"")?.1.trim_start().strip_prefix(':')?;
    let inside = after.trim_start().strip_prefix('"')?;
    // The last escape may be cut: read up to its backslash.
    let inside = inside.rfind('\\').map_or(inside, |at| &inside[..at]);
    let summary: String = serde_json::from_str(&format!("\"{inside}\"")).ok()?;
    Some(serde_json::json!({ "summary": summary }))
}

/// Whether an answer that is still coming needs no more: two sentences are there and nothing else
/// is wanted, or it goes in circles or repeats the question, which it would not leave again.
pub(crate) fn is_enough(ask: Ask, so_far: &str) -> bool {
    if ask == Ask::Tags || !so_far.ends_with([' ', '.', '"']) {
        return false;
    }
    let Some(object) = object(so_far) else { return false };
    let Some(text) = object["summary"].as_str() else { return false };
    let lost = words(text).len() >= LOST_WORDS
        && (repetition(text) > MOST_REPETITION || overlap(text, instruction(ask)) > MOST_ECHO);
    // A sentence has ended when the next one begins: "Dr. " and "20." end none.
    let ended = ask == Ask::Summary
        && sentence_ends(text).len() >= limits::SUMMARY_SENTENCES
        && text.ends_with(' ');
    lost || ended
}

/// The summary in an answer, when it is one: at most two whole sentences in the note's words,
/// neither an echo of the question nor going in circles.
pub(crate) fn summary(
    object: &Value,
    ask: Ask,
    note: &str,
    vocabulary: &Vocabulary,
) -> Option<Summary> {
    let text = whole_sentences(&presentable(object["summary"].as_str()?));
    let chars = text.chars().count();
    if !limits::SUMMARY_CHARS.contains(&chars) {
        return None;
    }
    let circles = repetition(&text);
    if circles > MOST_REPETITION || overlap(&text, instruction(ask)) > MOST_ECHO {
        return None;
    }
    let thin = chars < THIN_SUMMARY && note.chars().count() > SHORT_NOTE;
    let grounding = vocabulary.share(&text);
    let score = grounding * (1.0 - circles) * if thin { THIN } else { 1.0 };
    Some(Summary { text, grounding, score })
}

/// The tags in an answer: lowercase, each once, those that stand in the note first.
pub(crate) fn tags(object: &Value) -> Vec<String> {
    let Some(values) = object["tags"].as_array() else { return Vec::new() };
    let mut tags = Vec::new();
    for tag in values.iter().filter_map(Value::as_str).filter_map(tag) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// Adds tags until there are enough. A tag that says no more than one already there is left out.
pub(crate) fn gather(tags: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for tag in more {
        if tags.len() >= *limits::TAGS.end() {
            return;
        }
        let repeats = |there: &String| {
            let (one, other) = (words(there), words(&tag));
            one.iter().all(|word| other.contains(word)) || other.iter().all(|w| one.contains(w))
        };
        if !tags.iter().any(repeats) {
            tags.push(tag);
        }
    }
}

/// Tags out of a summary's own longer words, the note's most frequent first: what is left when
/// a model cannot name topics.
pub(crate) fn tags_of_summary(summary: &str, note: &str) -> Vec<String> {
    let note = words(note);
    let count = |word: &String| note.iter().filter(|there| *there == word).count();
    let mut candidates: Vec<String> = words(summary)
        .into_iter()
        .filter(|word| word.chars().count() >= 5 && word.chars().all(char::is_alphabetic))
        .filter(|word| !NAME_NOTHING.contains(&word.as_str()) && count(word) > 0)
        .filter_map(|word| tag(&word))
        .collect();
    candidates.sort_by_key(|word| std::cmp::Reverse(count(word)));
    let mut tags = Vec::new();
    gather(&mut tags, candidates);
    tags
}

fn tag(text: &str) -> Option<String> {
    let text = presentable(text).to_lowercase();
    let text = text.trim_start_matches('#').trim_matches(|c: char| !c.is_alphanumeric());
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words: Vec<&str> = text.split([' ', '-', '_']).filter(|word| !word.is_empty()).collect();
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '\'' | '’' | '+');
    let good = limits::TAG_CHARS.contains(&text.chars().count())
        && (1..=limits::TAG_WORDS).contains(&words.len())
        && text.chars().all(allowed)
        && text.chars().any(char::is_alphabetic)
        // A dash between spaces joins two things: no topic.
        && !text.contains(" -")
        && !text.contains("- ")
        && !words.iter().all(|word| NO_TAGS.contains(word));
    good.then_some(text)
}

/// One line of plain text in which nothing can be followed or loaded by whoever shows it.
fn presentable(text: &str) -> String {
    let plain = terminal::plain(text);
    let words = plain.split_whitespace().map(|word| {
        let is_link = word.contains("://") || word.contains("www.") || word.contains("](");
        if is_link { "(link)" } else { word }
    });
    words.collect::<Vec<_>>().join(" ").replace("![", "[").replace(['<', '>'], "")
}

/// The first two sentences; a last one that does not end is left out when there is another.
fn whole_sentences(text: &str) -> String {
    let ends = sentence_ends(text);
    match ends.get(limits::SUMMARY_SENTENCES - 1).or(ends.last()) {
        Some(end) => text[..*end].trim().to_owned(),
        None => format!("{}…", text.trim_end_matches([',', ';', ':', ' ', '-'])),
    }
}

/// Where the sentences of a text end, in bytes.
fn sentence_ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let closes = matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？');
        let next = chars.peek().map(|(_, next)| *next);
        let at_boundary = next.is_none_or(char::is_whitespace) || !c.is_ascii();
        if closes && at_boundary && !is_abbreviation(&text[..at]) {
            ends.push(at + c.len_utf8());
        }
    }
    ends
}

/// Whether a full stop here belongs to a title, an initial or a number in a row ("Dr.", "J.", "3.").
fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit([' ', '(']).next().unwrap_or_default();
    let is_title = ["Dr", "Mr", "Mrs", "Ms", "Prof", "St", "No", "Nr", "e.g", "i.e", "z.B"]
        .iter()
        .any(|title| title.eq_ignore_ascii_case(word));
    is_title || word.chars().count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOTE: &str = "The water meter shows 412 cubic metres since April. Tobias found the joint \
        behind plot 17 wet and will dig it out on Saturday. Dr. Okafor pays.";

    fn judge(text: &str) -> Option<Summary> {
        summary(&json!({ "summary": text }), Ask::Summary, NOTE, &Vocabulary::of(NOTE))
    }

    #[test]
    fn a_grounded_summary_scores_high_and_an_invented_one_low() {
        let good = judge("The water meter shows 412 cubic metres. Tobias found a wet joint.");
        assert!(good.expect("summary").score > 0.9);
        let bad = judge("The council rejected a budget of 40 million for a new bridge last week.");
        assert!(bad.expect("summary").score < 0.3);
    }

    #[test]
    fn an_echo_and_a_circle_are_no_summaries() {
        assert_eq!(
            judge("A concise, objective summary of the input text in up to two sentences."),
            None
        );
        assert_eq!(judge(&"the water meter and the water meter and ".repeat(5)), None);
        assert_eq!(judge("Water."), None);
        assert_eq!(judge(""), None);
    }

    #[test]
    fn at_most_two_whole_sentences_are_kept() {
        assert_eq!(whole_sentences("One two. Three four! Five six."), "One two. Three four!");
        assert_eq!(whole_sentences("One two. And then it was cut of"), "One two.");
        assert_eq!(whole_sentences("Never ends, and"), "Never ends, and…");
        assert_eq!(
            whole_sentences("Dr. Brandt wrote at 20.15 to J. Doe. Done. More."),
            "Dr. Brandt wrote at 20.15 to J. Doe. Done."
        );
        assert_eq!(whole_sentences("水が漏れた。直す。終わり。"), "水が漏れた。直す。");
    }

    #[test]
    fn an_answer_is_cut_when_two_sentences_are_there_or_it_is_lost() {
        let enough = |ask: Ask, text: &str| is_enough(ask, text);
        assert!(!enough(Ask::Summary, r#"{"summary":"One two. Dr. "#));
        assert!(!enough(Ask::Summary, r#"{"summary":"One two. Three four."#));
        assert!(enough(Ask::Summary, r#"{"summary":"One two. Three four. "#));
        assert!(!enough(Ask::SummaryAndTags, r#"{"summary":"One two. Three four. "#));
        let circle = format!("{{\"summary\":\"{}", "a note about a note ".repeat(6));
        assert!(enough(Ask::Summary, &circle) && enough(Ask::SummaryAndTags, &circle));
        let echo =
            format!("{{\"summary\":\"{} ", instruction(Ask::SummaryAndTags).replace('"', ""));
        assert!(enough(Ask::SummaryAndTags, &echo));
        assert!(!enough(Ask::Tags, &circle) && !enough(Ask::Summary, ""));
    }

    #[test]
    fn nothing_in_a_summary_can_be_followed_or_loaded() {
        let text = presentable(
            "See ![x](http://evil.example/?q=1) or www.evil.example <img src=x>\u{1b}[2J\nnow",
        );
        assert!(!text.contains("evil") && !text.contains(['<', '>', '\u{1b}', '\n']), "{text}");
    }

    #[test]
    fn tags_are_lowercase_short_and_each_once() {
        let object = json!({ "tags": ["Water Meter", "#plot", "water meter", "a", "json",
            "one two three four", "x://y", "ines - tobias", "Müll-Abfuhr", 3, "12"] });
        assert_eq!(tags(&object), ["water meter", "plot", "müll-abfuhr"]);
        let mut gathered = vec!["water meter".to_owned()];
        gather(&mut gathered, ["meter", "plot", "water", "plots here"].map(str::to_owned));
        assert_eq!(gathered, ["water meter", "plot", "plots here"]);
        gather(&mut gathered, ["aaa", "bbb", "ccc"].map(str::to_owned));
        assert_eq!(gathered.len(), *limits::TAGS.end());
    }

    #[test]
    fn tags_of_a_summary_are_its_words_the_most_frequent_in_the_note_first() {
        let note = "which water, which water, which joint: tobias";
        let tags = tags_of_summary("Tobias mends which joint; water.", note);
        assert_eq!(tags, ["water", "tobias", "joint"]);
    }

    #[test]
    fn an_answer_with_text_around_it_or_cut_short_is_still_read() {
        let object_of = |answer: &str| object(answer).expect("object");
        assert_eq!(object_of("Sure! {\"summary\": \"a\"} bye")["summary"], "a");
        assert_eq!(object_of("{\"summary\": \"It \\\"was\\\" cut he")["summary"], "It \"was");
        assert_eq!(object_of("{\n \"summary\" : \"cut he")["summary"], "cut he");
        assert_eq!(object("no json"), None);
        assert_eq!(object("[1]"), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_judged_without_a_panic(answer in "[{}\":,a-z\\\\\\[\\].!? \n\u{1b}ä。]{0,80}", text in ".{0,120}") {
            if let Some(object) = object(&answer) {
                let _tags = tags(&object);
            }
            if let Some(summary) = judge(&text) {
                prop_assert!((0.0..=1.0).contains(&summary.score));
                prop_assert!(summary.text.chars().all(crate::terminal::is_plain));
                prop_assert!(!summary.text.contains('\n'));
            }
        }
    }
}
