//! A person's own time: what they wait for is measured, and what they type and read is reckoned.

use std::time::Duration;

use anyhow::{Result, ensure};
use typist::Done;

/// The most that may be spent on one way.
const FIVE_MINUTES: Duration = Duration::from_secs(300);
/// Of somebody who does not hurry: keys a minute (40 words of five), and words a minute.
const KEYS: usize = 200;
const WORDS: usize = 200;
/// Words that are read of what one command shows; a table of hundreds is looked over.
const GLANCE: usize = 100;

/// Time spent on one way from a clone to an answer.
#[derive(Debug)]
pub(crate) struct Spent {
    way: &'static str,
    waiting: Duration,
    typing: Duration,
    reading: Duration,
    /// Told apart: nobody sits before it.
    compiling: Duration,
}

impl Spent {
    /// So far on the clone alone.
    pub(crate) fn on(way: &'static str, cloning: Duration) -> Self {
        let none = Duration::ZERO;
        Self { way, waiting: cloning, typing: none, reading: none, compiling: none }
    }

    /// Of a document.
    pub(crate) fn reading(&mut self, text: &str) {
        self.reading += minutes(text.split_whitespace().count(), WORDS);
    }

    pub(crate) fn compiling(&mut self, took: Duration) {
        self.compiling += took;
    }

    /// What was typed, with what it showed.
    pub(crate) fn doing(&mut self, done: &[Done]) {
        for Done { command, keys, told, took } in done {
            let typing = minutes(*keys, KEYS);
            eprintln!("{:>8.1} s  {command}", took.as_secs_f64());
            self.typing += typing;
            if command.starts_with("cargo build") {
                self.compiling += *took;
            } else {
                self.waiting += *took;
                self.reading += minutes(told.split_whitespace().take(GLANCE).count(), WORDS);
            }
        }
    }

    /// Tells all of it.
    ///
    /// # Errors
    /// When it is more than five minutes.
    pub(crate) fn says(&self) -> Result<()> {
        let Self { way, waiting, typing, reading, compiling } = self;
        let own = *waiting + *typing + *reading;
        eprintln!(
            "From a clone to an answer with {way}: {:.0} s of one's own time (waiting {:.0} s, typing \
             {:.0} s, reading {:.0} s); compiling, apart: {:.0} s",
            own.as_secs_f64(),
            waiting.as_secs_f64(),
            typing.as_secs_f64(),
            reading.as_secs_f64(),
            compiling.as_secs_f64()
        );
        ensure!(own < FIVE_MINUTES, "{way}: {own:?}");
        Ok(())
    }
}

fn minutes(count: usize, a_minute: usize) -> Duration {
    Duration::from_secs_f64(count as f64 * 60.0 / a_minute as f64)
}
