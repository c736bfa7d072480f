//! How fast an answer came, measured where it is read.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The moments of one answer.
#[derive(Debug)]
pub(super) struct Speed {
    asked: Instant,
    first: Option<Instant>,
    last: Instant,
}

impl Speed {
    pub(super) fn begin() -> Self {
        let now = Instant::now();
        Self { asked: now, first: None, last: now }
    }

    /// Notes that text came.
    pub(super) fn text_came(&mut self) {
        self.last = Instant::now();
        self.first.get_or_insert(self.last);
    }

    /// Time from the question to the first text: queue, prompt and first token.
    fn until_first(&self) -> Option<Duration> {
        self.first.map(|first| first - self.asked)
    }

    /// Tokens a second after the first one; `None` where there is nothing to divide.
    fn tokens_per_second(&self, tokens: u64) -> Option<f64> {
        let took = (self.last - self.first?).as_secs_f64();
        (tokens > 1 && took > 0.0).then(|| rounded((tokens - 1) as f64 / took))
    }

    pub(super) fn as_json(&self, tokens: u64) -> Value {
        json!({
            "first_token_ms": self.until_first().map(|wait| wait.as_millis() as u64),
            "tokens_per_second": self.tokens_per_second(tokens),
        })
    }

    pub(super) fn for_people(&self, tokens: u64) -> String {
        let mut words = vec![format!("{tokens} tokens")];
        if let Some(rate) = self.tokens_per_second(tokens) {
            words.push(format!("{rate:.1} tokens/s"));
        }
        if let Some(wait) = self.until_first() {
            words.push(format!("the first after {:.2} s", wait.as_secs_f64()));
        }
        format!("({})", words.join(", "))
    }
}

fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_counts_what_came_after_the_first_token() {
        let asked = Instant::now();
        let at = |ms: u64| asked + Duration::from_millis(ms);
        let speed = Speed { asked, first: Some(at(250)), last: at(2250) };
        assert_eq!(speed.as_json(101), json!({ "first_token_ms": 250, "tokens_per_second": 50.0 }));
        assert_eq!(speed.for_people(101), "(101 tokens, 50.0 tokens/s, the first after 0.25 s)");
    }

    #[test]
    fn where_nothing_came_nothing_is_claimed() {
        let none = json!({ "first_token_ms": null, "tokens_per_second": null });
        assert_eq!(Speed::begin().as_json(0), none);
        assert_eq!(Speed::begin().for_people(0), "(0 tokens)");
    }
}
