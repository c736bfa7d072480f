//! What is to be published next: files in `targets/`, described in `entries.json`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::repository::replace;

/// Bytes read at a time while hashing.
const CHUNK: usize = 1024 * 1024;
/// How a program begins (elf(5)).
const ELF: &[u8] = b"\x7fELF";
/// Longest id, licence or version (the companion takes no longer one).
const MAX_FIELD_CHARS: usize = 128;

/// What a person says of a file.
pub(crate) struct Described {
    pub(crate) id: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) version: Option<String>,
}

/// The entries of the next publication by target name.
pub(crate) struct Draft {
    dir: PathBuf,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) length: u64,
    pub(crate) sha256: String,
    pub(crate) custom: Map<String, Value>,
}

/// What `gguf-facts` prints.
#[derive(Debug, Deserialize)]
struct Facts {
    architecture: Option<String>,
    context_length: Option<u64>,
    quantization: Option<String>,
    license: Option<String>,
}

impl Draft {
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let entries = match fs::read(dir.join("entries.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).context("entries.json is damaged")?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).context("entries.json cannot be read"),
        };
        Ok(Self { dir: dir.to_owned(), entries })
    }

    pub(crate) fn write(&self) -> Result<()> {
        replace(&self.dir.join("entries.json"), &serde_json::to_vec_pretty(&self.entries)?)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes a file in; one of the same id is replaced.
    pub(crate) fn add(&mut self, file: &Path, described: Described) -> Result<String> {
        // A cache of downloads may hold links: what they point to is what is meant.
        let unreadable = || format!("{} cannot be read", file.display());
        let source = fs::canonicalize(file).with_context(unreadable)?;
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let id = described.id.unwrap_or_else(|| id_of(name));
        ensure!(is_id(&id), "`{id}` is no id: letters, digits, `.`, `_` and `-`; give one by --id");
        let head = head_of(&source)?;
        let mut custom = if head.starts_with(b"GGUF") {
            model(&source, described.license)?
        } else if head.starts_with(ELF) {
            runtime(&head, described.license, described.version)?
        } else {
            bail!("{} is neither a GGUF model nor a Linux program", file.display());
        };
        custom.insert("id".to_owned(), json!(id));
        let (length, sha256) = self.take_in(&source, &id)?;
        self.entries.insert(id.clone(), Entry { length, sha256, custom });
        Ok(id)
    }

    /// Links the file into `targets/`, or copies it, under the name that goes with its digest.
    fn take_in(&self, source: &Path, name: &str) -> Result<(u64, String)> {
        let targets = self.dir.join("targets");
        let work = tempfile::tempdir_in(&targets)?;
        let taken = work.path().join(name);
        if fs::hard_link(source, &taken).is_err() {
            fs::copy(source, &taken).context("the file cannot be copied into the catalog")?;
        }
        let (length, sha256) = measure(&taken)?;
        fs::rename(&taken, targets.join(format!("{sha256}.{name}")))?;
        Ok((length, sha256))
    }
}

/// Whether the file is a Linux program.
pub(crate) fn is_program(file: &Path) -> Result<bool> {
    Ok(head_of(file)?.starts_with(ELF))
}

fn head_of(file: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let opened = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    opened.take(20).read_to_end(&mut head)?;
    Ok(head)
}

/// Length, and SHA-256 in hexadecimal, of a file.
pub(crate) fn measure(path: &Path) -> Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hasher, mut length) = (Sha256::new(), 0);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((length, hex::encode(hasher.finalize())));
        }
        hasher.update(&chunk[..read]);
        length += read as u64;
    }
}

fn model(file: &Path, license: Option<String>) -> Result<Map<String, Value>> {
    let facts = facts_of(file)?;
    let license = license.or(facts.license).context("the model names no licence: --license")?;
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
fn facts_of(file: &Path) -> Result<Facts> {
    let program = std::env::current_exe()?.with_file_name("gguf-facts");
    let output = Command::new(&program)
        .env_clear()
        .stdin(File::open(file)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.trim().trim_start_matches("gguf-facts: "));
    serde_json::from_slice(&output.stdout).context("gguf-facts said nothing that can be read")
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
        _ => bail!("a program for another processor than x86_64 or aarch64"),
    };
    let license = license.context("a runtime needs its licence: --license")?;
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
    ensure!(
        (1..=MAX_FIELD_CHARS).contains(&text.len()) && printable,
        "a licence, name or version is 1 to 128 printable characters"
    );
    Ok(text)
}

fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=MAX_FIELD_CHARS).contains(&text.len())
        && text.bytes().all(plain)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn id_of(name: &str) -> String {
    let stem = name.strip_suffix(".gguf").unwrap_or(name).to_ascii_lowercase();
    stem.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .collect()
}
