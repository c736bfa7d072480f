//! `companionctl capabilities`: what each process can and cannot do, tried just then by itself.

use std::process::ExitCode;

use capability_api::v1::{ProcessTrials, Trial, TryRequest};
use comfy_table::{Cell, Table, presets};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::refusal::{Failure, Refusal};
use crate::terminal::{Paint, Style, plain};

/// The processes of the matrix, in its order.
const COLUMNS: [&str; 5] = ["launcher", "broker", "supervisor", "frontdoor", "runtime"];

pub(crate) async fn run(context: &Context, out: &Output) -> Result<ExitCode, Failure> {
    let mut answers = Vec::new();
    let asked = Process::ALL.map(|process| ask(context, process));
    for answer in join_all(asked).await {
        answers.extend(answer?);
    }
    let matrix = Matrix::of(answers);
    out.object(&matrix.as_json())?;
    out.say(&matrix.for_people(out.style()))?;
    Ok(if matrix.is_as_expected() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What one process tells; of one that does not answer, that and nothing else.
async fn ask(context: &Context, process: Process) -> Result<Vec<ProcessTrials>, Refusal> {
    let mut client = context.capabilities(process);
    let call = client.r#try(TryRequest {});
    match context.ask(process, limits::TRIALS, call).await {
        Ok(answer) => Ok(answer.processes),
        Err(refusal) if refusal.reason() == "companion_not_running" => Err(refusal),
        Err(_) => Ok(Vec::new()),
    }
}

/// Everything that was told, a process for each column.
struct Matrix(Vec<ProcessTrials>);

impl Matrix {
    /// A process that nobody told of is there too: with nothing tried, it is not as expected.
    fn of(answers: Vec<ProcessTrials>) -> Self {
        let column = |name: &str| {
            let mut told = answers.iter().filter(|told| told.process == name);
            match (told.next(), told.next()) {
                (Some(told), None) => told.clone(),
                _ => ProcessTrials {
                    process: name.to_owned(),
                    failure: "no_answer".to_owned(),
                    ..ProcessTrials::default()
                },
            }
        };
        Self(COLUMNS.map(column).into())
    }

    fn is_as_expected(&self) -> bool {
        self.0.iter().all(|told| {
            told.failure.is_empty()
                && !told.trials.is_empty()
                && told.trials.iter().all(|trial| trial.as_expected)
        })
    }

    fn as_json(&self) -> Value {
        let trial = |trial: &Trial| {
            json!({
                "attempt": trial.attempt,
                "may": trial.may,
                "happened": trial.happened,
                "as_expected": trial.as_expected,
            })
        };
        let processes = self.0.iter().map(|told| {
            json!({
                "process": told.process,
                "failure": (!told.failure.is_empty()).then_some(&told.failure),
                "trials": told.trials.iter().map(trial).collect::<Vec<_>>(),
            })
        });
        json!({ "as_expected": self.is_as_expected(), "processes": processes.collect::<Vec<_>>() })
    }

    fn for_people(&self, style: Style) -> String {
        let mut text = self.table(style);
        let mut count = 0;
        for told in &self.0 {
            count += told.trials.len();
            if !told.failure.is_empty() {
                let reason = Refusal::told(&told.failure).message();
                text.push_str(&format!("\n{}: nothing was tried. {reason}", told.process));
            }
            for trial in told.trials.iter().filter(|trial| !trial.as_expected) {
                let expected = if trial.may { "allowed" } else { "refused" };
                let line = format!(
                    "{}: \"{}\" was to be {expected}, and was {}",
                    told.process,
                    plain(&trial.attempt),
                    plain(&trial.happened)
                );
                text.push('\n');
                text.push_str(&style.paint(Paint::Bad, &line));
            }
        }
        let verdict = if self.is_as_expected() {
            style.paint(Paint::Good, "all of them as expected")
        } else {
            style.paint(Paint::Bad, "NOT all of them as expected")
        };
        format!("{text}\n\n{count} attempts in {} processes, {verdict}.", self.0.len())
    }

    fn table(&self, style: Style) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(std::iter::once("TRIES TO").chain(COLUMNS));
        for attempt in self.attempts() {
            let cells = self.0.iter().map(|told| {
                let trial = told.trials.iter().find(|trial| trial.attempt == attempt);
                Cell::new(trial.map_or_else(String::new, |trial| word(trial, style)))
            });
            table.add_row(std::iter::once(Cell::new(plain(attempt))).chain(cells));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.trim_fmt()
    }

    /// Every attempt once, in the order of whoever was told of it first.
    fn attempts(&self) -> Vec<&str> {
        let mut attempts: Vec<&str> = Vec::new();
        for trial in self.0.iter().flat_map(|told| &told.trials) {
            if !attempts.contains(&trial.attempt.as_str()) {
                attempts.push(&trial.attempt);
            }
        }
        attempts
    }
}

/// What happened, as one word; in capitals where it was not expected.
fn word(trial: &Trial, style: Style) -> String {
    match (trial.as_expected, trial.may) {
        (true, true) => style.paint(Paint::Careful, "may"),
        (true, false) => style.paint(Paint::Good, "refused"),
        (false, true) => style.paint(Paint::Bad, "REFUSED"),
        (false, false) => style.paint(Paint::Bad, "NOT REFUSED"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(may: bool, as_expected: bool) -> Trial {
        Trial {
            attempt: "make an internet socket".to_owned(),
            may,
            happened: "refused (EPERM)".to_owned(),
            as_expected,
        }
    }

    fn told(trials: &[Trial]) -> Vec<ProcessTrials> {
        let told = |name: &str| ProcessTrials {
            process: name.to_owned(),
            trials: trials.to_vec(),
            failure: String::new(),
        };
        COLUMNS.map(told).into()
    }

    fn shown(matrix: &Matrix) -> String {
        matrix.for_people(Style::without_colours())
    }

    #[test]
    fn all_as_expected_is_said_with_the_count() {
        let matrix = Matrix::of(told(&[trial(false, true)]));
        assert!(matrix.is_as_expected());
        assert!(shown(&matrix).ends_with("5 attempts in 5 processes, all of them as expected."));
        assert_eq!(matrix.as_json()["as_expected"], true);
        assert_eq!(
            matrix.as_json()["processes"][4],
            json!({ "process": "runtime", "failure": null, "trials": [{
                "attempt": "make an internet socket", "may": false,
                "happened": "refused (EPERM)", "as_expected": true,
            }] })
        );
    }

    #[test]
    fn one_difference_anywhere_is_named() {
        let mut answers = told(&[trial(false, true)]);
        answers[2].trials[0] = trial(true, false);
        let matrix = Matrix::of(answers);
        assert!(!matrix.is_as_expected());
        let text = shown(&matrix);
        assert!(text.contains("supervisor: \"make an internet socket\" was to be allowed"));
        assert!(text.ends_with("NOT all of them as expected."));
    }

    #[test]
    fn a_process_that_told_nothing_or_twice_is_not_as_expected() {
        let all = told(&[trial(false, true)]);
        let without: Vec<_> = all.iter().skip(1).cloned().collect();
        let twice: Vec<_> = all.iter().chain(&all[..1]).cloned().collect();
        let mut empty = all.clone();
        empty[3].trials.clear();
        let mut failed = all;
        failed[4].failure = "spawn_failed".to_owned();
        for answers in [without, twice, empty, failed, Vec::new()] {
            let matrix = Matrix::of(answers);
            assert!(!matrix.is_as_expected());
            assert_eq!(matrix.as_json()["processes"].as_array().unwrap().len(), 5);
            assert!(shown(&matrix).contains("NOT all"));
        }
    }
}
