//! The screen: everything in 80 columns and 24 rows, more history where there is more room.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Sparkline};

use super::board::{Board, Sample, View};
use crate::reasons;
use crate::terminal::{plain, size};

/// Rows of the head: the word, the model, what is missing.
const HEAD: u16 = 4;
/// Rows of the table of outcomes, its frame included.
const OUTCOMES: u16 = 8;
const KEYS: &str = " q quit   r last refusals   l runtime's output   Esc back";

/// Colours where they are wanted.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn colour(self, colour: Color) -> Style {
        if self.0 { Style::new().fg(colour) } else { Style::new() }
    }

    fn strong(self) -> Style {
        if self.0 { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() }
    }
}

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, board: &Board, view: View, colours: bool) {
    let paint = Paint(colours);
    let [head, body, keys] =
        Layout::vertical([Constraint::Length(HEAD), Constraint::Min(0), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(Paragraph::new(head_lines(board, paint)), head);
    match view {
        View::Overview => overview(frame, body, board, paint),
        View::Refusals => refusals(frame, body, board),
        View::Output => output(frame, body, board),
    }
    frame.render_widget(Paragraph::new(KEYS).style(paint.colour(Color::DarkGray)), keys);
}

fn head_lines(board: &Board, paint: Paint) -> Vec<Line<'static>> {
    let Some(report) = &board.report else {
        return vec![Line::raw(" looking …")];
    };
    let (mark, word, colour) = match report.available {
        true => ("●", "available", Color::Green),
        false => ("○", "not available", Color::Red),
    };
    let model = report.model.as_deref().map_or("no model".to_owned(), plain);
    let endpoint = report.endpoint.as_deref().map_or("no endpoint".to_owned(), plain);
    let mut lines = vec![
        Line::from(vec![
            Span::styled(format!(" {mark} "), paint.colour(colour)),
            Span::styled(word, paint.strong()),
            Span::raw(format!("   {model}   {}", report.lifecycle.unwrap_or("unknown"))),
        ]),
        Line::raw(format!("   {endpoint}   session {}", report.session.unwrap_or("unknown"))),
    ];
    for reason in reasons::causes(&report.missing).into_iter().take(2) {
        lines.push(Line::raw(format!("   {} ({reason})", reasons::words(reason).what)));
    }
    lines
}

fn overview(frame: &mut Frame<'_>, area: Rect, board: &Board, paint: Paint) {
    let [figures, plots] =
        Layout::vertical([Constraint::Length(OUTCOMES), Constraint::Min(0)]).areas(area);
    let [left, right] = halves(figures);
    frame.render_widget(Paragraph::new(outcome_lines(board)).block(framed("requests")), left);
    frame.render_widget(Paragraph::new(now_lines(board)).block(framed("now")), right);
    let [upper, lower] =
        Layout::vertical([Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)]).areas(plots);
    let ([cpu, tokens], [ram, fourth]) = (halves(upper), halves(lower));
    let now = board.now();
    let plot = |frame: &mut Frame<'_>, area, title: String, most, of: fn(&Sample) -> u64| {
        spark(frame, area, title, most, board, of, paint);
    };
    plot(frame, cpu, format!("cpu {:.0} %", now.cpu), Some(100), |it| it.cpu.round() as u64);
    plot(frame, tokens, format!("tokens {}/s", now.tokens), None, |it| it.tokens);
    let most_ram = board.facts.limits.map(|limits| limits.max_ram_bytes).filter(|most| *most > 0);
    plot(frame, ram, format!("memory {}", size(now.ram)), most_ram, |it| it.ram);
    if board.samples.iter().any(|it| it.vram > 0) {
        plot(frame, fourth, format!("graphics card {}", size(now.vram)), None, |it| it.vram);
    } else {
        let title = format!("requests {} running, {} waiting", now.running, now.waiting);
        plot(frame, fourth, title, None, |it| u64::from(it.running + it.waiting));
    }
}

fn halves(area: Rect) -> [Rect; 2] {
    Layout::horizontal([Constraint::Ratio(1, 2), Constraint::Ratio(1, 2)]).areas(area)
}

fn framed(title: &str) -> Block<'static> {
    Block::new().borders(Borders::TOP).title(format!(" {title} "))
}

fn outcome_lines(board: &Board) -> Vec<Line<'static>> {
    let outcomes = board.outcomes();
    if outcomes.is_empty() {
        return vec![Line::raw(" none yet")];
    }
    let row = |(reason, count): (&str, u64)| Line::raw(format!(" {count:>9}  {}", plain(reason)));
    outcomes.into_iter().map(row).collect()
}

fn now_lines(board: &Board) -> Vec<Line<'static>> {
    let now = board.now();
    let health = match board.door.health_age_ms {
        Some(age) => format!("{:.1} s ago", Duration::from_millis(age).as_secs_f64()),
        None => "never".to_owned(),
    };
    let failure = match board.facts.last_failure.as_str() {
        "" => "none".to_owned(),
        reason => plain(reason),
    };
    [
        ("running", now.running.to_string()),
        ("waiting", now.waiting.to_string()),
        ("tokens", format!("{} a second", now.tokens)),
        ("answered", health),
        ("failure", failure),
        ("lane", plain(&board.door.lane)),
    ]
    .map(|(name, value)| Line::raw(format!(" {name:<9}{value}")))
    .into()
}

fn spark(
    frame: &mut Frame<'_>,
    area: Rect,
    title: String,
    most: Option<u64>,
    board: &Board,
    of: fn(&Sample) -> u64,
    paint: Paint,
) {
    let room = usize::from(area.width);
    let shown = board.samples.len().saturating_sub(room);
    let values: Vec<u64> = board.samples.iter().skip(shown).map(of).collect();
    let mut plot =
        Sparkline::default().block(framed(&title)).data(values).style(paint.colour(Color::Cyan));
    if let Some(most) = most {
        plot = plot.max(most);
    }
    frame.render_widget(plot, area);
}

fn refusals(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let lines: Vec<Line<'static>> = match board.door.last_refusals.as_slice() {
        [] => vec![Line::raw(" none since the front door started")],
        last => last
            .iter()
            .map(|it| {
                let age = Duration::from_millis(it.age_ms).as_secs();
                let (route, reason) = (plain(&it.route), plain(&it.reason));
                Line::raw(format!(" {age:>6} s ago  {route:<22} {reason}"))
            })
            .collect(),
    };
    frame.render_widget(Paragraph::new(lines).block(framed("last refusals")), area);
}

/// The last lines that fit; each is cut at the edge.
fn output(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let room = usize::from(area.height.saturating_sub(1));
    let shown = board.output.len().saturating_sub(room);
    let mut lines: Vec<Line<'_>> =
        board.output.iter().skip(shown).map(|line| Line::raw(format!(" {line}"))).collect();
    if lines.is_empty() {
        lines.push(Line::raw(" nothing yet"));
    }
    frame.render_widget(Paragraph::new(lines).block(framed("runtime's output")), area);
}
