//! What a file is, before it is taken in: a model or a runtime, and what it says of itself.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::refusal::Refusal;

/// How a program begins (elf(5)).
const ELF: &[u8] = b"\x7fELF";
/// Longest id, licence or version (the companion takes no longer one).
const MAX_FIELD_CHARS: usize = 128;

/// What a person says of a file.
#[derive(Debug, Default)]
pub(crate) struct Described {
    pub(crate) id: Option<String>,
    /// Of a model; else what it says of itself.
    pub(crate) license: Option<String>,
    /// Of a runtime, which says nothing of itself.
    pub(crate) runtime_license: Option<String>,
    pub(crate) version: Option<String>,
}

/// A file that may be listed.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) source: PathBuf,
    pub(crate) id: String,
    pub(crate) custom: Map<String, Value>,
}

/// What a model says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Facts {
    architecture: Option<String>,
    context_length: Option<u64>,
    quantization: Option<String>,
    license: Option<String>,
    name: Option<String>,
}

/// Looks at a file that is to be listed as `described`.
pub(crate) fn examine(file: &Path, described: Described) -> Result<Examined> {
    // A cache of downloads may hold links: what they point to is what is meant.
    let source = fs::canonicalize(file).with_context(|| unreadable(file))?;
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let id = described.id.unwrap_or_else(|| id_of(name));
    if !is_id(&id) {
        let what = format!("`{id}` is no id: letters, digits, `.`, `_` and `-`");
        bail!(Refusal::new("malformed_id", what, "Give one: --id ID."));
    }
    let head = head_of(&source)?;
    let mut custom = if head.starts_with(b"GGUF") {
        model(&source, described.license)?
    } else if head.starts_with(ELF) {
        runtime(&head, described.license.or(described.runtime_license), described.version)?
    } else {
        let what = format!("{} is neither a GGUF model nor a Linux program", file.display());
        bail!(Refusal::new("unknown_kind", what, "Name another file."));
    };
    custom.insert("id".to_owned(), json!(id));
    Ok(Examined { source, id, custom })
}

/// Whether a file that begins so may be listed.
pub(crate) fn is_listable(head: &[u8]) -> bool {
    head.starts_with(b"GGUF") || head.starts_with(ELF)
}

fn head_of(file: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let opened = File::open(file).with_context(|| unreadable(file))?;
    opened.take(20).read_to_end(&mut head).with_context(|| unreadable(file))?;
    Ok(head)
}

fn unreadable(file: &Path) -> Refusal {
    let what = format!("{} cannot be read", file.display());
    Refusal::new("file_unreadable", what, "Check its name, owner and mode.")
}

fn model(file: &Path, license: Option<String>) -> Result<Map<String, Value>> {
    let facts = facts_of(file)?;
    let license = license.or(facts.license).context(Refusal::new(
        "license_missing",
        "The model does not name its licence",
        "Give it: --license SPDX, as where you downloaded it says.",
    ))?;
    let unnamed = || "unknown".to_owned();
    Ok(object(json!({
        "kind": "model",
        "license": field(license)?,
        "context_length": facts.context_length.unwrap_or(0),
        "architecture": field(facts.architecture.unwrap_or_else(unnamed))?,
        "quantization": field(facts.quantization.unwrap_or_else(unnamed))?,
    })))
}

/// Asks `gguf-facts`, which lies beside this program and confines itself: the file came from
/// anywhere.
pub(crate) fn facts_of(file: &Path) -> Result<Facts> {
    let program = std::env::current_exe()?.with_file_name("gguf-facts");
    let output = Command::new(&program)
        .env_clear()
        .stdin(File::open(file).with_context(|| unreadable(file))?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .with_context(|| {
            let what = format!("{} cannot be started", program.display());
            Refusal::new("program_not_started", what, "Install the companion's programs together.")
        })?;
    let malformed = || {
        let what = format!("{} is no usable model", file.display());
        Refusal::new("malformed_model", what, "Download it again.")
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().trim_start_matches("gguf-facts: ").to_owned();
        return Err(anyhow!(said)).with_context(malformed);
    }
    serde_json::from_slice(&output.stdout).with_context(malformed)
}

impl Facts {
    /// On one line; what is no plain text is not shown, since the file came from anywhere.
    pub(crate) fn for_people(&self) -> String {
        let plain = |text: &Option<String>| text.clone().and_then(|text| field(text).ok());
        let context = self.context_length.map_or_else(String::new, |it| format!(", {it} tokens"));
        format!(
            "{}{}, {}{context}, licence {}",
            plain(&self.name).map_or_else(String::new, |name| format!("{name}: ")),
            plain(&self.architecture).unwrap_or_else(|| "unknown architecture".to_owned()),
            plain(&self.quantization).unwrap_or_else(|| "unknown quantization".to_owned()),
            plain(&self.license).unwrap_or_else(|| "not named".to_owned()),
        )
    }
}

fn runtime(
    head: &[u8],
    license: Option<String>,
    version: Option<String>,
) -> Result<Map<String, Value>> {
    // e_machine of elf(5), little endian.
    let arch = match head.get(18..20) {
        Some([62, 0]) => "x86_64",
        Some([183, 0]) => "aarch64",
        _ => bail!(Refusal::new(
            "unknown_kind",
            "The program is for another processor than x86_64 or aarch64",
            "Name another file.",
        )),
    };
    let license = license.context(Refusal::new(
        "license_missing",
        "A runtime does not say its licence itself",
        "Give it: --license SPDX; llama.cpp's is MIT.",
    ))?;
    let version = version.unwrap_or_else(|| {
        let today = OffsetDateTime::now_utc().date();
        format!("{}.{}.{}", today.year(), u8::from(today.month()), today.day())
    });
    Ok(object(json!({
        "kind": "runtime", "license": field(license)?, "os": "linux", "arch": arch,
        "version": field(version)?,
    })))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// As the companion demands it: printable ASCII, and not too long.
fn field(text: String) -> Result<String> {
    let printable = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if !(1..=MAX_FIELD_CHARS).contains(&text.len()) || !printable {
        bail!(Refusal::new(
            "malformed_field",
            "A licence or version is 1 to 128 plain characters",
            "Give another: --license or --version.",
        ));
    }
    Ok(text)
}

fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=MAX_FIELD_CHARS).contains(&text.len())
        && text.bytes().all(plain)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// The id of a file of this name, unless another is given.
pub(crate) fn id_of(name: &str) -> String {
    let stem = name.strip_suffix(".gguf").unwrap_or(name).to_ascii_lowercase();
    stem.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .collect()
}
