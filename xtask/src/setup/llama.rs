//! `llama-server`, compiled once a machine from pinned source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cache::{Cache, sha256_of};
use super::pip::{Pinned, download};
use super::{apt, pip};
use crate::process::{find_program, must_succeed, output_of, supervised};
use crate::report::Report;

/// The source: llama.cpp as `llama-cpp-python` vendors it.
const SOURCE: Pinned = Pinned {
    project: "llama-cpp-python",
    version: "0.3.36",
    file: "llama_cpp_python-0.3.36.tar.gz",
    sha256: "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e",
    is_source: true,
};

/// Where llama.cpp lies in it.
const VENDORED: &str = "llama_cpp_python-0.3.36/vendor/llama.cpp";

/// One portable program: static libraries, no compiler flags of this very CPU, no HTTP client,
/// no TLS, no web page, and no code that starts other programs.
const FLAGS: [&str; 11] = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_NATIVE=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_SUBPROCESS=OFF",
    "-DLLAMA_BUILD_APP=OFF",
];

/// Its name in the cache.
const FILE: &str = "llama-server";
/// What it was made by, beside it.
const RECORD: &str = "llama-server.json";

/// Finds it in the cache, made by this very recipe and unchanged since, or builds it.
///
/// # Errors
/// When a tool is missing or the build fails.
pub(crate) fn ensure(report: &mut Report, cache: &Cache) -> Result<PathBuf> {
    let program = cache.path(FILE);
    let recipe = recipe();
    if is_ours(&program, &cache.path(RECORD), &recipe) {
        return Ok(program);
    }
    apt::ensure(report, &apt::BUILD)?;
    find_program("c++").context("no C++ compiler: install g++ (Debian: apt-get install g++)")?;
    pip::pip().arg("--version").output().context("no python3 with pip")?;
    let step =
        report.begin_long("Build llama-server", "once a machine, 5 to 10 minutes on two cores");
    let work = cache.directory(&format!("work-llama-{}", &recipe[..16]))?;
    let source = unpack(&download(&SOURCE, &work)?, &work)?;
    let built = compile(&source)?;
    keep(&built, &work, &program)?;
    let record = json!({ "recipe": recipe, "sha256": sha256_of(&program)? });
    fs::write(cache.path(RECORD), record.to_string())?;
    fs::remove_dir_all(&work)?;
    report.done(step, "kept in the cache");
    Ok(program)
}

/// Digest of everything that decides what comes out.
fn recipe() -> String {
    let mut digest = Sha256::new();
    for part in [SOURCE.sha256, std::env::consts::OS, std::env::consts::ARCH] {
        digest.update(part);
        digest.update("\n");
    }
    for flag in FLAGS {
        digest.update(flag);
        digest.update("\n");
    }
    hex::encode(digest.finalize())
}

fn is_ours(program: &Path, record: &Path, recipe: &str) -> bool {
    let Ok(text) = fs::read_to_string(record) else { return false };
    let Ok(record) = serde_json::from_str::<Value>(&text) else { return false };
    record["recipe"] == recipe && sha256_of(program).is_ok_and(|sha256| record["sha256"] == sha256)
}

/// Unpacks what is needed of the archive; what is there already is complete.
fn unpack(archive: &Path, work: &Path) -> Result<PathBuf> {
    let source = work.join("source");
    if !source.is_dir() {
        let partial = work.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir(&partial)?;
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(archive).arg("-C").arg(&partial).arg(VENDORED);
        must_succeed(&mut tar).context("cannot unpack the source")?;
        fs::rename(partial.join(VENDORED), &source)?;
        fs::remove_dir_all(&partial)?;
    }
    Ok(source)
}

/// Configures and builds; an interrupted build goes on where it stopped.
fn compile(source: &Path) -> Result<PathBuf> {
    let build = source.join("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(source).arg("-B").arg(&build).args(["-G", "Ninja"]).args(FLAGS);
    must_succeed(&mut configure).context("cannot configure llama.cpp")?;
    // It stops when this process does: two builds in one directory would spoil each other.
    let mut compile = supervised(Path::new("ninja"));
    compile.arg("-C").arg(&build).arg("llama-server");
    must_succeed(&mut compile).context("cannot build llama-server")?;
    Ok(build.join("bin/llama-server"))
}

/// Strips it, tries it, and gives it its name.
fn keep(built: &Path, work: &Path, program: &Path) -> Result<()> {
    let stripped = work.join("stripped");
    must_succeed(Command::new("strip").arg("-o").arg(&stripped).arg(built))?;
    output_of(Command::new(&stripped).arg("--version"))
        .context("the llama-server that was built does not run")?;
    fs::rename(&stripped, program)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_program_or_another_recipe_is_not_ours() {
        let dir = std::env::temp_dir().join(format!("xtask-llama-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (program, record) = (dir.join(FILE), dir.join(RECORD));
        fs::write(&program, b"program").unwrap();
        assert!(!is_ours(&program, &record, "r"), "no record");
        let sha256 = sha256_of(&program).unwrap();
        fs::write(&record, json!({ "recipe": "r", "sha256": sha256 }).to_string()).unwrap();
        assert!(is_ours(&program, &record, "r"));
        assert!(!is_ours(&program, &record, "other"), "another recipe");
        fs::write(&program, b"changed").unwrap();
        assert!(!is_ours(&program, &record, "r"), "another program");
        fs::remove_dir_all(&dir).unwrap();
    }
}
