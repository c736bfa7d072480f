//! Cutting a text that is longer than the model's context.

use super::limits;

/// The beginning of a text, at most `most` characters, cut at a paragraph, line, sentence or
/// word where one ends in its second half.
pub(crate) fn opening(text: &str, most: usize) -> &str {
    let Some((limit, _)) = text.char_indices().nth(most) else { return text };
    let head = &text[..limit];
    for boundary in ["\n\n", "\n", ". ", " "] {
        if let Some(at) = head.rfind(boundary).filter(|at| *at >= limit / 2) {
            return head[..at + boundary.len()].trim_end();
        }
    }
    head
}

/// The middle of a text, at most `most` characters: from a line that begins near it.
pub(crate) fn middle(text: &str, most: usize) -> &str {
    let chars = text.chars().count();
    if chars <= most {
        return text;
    }
    let skipped = text.char_indices().nth((chars - most) / 2).map_or(0, |(at, _)| at);
    let rest = &text[skipped..];
    let rest = rest.find(['\n', ' ']).map_or(rest, |at| rest[at..].trim_start());
    opening(rest, most)
}

/// Pieces that stand for a long text: all of it where eight pieces of `most` characters are
/// enough, else eight pieces spread evenly over it, and whether anything was left out.
pub(crate) fn sections(text: &str, most: usize) -> (Vec<&str>, bool) {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let piece = opening(rest, most);
        pieces.push(piece);
        rest = rest[piece.len()..].trim_start();
    }
    if pieces.len() <= limits::SECTIONS {
        return (pieces, false);
    }
    let spread = (0..limits::SECTIONS)
        .map(|place| pieces[place * (pieces.len() - 1) / (limits::SECTIONS - 1)])
        .collect();
    (spread, true)
}

/// Characters of note text that fit one question, from the context of one sequence in tokens.
///
/// Two and a half characters a token is below what English and German text takes; where it is
/// still too much the runtime says so and the driver halves it.
pub(crate) fn room(context_tokens: u32) -> usize {
    let tokens = context_tokens.saturating_sub(limits::RESERVED_TOKENS) as usize;
    (tokens * 5 / 2).clamp(*limits::ROOM_CHARS.start(), *limits::ROOM_CHARS.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_falls_between_paragraphs_lines_sentences_or_words() {
        assert_eq!(opening("short", 100), "short");
        assert_eq!(opening("one two.\n\nthree four five", 16), "one two.");
        assert_eq!(opening("one two. three four", 14), "one two.");
        assert_eq!(opening("aaaa bbbb cccc", 11), "aaaa bbbb");
        assert_eq!(opening("ääääääääää", 4), "ääää");
    }

    #[test]
    fn the_middle_leaves_out_both_ends() {
        let text: String = (0..100).map(|n| format!("w{n} ")).collect();
        let part = middle(&text, 80);
        assert!(part.contains("w50 ") && !part.contains("w1 ") && !part.contains("w99"));
        assert_eq!(middle("short", 80), "short");
    }

    #[test]
    fn a_long_text_is_whole_in_few_sections_and_spread_over_many() {
        let text = "word ".repeat(100);
        let (pieces, cut) = sections(&text, 100);
        assert!(!cut && pieces.len() <= limits::SECTIONS);
        let words = |text: &str| text.split_whitespace().count();
        assert_eq!(pieces.iter().map(|piece| words(piece)).sum::<usize>(), 100);

        let text: String = (0..1000).map(|n| format!("w{n} ")).collect();
        let (pieces, cut) = sections(&text, 100);
        assert!(cut);
        assert_eq!(pieces.len(), limits::SECTIONS);
        assert!(pieces[0].starts_with("w0 ") && pieces[7].ends_with("w999"));
    }

    #[test]
    fn the_room_grows_with_the_context_within_bounds() {
        assert_eq!(room(0), *limits::ROOM_CHARS.start());
        assert_eq!(room(2048), 3370);
        assert_eq!(room(u32::MAX), *limits::ROOM_CHARS.end());
    }

    proptest! {
        #[test]
        fn cutting_never_panics_and_never_exceeds(text in "[a-zä日🙂. \n]{0,300}", most in 1_usize..80) {
            prop_assert!(text.starts_with(opening(&text, most)));
            prop_assert!(middle(&text, most).chars().count() <= most);
            let (pieces, _) = sections(&text, most);
            prop_assert!(pieces.len() <= limits::SECTIONS);
            for piece in pieces {
                prop_assert!(!piece.is_empty() && piece.chars().count() <= most);
                prop_assert!(text.contains(piece));
            }
        }
    }
}
