//! What a file is, before it is taken in: a model or a runtime, and what it says of itself.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::refusal::Refusal;

/// How a model begins (ggml, docs/gguf.md).
const GGUF: &[u8] = b"GGUF";
/// How a program begins (elf(5)).
const ELF: &[u8] = b"\x7fELF";
/// How an archive begins, or whatever else was compressed by gzip (RFC 1952).
const GZIP: &[u8] = &[0x1f, 0x8b];
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

/// What is in the archive of a runtime.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ArchiveFacts {
    program_head: Vec<u8>,
    program: String,
    files: u64,
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
    let runtime_license = described.license.clone().or(described.runtime_license);
    let mut custom = if head.starts_with(GGUF) {
        model(&source, described.license)?
    } else if head.starts_with(ELF) {
        runtime(&head, runtime_license, described.version)?
    } else if head.starts_with(GZIP) {
        let program = archive_facts_of(&source)?.program_head;
        let mut custom = runtime(&program, runtime_license, described.version)?;
        custom.insert("format".to_owned(), json!("tar.gz"));
        custom
    } else {
        bail!(unknown_kind(&format!("{} is", file.display())));
    };
    custom.insert("id".to_owned(), json!(id));
    Ok(Examined { source, id, custom })
}

/// Whether a file that begins so may be listed.
pub(crate) fn is_listable(head: &[u8]) -> bool {
    [GGUF, ELF, GZIP].iter().any(|magic| head.starts_with(magic))
}

/// `what`: the file and its verb.
pub(crate) fn unknown_kind(what: &str) -> Refusal {
    let what = format!("{what} neither a GGUF model nor a Linux program nor an archive of one");
    Refusal::new("unknown_kind", what, "Name another file.")
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

/// What a file says of itself: to people, and to programs.
pub(crate) fn show(file: &Path) -> Result<(String, Value)> {
    if head_of(file)?.starts_with(GZIP) {
        let facts = archive_facts_of(file)?;
        return Ok((facts.for_people(), json!({ "program": facts.program, "files": facts.files })));
    }
    let facts = facts_of(file)?;
    Ok((facts.for_people(), serde_json::to_value(facts)?))
}

fn facts_of(file: &Path) -> Result<Facts> {
    let what = format!("{} is no usable model", file.display());
    said_of(file, &|| Refusal::new("malformed_model", what.clone(), "Download it again."))
}

fn archive_facts_of(file: &Path) -> Result<ArchiveFacts> {
    let what = format!("{} is no usable archive of a runtime", file.display());
    let next = "docs/catalog.md says what may be in one.";
    said_of(file, &|| Refusal::new("malformed_archive", what.clone(), next))
}

/// Asks `gguf-facts`, which lies beside this program and confines itself: the file came from
/// anywhere.
fn said_of<T: DeserializeOwned>(file: &Path, malformed: &dyn Fn() -> Refusal) -> Result<T> {
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
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().trim_start_matches("gguf-facts: ").to_owned();
        return Err(anyhow!(said)).with_context(malformed);
    }
    serde_json::from_slice(&output.stdout).with_context(malformed)
}

impl ArchiveFacts {
    /// On one line. The name was judged: letters, digits and a few signs.
    fn for_people(&self) -> String {
        let arch = arch_of(&self.program_head).unwrap_or("an unknown processor");
        format!("a runtime for {arch}: {}, {} files", self.program, self.files)
    }
}

impl Facts {
    /// On one line; what is no plain text is not shown, since the file came from anywhere.
    fn for_people(&self) -> String {
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
    let arch = arch_of(head).context(Refusal::new(
        "unknown_kind",
        "The program is for another processor than x86_64 or aarch64, or is none",
        "Name another file.",
    ))?;
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

/// `e_machine` of elf(5), little endian.
fn arch_of(head: &[u8]) -> Option<&'static str> {
    match head.get(18..20).filter(|_| head.starts_with(ELF)) {
        Some([62, 0]) => Some("x86_64"),
        Some([183, 0]) => Some("aarch64"),
        _ => None,
    }
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
    let endings = [".gguf", ".tar.gz", ".tgz"];
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let stem = stem.to_ascii_lowercase();
    stem.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .collect()
}
