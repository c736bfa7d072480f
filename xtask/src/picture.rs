//! `cargo xtask picture`: what a terminal shows, as `tmux capture-pane -e -p` writes it, as an SVG.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

/// Size of a cell, in units of the picture, and where its letters stand.
const CELL: (f64, f64) = (8.4, 18.0);
const BASELINE: f64 = 13.5;
const MARGIN: f64 = 14.0;
const FONT: f64 = 14.0;
const FONTS: &str = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";
const PAPER: &str = "#16181d";
const INK: &str = "#d5d8de";
/// The sixteen colours, of which the second eight are bright.
const COLOURS: [&str; 16] = [
    "#4b5263", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d5d8de",
    "#7f8796", "#ff7b86", "#b2de8f", "#ffd68a", "#82c4ff", "#dd96f2", "#75d5e0", "#ffffff",
];

/// Reads the capture from standard input and writes the picture to standard output.
///
/// # Errors
/// When there is nothing to draw.
pub(crate) fn run() -> Result<ExitCode> {
    let mut captured = String::new();
    std::io::stdin().read_to_string(&mut captured).context("the capture")?;
    ensure!(!captured.trim().is_empty(), "nothing was captured: tmux capture-pane -e -p");
    std::io::stdout().write_all(draw(&captured).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// How letters look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Look {
    colour: Option<usize>,
    bold: bool,
    faint: bool,
}

fn draw(captured: &str) -> String {
    let mut look = Look::default();
    let lines: Vec<_> = captured.trim_end().lines().map(|line| pieces(line, &mut look)).collect();
    let columns = lines.iter().map(|line| width(line)).max().unwrap_or(0);
    let (wide, high) = (columns as f64 * CELL.0, lines.len() as f64 * CELL.1);
    let (wide, high) = (wide + 2.0 * MARGIN, high + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide:.1} {high:.1}\" \
         font-family=\"{FONTS}\" font-size=\"{FONT}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n"
    );
    for (row, line) in lines.iter().enumerate() {
        let y = MARGIN + row as f64 * CELL.1 + BASELINE;
        let mut column = 0;
        for (look, text) in line {
            let count = text.chars().count();
            let x = MARGIN + column as f64 * CELL.0;
            if text.chars().any(|letter| bar(letter).is_some()) {
                svg.push_str(&bars(*look, text, x, MARGIN + (row + 1) as f64 * CELL.1));
            } else if !text.trim().is_empty() {
                svg.push_str(&piece(*look, text, x, y));
            }
            column += count;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Letters of one look, as wide as their cells whatever the font.
fn piece(look: Look, text: &str, x: f64, y: f64) -> String {
    let long = text.chars().count() as f64 * CELL.0;
    let mut attributes = format!("fill=\"{}\"", colour(look));
    if look.bold {
        attributes.push_str(" font-weight=\"bold\"");
    }
    if look.faint {
        attributes.push_str(" opacity=\"0.6\"");
    }
    let mut element = format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{long:.1}\" xml:space=\"preserve\" {attributes}>"
    );
    for letter in text.chars() {
        match letter {
            '<' => element.push_str("&lt;"),
            '>' => element.push_str("&gt;"),
            '&' => element.push_str("&amp;"),
            other => element.push(other),
        }
    }
    // A string takes whatever is written to it.
    let _ = writeln!(element, "</text>");
    element
}

fn colour(look: Look) -> &'static str {
    look.colour.and_then(|it| COLOURS.get(it)).unwrap_or(&INK)
}

/// Eighths of the cell that a letter of a plot fills from below (Unicode, Block Elements).
fn bar(letter: char) -> Option<u32> {
    ('\u{2581}'..='\u{2588}').contains(&letter).then(|| u32::from(letter) - 0x2580)
}

/// A plot's part of a line, without the gaps that letters have. What stands among bars is blank.
fn bars(look: Look, text: &str, x: f64, below: f64) -> String {
    let mut path = String::new();
    let mut from = 0;
    let letters: Vec<_> = text.chars().map(bar).collect();
    while let Some(&eighths) = letters.get(from) {
        let count = letters[from..].iter().take_while(|it| **it == eighths).count();
        if let Some(eighths) = eighths {
            let (left, wide) = (x + from as f64 * CELL.0, count as f64 * CELL.0);
            let high = f64::from(eighths) * CELL.1 / 8.0;
            // A string takes whatever is written to it.
            let _ = write!(path, "M{left:.1} {below:.1}h{wide:.1}v-{high:.2}h-{wide:.1}z");
        }
        from += count;
    }
    format!("<path shape-rendering=\"crispEdges\" fill=\"{}\" d=\"{path}\"/>\n", colour(look))
}

fn width(line: &[(Look, String)]) -> usize {
    line.iter().map(|(_, text)| text.chars().count()).sum()
}

/// A line's letters by their look, which goes on in the next line.
fn pieces(line: &str, look: &mut Look) -> Vec<(Look, String)> {
    let mut pieces: Vec<(Look, String)> = Vec::new();
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        let escape = rest.strip_prefix("\u{1b}[").and_then(|it| it.split_once('m'));
        if let Some((codes, after)) = escape.filter(|(codes, _)| is_codes(codes)) {
            *look = look.changed_by(codes);
            rest = after;
            continue;
        }
        match pieces.last_mut() {
            Some((last, text)) if last == look => text.push(letter),
            _ => pieces.push((*look, letter.to_string())),
        }
        rest = &rest[letter.len_utf8()..];
    }
    pieces
}

fn is_codes(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b';')
}

impl Look {
    /// By the codes of one sequence (ECMA-48, 8.3.117); those that are not drawn change nothing.
    fn changed_by(mut self, codes: &str) -> Self {
        let mut codes = codes.split(';').map(|code| code.parse::<usize>().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                0 => self = Self::default(),
                1 => self.bold = true,
                2 => self.faint = true,
                22 => (self.bold, self.faint) = (false, false),
                30..=37 => self.colour = Some(code - 30),
                90..=97 => self.colour = Some(code - 90 + 8),
                38 if codes.next() == Some(5) => self.colour = codes.next(),
                39 => self.colour = None,
                _ => {}
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_keep_their_looks_and_their_places() {
        let mut look = Look::default();
        let line = pieces("a\u{1b}[32;1mgood\u{1b}[0m <b>\u{1b}[2m", &mut look);
        let good = Look { colour: Some(2), bold: true, faint: false };
        assert_eq!(
            line,
            [
                (Look::default(), "a".to_owned()),
                (good, "good".to_owned()),
                (Look::default(), " <b>".to_owned())
            ]
        );
        assert!(look.faint, "it goes on in the next line");
    }

    #[test]
    fn a_plot_is_drawn_without_gaps() {
        let drawn = bars(Look::default(), " \u{2584}\u{2588}\u{2588}", 0.0, 18.0);
        assert!(
            drawn.contains("d=\"M8.4 18.0h8.4v-9.00h-8.4zM16.8 18.0h16.8v-18.00h-16.8z\""),
            "{drawn}"
        );
    }

    #[test]
    fn a_picture_is_as_large_as_what_was_shown() {
        let svg = draw("one\n\u{1b}[90m& two\u{1b}[39m\n\n");
        assert!(svg.contains(&format!(
            "viewBox=\"0 0 {:.1} {:.1}\"",
            5.0 * 8.4 + 28.0,
            36.0 + 28.0
        )));
        assert!(svg.contains(&format!("fill=\"{}\">&amp; two</text>", "#7f8796")), "{svg}");
    }
}
