//! One finding: its state, what it means, and what mends it.

use serde::Serialize;

use crate::refusal::Refusal;
use crate::terminal::{Paint, Style, plain};

/// How a check came out. Only `Fail` makes the command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    Warn,
    Fail,
}

/// One line of the report, and one object of `doctor --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) meaning: String,
    pub(super) mend: Option<String>,
    pub(super) reason: Option<String>,
}

impl Check {
    pub(super) fn ok(check: &'static str, meaning: impl Into<String>) -> Self {
        Self { check, state: State::Ok, meaning: meaning.into(), mend: None, reason: None }
    }

    pub(super) fn warn(
        check: &'static str,
        meaning: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { state: State::Warn, mend: Some(mend.into()), ..Self::ok(check, meaning) }
    }

    pub(super) fn fail(
        check: &'static str,
        meaning: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { state: State::Fail, ..Self::warn(check, meaning, mend) }
    }

    /// A finding that has a reason code, in that code's own words.
    pub(super) fn refused(check: &'static str, state: State, refusal: &Refusal) -> Self {
        let mend = Some(refusal.next()).filter(|next| !next.is_empty()).map(str::to_owned);
        let reason = Some(refusal.reason().to_owned());
        Self { check, state, meaning: refusal.what(), mend, reason }
    }

    pub(super) fn for_people(&self, style: Style) -> String {
        let (paint, word) = match self.state {
            State::Ok => (Paint::Good, "ok  "),
            State::Warn => (Paint::Careful, "warn"),
            State::Fail => (Paint::Bad, "fail"),
        };
        let name = style.paint(Paint::Quiet, &format!("{:<13}", self.check));
        let mut line = format!("{}  {name} {}", style.paint(paint, word), plain(&self.meaning));
        if let Some(mend) = &self.mend {
            line.push(' ');
            line.push_str(&plain(mend));
        }
        if let Some(reason) = &self.reason {
            line.push_str(&format!(" ({reason})"));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_finding_is_one_line_with_its_mend_and_its_reason_code() {
        let check =
            Check::refused("companion", State::Fail, &Refusal::new("companion_not_running"));
        assert_eq!(
            check.for_people(Style::without_colours()),
            "fail  companion     The companion is not running. Start it: `companion up`. \
             (companion_not_running)"
        );
        assert_eq!(
            serde_json::to_value(&check).unwrap(),
            json!({ "check": "companion", "state": "fail",
                "meaning": "The companion is not running.", "mend": "Start it: `companion up`.",
                "reason": "companion_not_running" })
        );
    }

    #[test]
    fn what_came_from_outside_has_no_power_over_the_terminal() {
        let check = Check::ok("kernel", "Linux \u{1b}[2J6.18.");
        assert!(!check.for_people(Style::without_colours()).contains('\u{1b}'));
    }
}
