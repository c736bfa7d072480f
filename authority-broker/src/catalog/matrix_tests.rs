//! The catalog against repositories of python-tuf, the reference implementation: each attack that
//! the specification names, and each catalog that says something wrong (contract 8).

use std::collections::BTreeMap;
use std::process::Stdio;

use authority_core::Reason;
use serde::Deserialize;

use super::repository::Files;
use super::tests::{Stand, ids, startable};

const SCRIPT: &str = include_str!("matrix.py");

#[derive(Deserialize)]
struct Case {
    pinned: String,
    steps: Vec<Step>,
}

/// What the gateway gives out, and what a broker that starts then makes of it.
#[derive(Deserialize)]
struct Step {
    files: BTreeMap<String, String>,
    expected: Expected,
    /// What may be started then, of this catalog or of the one before.
    still: Expected,
    /// A file that goes on after its end.
    endless: Option<String>,
}

/// Every id in order, or why there is none.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Expected {
    Ids(Vec<String>),
    Refused(String),
}

impl Expected {
    fn is(&self, outcome: &Result<Vec<String>, Reason>) -> bool {
        match (self, outcome) {
            (Self::Ids(expected), Ok(ids)) => ids == expected,
            (Self::Refused(expected), Err(reason)) => expected == reason.as_str(),
            (Self::Ids(_), Err(_)) | (Self::Refused(_), Ok(_)) => false,
        }
    }
}

impl Step {
    fn give_out(&self, files: &Files) {
        let bytes = |(name, text): (&String, &String)| (name.clone(), text.clone().into_bytes());
        let mut given: BTreeMap<_, _> = self.files.iter().map(bytes).collect();
        if let Some(name) = &self.endless {
            given.get_mut(name).unwrap().resize(11 * 1024 * 1024, b' ');
        }
        *files.lock().unwrap() = given;
    }
}

fn cases() -> BTreeMap<String, Case> {
    let python = std::env::var("COMPANION_TEST_PYTHON")
        .expect("COMPANION_TEST_PYTHON names a Python with `tuf`: run `cargo xtask test`");
    let output = std::process::Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn each_repository_of_the_reference_implementation_is_taken_or_refused_as_specified() {
    let cases = cases();
    assert!(cases.len() >= 78, "{}", cases.len());
    let mut wrong = Vec::new();
    for (name, case) in cases {
        let files = Files::default();
        let stand = Stand::giving(files.clone(), case.pinned.into_bytes());
        for (at, step) in case.steps.iter().enumerate() {
            step.give_out(&files);
            let started = stand.started();
            let listed = ids(&started).await;
            if !step.expected.is(&listed) {
                wrong.push(format!("{name}, step {at}: {listed:?}, not {:?}", step.expected));
            }
            let still = startable(&started).await;
            if !step.still.is(&still) {
                wrong.push(format!("{name}, step {at}: startable {still:?}, not {:?}", step.still));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
