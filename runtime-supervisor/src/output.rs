//! The runtime's output: a bounded ring of lines, without anything that a request put there.
//!
//! Once it serves, the runtime echoes parts of requests in warnings and errors (a grammar that
//! does not parse, the URL of an image). Of those lines only the place that wrote them is kept.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::limits::{LINE_BYTES, OUTPUT_BYTES, OUTPUT_LINES};

/// Put in place of text that may come from a request.
const WITHHELD: &str = " [withheld]";

/// The kept lines, with a number that grows by one a line.
#[derive(Debug)]
pub(crate) struct Output {
    ring: Mutex<Ring>,
    /// The number that the next line will have.
    next: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<String>,
    bytes: usize,
    /// The number of the first line in the ring.
    first: u64,
}

impl Output {
    /// An empty ring.
    pub(crate) fn new() -> Arc<Self> {
        let (next, _) = watch::channel(0);
        Arc::new(Self { ring: Mutex::default(), next })
    }

    /// The kept lines from number `from` on, and the number after the last.
    pub(crate) fn lines_from(&self, from: u64) -> (Vec<String>, u64) {
        let ring = self.lock();
        let skip = usize::try_from(from.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        let lines = ring.lines.iter().skip(skip).cloned().collect();
        (lines, ring.first + u64::try_from(ring.lines.len()).unwrap_or(0))
    }

    /// Changes whenever there is a new line.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// Reads one runtime's output to its end; `serving` says whether requests may reach it.
    pub(crate) async fn collect(
        self: Arc<Self>,
        pipe: OwnedFd,
        serving: Arc<AtomicBool>,
    ) -> std::io::Result<()> {
        let mut pipe = pipe::Receiver::from_owned_fd(pipe)?;
        let mut piece = vec![0; LINE_BYTES];
        let mut line = Vec::new();
        loop {
            let read = pipe.read(&mut piece).await?;
            if read == 0 {
                self.take_line(&line, serving.load(Ordering::SeqCst));
                return Ok(());
            }
            for byte in &piece[..read] {
                if *byte == b'\n' {
                    self.take_line(&line, serving.load(Ordering::SeqCst));
                    line.clear();
                } else if line.len() < LINE_BYTES {
                    line.push(*byte);
                }
            }
        }
    }

    fn take_line(&self, line: &[u8], serving: bool) {
        let line = printable(line);
        let kept = if serving { without_payload(&line) } else { Some(line) };
        let Some(line) = kept.filter(|line| !line.trim().is_empty()) else { return };
        let mut ring = self.lock();
        ring.bytes += line.len();
        ring.lines.push_back(line);
        while ring.lines.len() > OUTPUT_LINES || ring.bytes > OUTPUT_BYTES {
            let Some(dropped) = ring.lines.pop_front() else { break };
            ring.bytes -= dropped.len();
            ring.first += 1;
        }
        drop(ring);
        self.next.send_modify(|next| *next += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line as text without control characters: a model's own words may try to steer a terminal.
fn printable(line: &[u8]) -> String {
    String::from_utf8_lossy(line)
        .chars()
        .map(|c| if c == '\t' { ' ' } else { c })
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// What a serving runtime's line says about itself: `TIME LEVEL slot FUNCTION: …` at level I
/// holds numbers only and is kept whole; of any other line of that form only the place is kept;
/// a line of no form continues another one and is dropped.
fn without_payload(line: &str) -> Option<String> {
    let (time, rest) = line.split_once(' ')?;
    let is_time = !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let (level, message) = rest.split_once(' ')?;
    if !is_time || !matches!(level, "I" | "W" | "E" | "D" | "T") {
        return None;
    }
    if level == "I" && message.starts_with("slot ") {
        return Some(line.to_owned());
    }
    let place: String = message.split(':').next()?.chars().take(40).collect();
    let is_place = message.contains(':')
        && place.chars().all(|c| c.is_ascii_alphanumeric() || " _()".contains(c));
    is_place.then(|| format!("{time} {level} {place}:{WITHHELD}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn output_of(lines: &[&str], serving: bool) -> Vec<String> {
        let output = Output::new();
        for line in lines {
            output.take_line(line.as_bytes(), serving);
        }
        output.lines_from(0).0
    }

    #[test]
    fn what_a_request_put_into_a_line_is_withheld() {
        let kept = output_of(
            &[
                "0.00.302.403 I slot launch_slot_: id  1 | task 0 | processing task",
                "0.00.785.841 W srv    operator(): got exception: {\"message\":\"CANARY\"}",
                "parse: error parsing grammar: Undefined rule identifier 'CANARY'",
                "CANARY ::= x",
                "0.00.798.855 E CANARY",
                "0.00.798.856 I srv  load_image: downloading image from 'https://x/CANARY'",
                "1 I CANARY \"quoted\": x",
            ],
            true,
        );
        assert_eq!(
            kept,
            [
                "0.00.302.403 I slot launch_slot_: id  1 | task 0 | processing task",
                "0.00.785.841 W srv    operator(): [withheld]",
                "0.00.798.856 I srv  load_image: [withheld]",
            ]
        );
    }

    #[test]
    fn before_it_serves_every_line_is_kept_without_control_characters() {
        let kept = output_of(&["error: tensor 'a' is \u{1b}[31mmissing\u{7}", "   "], false);
        assert_eq!(kept, ["error: tensor 'a' is \u{fffd}[31mmissing\u{fffd}"]);
    }

    #[test]
    fn the_ring_is_bounded_in_lines_and_bytes_and_numbers_go_on() {
        let output = Output::new();
        for number in 0..OUTPUT_LINES + 10 {
            output.take_line(format!("line {number}").as_bytes(), false);
        }
        let (lines, next) = output.lines_from(0);
        assert_eq!((lines.len(), lines[0].as_str()), (OUTPUT_LINES, "line 10"));
        assert_eq!(next, (OUTPUT_LINES + 10) as u64);
        assert_eq!(output.lines_from(next - 1).0.len(), 1);
        assert_eq!(output.lines_from(next + 5).0.len(), 0);
        for _ in 0..OUTPUT_LINES {
            output.take_line(&[b'x'; LINE_BYTES], false);
        }
        assert!(output.lock().bytes <= OUTPUT_BYTES);
    }

    #[tokio::test]
    async fn output_is_read_to_its_end_and_long_lines_are_cut() {
        let (read, write) = std::io::pipe().unwrap();
        let mut write = std::fs::File::from(OwnedFd::from(write));
        let output = Output::new();
        let mut changed = output.watch();
        let collecting =
            tokio::spawn(Arc::clone(&output).collect(OwnedFd::from(read), Arc::default()));
        writeln!(write, "first").unwrap();
        changed.changed().await.unwrap();
        writeln!(write, "{}", "y".repeat(3 * LINE_BYTES)).unwrap();
        write!(write, "last").unwrap();
        drop(write);
        collecting.await.unwrap().unwrap();
        let (lines, next) = output.lines_from(0);
        assert_eq!(next, 3);
        assert_eq!((lines[0].as_str(), lines[2].as_str()), ("first", "last"));
        assert_eq!(lines[1].len(), LINE_BYTES);
    }
}
