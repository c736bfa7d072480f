//! The threat model names a test for each control: every name is a test of this tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A name of this many words is meant as a test's.
const WORDS: usize = 4;

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("docs/threat-model.md")).expect("the threat model");
    let named: BTreeSet<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.split('_').count() >= WORDS && !name.contains([' ', '/', '.']))
        .collect();
    assert!(named.len() > 20, "the names are not found: {named:?}");
    let mut missing = named;
    for file in rust_files(&root) {
        let source = fs::read_to_string(&file).expect("a source file");
        missing.retain(|name| !source.contains(&format!("fn {name}(")));
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

/// Each threat of contract 2 has its heading.
#[test]
fn every_threat_has_its_section() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/threat-model.md");
    let text = fs::read_to_string(path).expect("the threat model");
    for letter in 'a'..='k' {
        assert!(text.contains(&format!("## P{letter}: ")), "P{letter}");
    }
}

fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).expect("a directory").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let hidden = name.to_string_lossy().starts_with('.');
            if path.is_dir() && !hidden && name != "target" {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}
