//! `cargo xtask check`: the quick look before a commit.

use std::process::ExitCode;

use anyhow::Result;

use crate::report::Report;
use crate::setup;
use crate::test::{Checks, format, graph, lints};
use crate::workspace::Workspace;

/// Runs format, clippy and the crate graph.
///
/// # Errors
/// When a tool is missing.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    setup::rust_components()?;
    let mut checks = Checks::new(Report::for_people());
    checks.one("format", &mut format(&workspace))?;
    checks.one("lints", &mut lints(&workspace))?;
    checks.one("crate graph", &mut graph(&workspace))?;
    Ok(checks.finish())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Underscores in a name that can only be a test's: reason codes and keys have fewer.
    const TEST_NAME: usize = 4;

    #[test]
    fn the_documents_name_only_tests_that_exist() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let sources = texts(root, "rs");
        let documents = texts(&root.join("docs"), "md");
        let is_name = |word: &str| {
            word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let named: Vec<_> = documents
            .split('`')
            .filter(|word| is_name(word) && word.matches('_').count() >= TEST_NAME)
            .collect();
        assert!(named.len() > 40, "only {} found", named.len());
        let missing: Vec<_> =
            named.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
        assert!(missing.is_empty(), "no such test: {missing:#?}");
    }

    /// Every file of this kind beneath a directory, builds and hidden directories left out.
    fn texts(dir: &Path, extension: &str) -> String {
        let mut all = String::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                all.push_str(&texts(&path, extension));
            } else if path.extension().is_some_and(|ext| ext == extension) {
                all.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
        all
    }
}
