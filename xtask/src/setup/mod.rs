//! What a fresh machine lacks, made once: packages, `llama-server`, the model, tools.
//!
//! Everything lies in one cache directory outside the checkout, under names that appear only
//! when complete. An interrupted run is taken up where it stopped.

mod apt;
mod cache;
mod llama;
mod model;
mod node;
mod pip;
mod rivals;
mod tools;

use std::path::PathBuf;

use anyhow::Result;

use crate::report::Report;

pub(crate) use cache::Cache;
pub(crate) use node::Node;
pub(crate) use rivals::Proxies;
pub(crate) use tools::{cargo_deny, cargo_nextest, path_with_tools, rust_components, test_python};

/// The two real files that demo, tests and benchmarks run on.
#[derive(Debug, Clone)]
pub(crate) struct Assets {
    /// The program `llama-server`.
    pub(crate) llama_server: PathBuf,
    /// The model, a GGUF file.
    pub(crate) model: PathBuf,
}

/// Makes all of it, or finds it made.
///
/// # Errors
/// Names what is missing and how to get it.
pub(crate) fn everything(report: &mut Report) -> Result<Assets> {
    apt::ensure(report, &apt::SESSION)?;
    let cache = Cache::open()?;
    let llama_server = llama::ensure(report, &cache)?;
    let model = model::ensure(report, &cache)?;
    Ok(Assets { llama_server, model })
}

/// nginx and haproxy, to compare with.
///
/// # Errors
/// When they are missing and packages cannot be fetched.
pub(crate) fn proxies(report: &mut Report) -> Result<Proxies> {
    rivals::proxies(report, &Cache::open()?)
}

/// `aria2c`, to compare with.
///
/// # Errors
/// When it is missing and packages cannot be fetched.
pub(crate) fn aria2c(report: &mut Report) -> Result<PathBuf> {
    rivals::aria2c(report, &Cache::open()?)
}

/// Node.js with the authorization server that the interoperation tests sign in at.
///
/// # Errors
/// When pip or npm cannot install them.
pub(crate) fn test_node(report: &mut Report, cache: &Cache) -> Result<Node> {
    node::ensure(report, cache)
}

/// Makes what only tests want: the clients that the guides name, and a browser.
///
/// # Errors
/// Names what is missing and how to get it.
pub(crate) fn clients_of_tests(report: &mut Report) -> Result<()> {
    apt::ensure(report, &apt::TESTS)
}

#[cfg(test)]
mod tests {
    use super::{node, tools};

    const GUIDES: &str = include_str!("../../../docs/guides.md");

    #[test]
    fn the_guides_name_the_versions_that_are_installed() {
        let npm: serde_json::Value = serde_json::from_str(node::PACKAGE).unwrap();
        let mut named = 0;
        for row in GUIDES.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let package = cells[1].split('`').nth(1).unwrap();
            let installed = match cells[3] {
                "PyPI" => tools::PYTHON_PACKAGES
                    .iter()
                    .find_map(|it| it.strip_prefix(package)?.strip_prefix("==")),
                _ => npm["dependencies"][package].as_str(),
            };
            assert_eq!(installed, Some(cells[2]), "{row}");
            named += 1;
        }
        assert_eq!(named, 6);
    }
}
