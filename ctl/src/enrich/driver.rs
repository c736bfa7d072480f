//! Asking until the answer is good, or the attempts are used up and the best one counts.

use std::future::Future;

use super::answer::{self, Summary};
use super::data_text::DataText;
use super::grounding::Vocabulary;
use super::limits;
use super::prompt::{Ask, Chance, question};
use super::sections::{middle, opening, sections};
use crate::endpoint::Request;
use crate::refusal::Refusal;

/// Somebody who answers questions.
pub(crate) trait Model {
    /// The text of one answer, cut as soon as it is enough.
    fn ask(
        &self,
        request: Request,
        is_enough: impl Fn(&str) -> bool,
    ) -> impl Future<Output = Result<String, Refusal>>;
}

/// What was made of a note's text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Enrichment {
    pub(crate) summary: String,
    pub(crate) tags: Vec<String>,
    /// The share, 0 to 1, of the summary's words and numbers that stand in the note.
    pub(crate) grounding: f64,
    /// Whether parts of the note were left out, because it is longer than the model can read.
    pub(crate) truncated: bool,
}

/// A score at which no further attempt is made.
const GOOD: f64 = 0.75;

/// How much of the note a question shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    Opening,
    Middle,
}

/// What is tried, in this order, until the summary is good. The first serves a capable model;
/// a small one does better with plain words, no chance and less text.
const SUMMARY_ATTEMPTS: [(Ask, Extent, Chance); 4] = [
    (Ask::SummaryAndTags, Extent::Whole, Chance { temperature: 0.2, seed: 1 }),
    (Ask::Summary, Extent::Whole, Chance { temperature: 0.0, seed: 2 }),
    (Ask::Summary, Extent::Opening, Chance { temperature: 0.0, seed: 3 }),
    (Ask::Summary, Extent::Middle, Chance { temperature: 0.0, seed: 4 }),
];

/// What is tried until there are three tags that stand in the note.
const TAG_ATTEMPTS: [(Extent, Chance); 2] = [
    (Extent::Whole, Chance { temperature: 0.0, seed: 5 }),
    (Extent::Opening, Chance { temperature: 0.3, seed: 6 }),
];

/// Times the text is halved when the runtime says that it is too long.
const HALVINGS: u32 = 3;

/// Makes a summary and tags of a text, showing the model at most `room` characters at a time.
///
/// # Errors
/// The endpoint's reason, or `answer_unusable` when no attempt gave a summary and three tags.
pub(crate) async fn enrich_text(
    model: &impl Model,
    text: &str,
    room: usize,
) -> Result<Enrichment, Refusal> {
    let mut room = room;
    for _ in 0..HALVINGS {
        match enrich_within(model, text, room).await {
            Err(refusal) if refusal.reason() == "context_exceeded" => room = (room / 2).max(1),
            outcome => return outcome,
        }
    }
    enrich_within(model, text, room).await
}

async fn enrich_within(model: &impl Model, text: &str, room: usize) -> Result<Enrichment, Refusal> {
    let (shown, truncated) = condense(model, text, room).await?;
    let attempt = Attempt { model, text, shown: &shown, vocabulary: Vocabulary::of(text) };
    let heard = attempt.summary().await?;
    let best = heard.best.clone();
    let tags = attempt.tags(heard).await?;
    Ok(Enrichment { summary: best.text, tags, grounding: rounded(best.grounding), truncated })
}

/// The text itself where it fits; else a sentence or two of each of its sections.
async fn condense(model: &impl Model, text: &str, room: usize) -> Result<(String, bool), Refusal> {
    if text.chars().count() <= room {
        return Ok((text.to_owned(), false));
    }
    let (pieces, truncated) = sections(text, room);
    let vocabulary = Vocabulary::of(text);
    let mut sentences = Vec::new();
    for piece in &pieces {
        let chance = Chance { temperature: 0.0, seed: 9 };
        let request = question(Ask::Summary, &DataText::of(piece), chance);
        let answer = model.ask(request, |text| answer::is_enough(Ask::Summary, text)).await?;
        let summary = answer::object(&answer)
            .and_then(|object| answer::summary(&object, Ask::Summary, piece, &vocabulary));
        // A section that gives nothing is represented by its own first words.
        sentences.push(summary.map_or_else(|| opening(piece, 200).to_owned(), |s| s.text));
    }
    Ok((opening(&sentences.join("\n"), room).to_owned(), truncated))
}

/// The best summary, the tags that came with any, and everything that was said.
struct Heard {
    best: Summary,
    tags: Vec<String>,
    said: String,
}

struct Attempt<'a, M> {
    model: &'a M,
    text: &'a str,
    shown: &'a str,
    vocabulary: Vocabulary,
}

impl<M: Model> Attempt<'_, M> {
    async fn summary(&self) -> Result<Heard, Refusal> {
        let mut best: Option<Summary> = None;
        let mut tags = Vec::new();
        let mut said = String::new();
        for (ask, extent, chance) in SUMMARY_ATTEMPTS {
            let Some(object) = self.ask(ask, extent, chance).await? else { continue };
            answer::gather(&mut tags, answer::tags(&object));
            let summary = answer::summary(&object, ask, self.text, &self.vocabulary);
            let Some(summary) = summary else { continue };
            said.push_str(&summary.text);
            said.push('\n');
            if best.as_ref().is_none_or(|best| summary.score > best.score) {
                best = Some(summary);
            }
            if best.as_ref().is_some_and(|best| best.score >= GOOD) {
                break;
            }
        }
        let best = best.ok_or_else(|| Refusal::new("answer_unusable"))?;
        Ok(Heard { best, tags, said })
    }

    /// Three to five tags: those the model named that stand in the note, then words of its
    /// summaries that do, and only then what does not stand in it.
    async fn tags(&self, heard: Heard) -> Result<Vec<String>, Refusal> {
        let Heard { best, tags: mut named, said } = heard;
        // A good answer to the first question is taken with its tags, abstract ones too.
        if best.score >= GOOD && self.grounded(&named).len() >= 2 && is_enough(&named) {
            return Ok(named);
        }
        for (extent, chance) in TAG_ATTEMPTS {
            if is_enough(&self.grounded(&named)) {
                break;
            }
            if let Some(object) = self.ask(Ask::Tags, extent, chance).await? {
                named.extend(answer::tags(&object));
            }
        }
        let mut tags = Vec::new();
        answer::gather(&mut tags, self.grounded(&named));
        if !is_enough(&tags) {
            answer::gather(&mut tags, answer::tags_of_summary(&said, self.text));
        }
        if !is_enough(&tags) {
            answer::gather(&mut tags, named);
            answer::gather(&mut tags, answer::tags_of_summary(&best.text, &best.text));
        }
        if is_enough(&tags) { Ok(tags) } else { Err(Refusal::new("answer_unusable")) }
    }

    fn grounded(&self, tags: &[String]) -> Vec<String> {
        let mut grounded = Vec::new();
        let known = tags.iter().filter(|tag| self.vocabulary.holds_all(tag)).cloned();
        answer::gather(&mut grounded, known);
        grounded
    }

    async fn ask(
        &self,
        ask: Ask,
        extent: Extent,
        chance: Chance,
    ) -> Result<Option<serde_json::Value>, Refusal> {
        let shown = match extent {
            Extent::Whole => self.shown,
            Extent::Opening => opening(self.shown, limits::PART_CHARS),
            Extent::Middle => middle(self.shown, limits::PART_CHARS),
        };
        let request = question(ask, &DataText::of(shown), chance);
        let answer = self.model.ask(request, |text| answer::is_enough(ask, text)).await?;
        Ok(answer::object(&answer))
    }
}

fn is_enough(tags: &[String]) -> bool {
    tags.len() >= *limits::TAGS.start()
}

fn rounded(share: f64) -> f64 {
    (share * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::VecDeque;

    const NOTE: &str = "Tobias walked the line on Sunday and found the joint behind plot 17 wet.";
    const GOOD_ANSWER: &str = r#"{"summary":"Tobias found the joint behind plot 17 wet.","tags":["joint","plot","line"]}"#;
    const CIRCLE: &str = r#"{"summary":"a note about a note about a note about a note about a note about a note about a note","tags":["json"]}"#;

    /// A stand-in: answers what it was told to, in order, then the last again.
    struct Scripted {
        answers: RefCell<VecDeque<Result<String, Refusal>>>,
        asked: RefCell<Vec<Request>>,
    }

    impl Scripted {
        fn new(answers: &[Result<&str, &'static str>]) -> Self {
            let answers = answers
                .iter()
                .map(|answer| (*answer).map(str::to_owned).map_err(Refusal::new))
                .collect();
            Self { answers: RefCell::new(answers), asked: RefCell::default() }
        }

        fn asked(&self) -> usize {
            self.asked.borrow().len()
        }
    }

    impl Model for Scripted {
        async fn ask(
            &self,
            request: Request,
            is_enough: impl Fn(&str) -> bool,
        ) -> Result<String, Refusal> {
            self.asked.borrow_mut().push(request);
            let mut answers = self.answers.borrow_mut();
            let answer = answers.pop_front().expect("an answer");
            if answers.is_empty() {
                answers.push_back(answer.clone());
            }
            answer.map(|text| {
                let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
                let end = ends.into_iter().find(|end| is_enough(&text[..*end]));
                text[..end.unwrap_or(text.len())].to_owned()
            })
        }
    }

    fn run(model: &Scripted, text: &str, room: usize) -> Result<Enrichment, Refusal> {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime")
            .block_on(enrich_text(model, text, room))
    }

    #[test]
    fn a_good_first_answer_costs_one_question() {
        let model = Scripted::new(&[Ok(GOOD_ANSWER)]);
        let made = run(&model, NOTE, 1000).expect("made");
        assert_eq!(made.summary, "Tobias found the joint behind plot 17 wet.");
        assert_eq!(made.tags, ["joint", "plot", "line"]);
        assert_eq!((made.grounding, made.truncated), (1.0, false));
        assert_eq!(model.asked(), 1);
    }

    #[test]
    fn a_model_that_goes_in_circles_is_asked_again_in_plainer_words() {
        let plain = r#"{"summary":"Tobias walked the line and found the joint wet."}"#;
        let tags = r#"{"tags":["babysitter","plot","sunday","joint"]}"#;
        let model = Scripted::new(&[Ok(CIRCLE), Ok(plain), Ok(tags)]);
        let made = run(&model, NOTE, 1000).expect("made");
        assert_eq!(made.summary, "Tobias walked the line and found the joint wet.");
        assert_eq!(made.tags, ["plot", "sunday", "joint"]);
        assert_eq!(model.asked(), 3);
    }

    #[test]
    fn the_best_answer_counts_when_none_is_good() {
        let bad = r#"{"summary":"The council approved forty million for bridges yesterday."}"#;
        let fair = r#"{"summary":"Tobias approved a wet joint for bridges and councils."}"#;
        let model = Scripted::new(&[Ok(bad), Ok(fair), Ok(bad)]);
        let made = run(&model, NOTE, 1000).expect("made");
        assert!(made.summary.starts_with("Tobias approved"));
        assert!(made.grounding < GOOD);
        assert!(limits::TAGS.contains(&made.tags.len()));
    }

    #[test]
    fn a_model_that_never_gives_a_summary_is_refused_after_a_bounded_number_of_questions() {
        for hopeless in [CIRCLE, "no json at all", "{}", r#"{"summary":7,"tags":"x"}"#] {
            let model = Scripted::new(&[Ok(hopeless)]);
            assert_eq!(run(&model, NOTE, 1000), Err(Refusal::new("answer_unusable")));
            assert_eq!(model.asked(), SUMMARY_ATTEMPTS.len());
        }
    }

    #[test]
    fn a_refusal_of_the_endpoint_is_passed_on_at_once() {
        let model = Scripted::new(&[Err("not_ready")]);
        assert_eq!(run(&model, NOTE, 1000), Err(Refusal::new("not_ready")));
        assert_eq!(model.asked(), 1);
    }

    #[test]
    fn a_text_that_does_not_fit_is_halved_a_bounded_number_of_times() {
        let model = Scripted::new(&[Err("context_exceeded"), Ok(GOOD_ANSWER)]);
        assert!(run(&model, NOTE, 1000).is_ok());
        let model = Scripted::new(&[Err("context_exceeded")]);
        assert_eq!(run(&model, NOTE, 1000), Err(Refusal::new("context_exceeded")));
        assert_eq!(model.asked(), 1 + HALVINGS as usize);
    }

    #[test]
    fn no_question_about_a_long_note_shows_more_than_fits() {
        let long = format!("{NOTE}\n\n").repeat(60);
        let answer = format!(r#"{{"summary":"{NOTE}","tags":["joint","plot","line"]}}"#);
        let model = Scripted::new(&[Ok(&answer)]);
        let made = run(&model, &long, 300).expect("made");
        assert!(made.truncated);
        assert_eq!(model.asked(), limits::SECTIONS + 1);
        for request in model.asked.borrow().iter() {
            assert!(request.messages[1].content.chars().count() <= 300 + "<note>\n\n</note>".len());
        }
    }
}
