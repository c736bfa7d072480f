//! What a document shows, compared with what was told.

use anyhow::{Context, Result, ensure};

/// Stands in a document for whatever comes there, in one line or in many.
const ANYTHING: char = '…';

/// Passes when `told` is what a document shows. Each `…` of it stands for something that is not
/// blank. Blank lines, the width of spaces, and which number stands where one stands do not count.
///
/// # Errors
/// Names the part that is missing.
pub fn same_in_essence(shown: &str, told: &str) -> Result<()> {
    let (shown, told) = (tidy(shown), tidy(told));
    let (first, parts) = shown.split_once(ANYTHING).map_or((&*shown, None), |(a, b)| (a, Some(b)));
    let rest = told.strip_prefix(first);
    let mut rest = rest.with_context(|| format!("it does not begin with {first:?}:\n{told}"))?;
    let mut parts = parts.into_iter().flat_map(|it| it.split(ANYTHING)).peekable();
    while let Some(part) = parts.next() {
        let something = rest.char_indices().find(|(_, letter)| !letter.is_whitespace());
        let (at, letter) =
            something.with_context(|| format!("nothing stands before {part:?}:\n{told}"))?;
        rest = &rest[at + letter.len_utf8()..];
        let is_last = parts.peek().is_none();
        let found = if is_last { rest.rfind(part) } else { rest.find(part) };
        let found = found.with_context(|| format!("{part:?} is missing:\n{told}"))?;
        rest = &rest[found + part.len()..];
    }
    ensure!(rest.is_empty(), "this is too much: {rest:?}\n{told}");
    Ok(())
}

fn tidy(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let mut tidy = String::new();
    for letter in lines.join("\n").chars() {
        match letter {
            '0'..='9' if tidy.ends_with('0') => {}
            '0'..='9' => tidy.push('0'),
            other => tidy.push(other),
        }
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_stand_for_something_and_the_rest_is_as_it_is() {
        for (shown, told) in [
            ("a\n", "a  \n\n"),
            ("answer: …\nleft", "answer: one\n\ntwo\nleft"),
            ("…left", "some\nleft"),
            ("{…\"id\":\"m\"…}", "{\"a\":{\"id\":\"m\"}}"),
            ("  7  12.4 MB at …", " 123  9.0 MB   at once"),
            ("x=…, y=…\n", "x=a, y=b, y=c"),
        ] {
            same_in_essence(shown, told).unwrap();
        }
        for (shown, told) in [
            ("a", "b"),
            ("a", "a\nb"),
            ("answer: …\nleft", "answer: left"),
            ("answer: …", "answer:"),
            ("answer: …\nleft", "answer: one\nleft\nmore"),
            ("{…\"id\":\"m\"…}", "{\"id\":\"n\"}"),
            ("…a…b", "xbxa"),
        ] {
            assert!(same_in_essence(shown, told).is_err(), "{shown:?} {told:?}");
        }
    }
}
