//! Screens as text, compared with the files in `screens/`; `COMPANION_WRITE_SCREENS=1` writes them.

use std::path::Path;

use authority_api::v1::{Session, SessionState};
use frontdoor_api::v1::{FrontdoorStatus, Refused};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Style;
use runtime_api::v1::{Lifecycle, ResourceLimits, Resources, RuntimeFacts};

use super::super::status::Heard;
use super::board::{Board, View};
use super::draw::draw;

fn look(second: u64) -> Heard {
    let refused = |age_ms, route: &str, reason: &str| Refused {
        age_ms,
        route: route.to_owned(),
        reason: reason.to_owned(),
    };
    let counts = [("ok", 40 + second), ("invalid_token", 3), ("cross_origin", 1)];
    Heard {
        frontdoor: Some(FrontdoorStatus {
            available: true,
            endpoint: "http://127.0.0.1:4711".to_owned(),
            lane: "local".to_owned(),
            in_flight: 2,
            queued: u32::try_from(second % 4).expect("small"),
            health_age_ms: Some(1200),
            requests: counts.map(|(reason, count)| (reason.to_owned(), count)).into(),
            streamed_pieces: second * 40 + (second % 7) * 3,
            last_refusals: vec![
                refused(2000, "/v1/chat/completions", "invalid_token"),
                refused(61_000, "other", "cross_origin"),
            ],
            ..FrontdoorStatus::default()
        }),
        supervisor: Some(RuntimeFacts {
            lifecycle: Lifecycle::Ready.into(),
            model_id: "smollm2-135m-instruct".to_owned(),
            resources: Some(Resources {
                observed: true,
                ram_bytes: 200_000_000 + second * 10_000_000,
                vram_bytes: 0,
                cpu_percent: f64::from(u32::try_from(second % 50).expect("small") * 2),
            }),
            limits: Some(ResourceLimits { max_ram_bytes: 2 << 30, ..ResourceLimits::default() }),
            ..RuntimeFacts::default()
        }),
        broker: Some(Session { state: SessionState::Valid.into(), ..Session::default() }),
    }
}

fn board() -> Board {
    let mut board = Board::default();
    for second in 1..60 {
        board.see(look(second), Some((0..40).map(|line| format!("line {line}")).collect()));
    }
    board
}

fn screen(board: &Board, view: View, size: (u16, u16), colours: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a backend");
    terminal.draw(|frame| draw(frame, board, view, colours)).expect("a screen");
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let symbols: Vec<&str> = buffer.content.iter().map(|cell| cell.symbol()).collect();
    let rows = symbols.chunks(width).map(|row| row.concat().trim_end().to_owned());
    rows.map(|row| row + "\n").collect()
}

fn assert_screen(name: &str, drawn: &str) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/commands/top/screens")
        .join(format!("{name}.txt"));
    if std::env::var_os("COMPANION_WRITE_SCREENS").is_some() {
        std::fs::write(&kept, drawn).expect("it is written");
    }
    assert_eq!(drawn, std::fs::read_to_string(&kept).expect("it is kept"), "{name}");
}

#[test]
fn each_view_fits_into_80_by_24_and_grows_with_the_terminal() {
    let board = board();
    for (name, view, size) in [
        ("overview", View::Overview, (80, 24)),
        ("overview-wide", View::Overview, (120, 36)),
        ("refusals", View::Refusals, (80, 24)),
        ("output", View::Output, (80, 24)),
    ] {
        assert_screen(name, &text(&screen(&board, view, size, true)));
    }
}

#[test]
fn what_is_missing_is_said_and_what_was_heard_before_is_forgotten() {
    let mut board = board();
    board.see(Heard::default(), None);
    let drawn = text(&screen(&board, View::Overview, (80, 24), true));
    assert!(drawn.contains("not available") && drawn.contains("(supervisor_unreachable)"));
    assert!(!drawn.contains("smollm2"), "{drawn}");
    assert_screen("unreachable", &drawn);
}

#[test]
fn before_the_first_look_nothing_is_claimed() {
    let drawn = text(&screen(&Board::default(), View::Overview, (80, 24), true));
    assert!(drawn.contains("looking") && !drawn.contains("available"));
}

#[test]
fn without_colours_no_cell_has_a_style() {
    let [with, without] =
        [true, false].map(|colours| screen(&board(), View::Overview, (80, 24), colours));
    let plain = |buffer: &Buffer| buffer.content.iter().all(|cell| cell.style() == plain_style());
    assert!(!plain(&with));
    assert!(plain(&without));
    assert_eq!(text(&with), text(&without));
}

fn plain_style() -> Style {
    ratatui::buffer::Cell::default().style()
}

#[test]
fn a_terminal_too_small_for_it_does_no_harm() {
    for size in [(1, 1), (10, 3), (79, 5), (200, 2)] {
        for view in [View::Overview, View::Refusals, View::Output] {
            screen(&board(), view, size, true);
        }
    }
}

#[test]
fn a_front_door_that_was_replaced_counts_from_nought() {
    let mut board = board();
    let mut fresh = look(1);
    fresh.frontdoor.as_mut().expect("a door").streamed_pieces = 5;
    board.see(fresh, None);
    assert_eq!(board.now().tokens, 0);
}
