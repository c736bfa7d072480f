//! `companionctl top`: the companion, live. One look a second; a key or a signal is answered at
//! once, and the terminal is given back whatever ends it.

mod board;
mod draw;
#[cfg(test)]
mod panic_tests;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use runtime_api::v1::LogsRequest;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use self::board::{Board, View};
use super::status::{self, Heard};
use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};
use crate::terminal::plain;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(context: &Context, out: &Output) -> Result<ExitCode, Failure> {
    if !context.is_running().await {
        return Err(Refusal::new("companion_not_running").into());
    }
    if out.is_json() || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Refusal::new("not_a_terminal").into());
    }
    let mut screen = Screen::take()?;
    watch(context, out.style().has_colours(), &mut screen.0).await?;
    Ok(ExitCode::SUCCESS)
}

/// The terminal for as long as this lives; given back when dropped, and by a panic too.
struct Screen(DefaultTerminal);

impl Screen {
    fn take() -> Result<Self, Failure> {
        Ok(Self(ratatui::try_init()?))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// What one look saw.
struct Look {
    heard: Heard,
    /// The runtime's output, while it is shown.
    output: Option<Vec<String>>,
}

async fn watch(
    context: &Context,
    colours: bool,
    terminal: &mut DefaultTerminal,
) -> Result<(), Failure> {
    let view = Cell::new(View::Overview);
    let mut board = Board::default();
    let mut looks = pin!(looks(context, &view));
    let mut events = events()?;
    let mut ends = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()]
        .into_iter()
        .map(signal)
        .collect::<Result<Vec<_>, _>>()?;
    loop {
        terminal.draw(|frame| draw::draw(frame, &board, view.get(), colours))?;
        let ended =
            futures_util::future::select_all(ends.iter_mut().map(|end| Box::pin(end.recv())));
        tokio::select! {
            Some(look) = looks.next() => board.see(look.heard, look.output),
            event = events.recv() => match event.as_ref().map(key_of) {
                Some(Some(Key::Show(next))) => view.set(if view.get() == next { View::Overview } else { next }),
                Some(Some(Key::Quit)) | None => return Ok(()),
                Some(None) => {}
            },
            _ = ended => return Ok(()),
        }
    }
}

fn looks<'a>(context: &'a Context, view: &'a Cell<View>) -> impl Stream<Item = Look> + 'a {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold(ticks, move |mut ticks| async move {
        ticks.tick().await;
        let heard = status::hear(context).await;
        let output = match view.get() {
            View::Output => Some(output(context).await.unwrap_or_default()),
            View::Overview | View::Refusals => None,
        };
        Some((Look { heard, output }, ticks))
    })
}

async fn output(context: &Context) -> Result<Vec<String>, Refusal> {
    let mut supervisor = context.supervisor();
    let call = supervisor.logs(LogsRequest { follow: false });
    let mut lines = context.ask(Process::Supervisor, limits::FACTS, call).await?;
    let mut output = Vec::new();
    while let Some(line) = context.next(Process::Supervisor, &mut lines).await? {
        output.push(plain(&line.line));
    }
    Ok(output)
}

/// What happens at the terminal, read by a thread of its own; it ends with the process.
fn events() -> Result<mpsc::UnboundedReceiver<Event>, Failure> {
    let (sender, events) = mpsc::unbounded_channel();
    std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
        while let Ok(event) = event::read() {
            if sender.send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(events)
}

enum Key {
    Show(View),
    Quit,
}

fn key_of(event: &Event) -> Option<Key> {
    let Event::Key(key) = event else { return None };
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char('q') => Some(Key::Quit),
        KeyCode::Char('r') => Some(Key::Show(View::Refusals)),
        KeyCode::Char('l') => Some(Key::Show(View::Output)),
        KeyCode::Esc => Some(Key::Show(View::Overview)),
        _ => None,
    }
}
