//! What is to be published next: files in `targets/`, described in `entries.json`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::examine::Examined;
use crate::refusal::Refusal;
use crate::repository::replace;

/// Bytes read at a time while hashing.
const CHUNK: usize = 1024 * 1024;

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

impl Draft {
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let entries = match fs::read(dir.join("entries.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).context(damaged())?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).context(damaged()),
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

    /// Takes a file in; one of the same id is replaced. Gives the id and the digest.
    pub(crate) fn take(&mut self, examined: Examined) -> Result<(String, String)> {
        let Examined { source, id, custom } = examined;
        let (length, sha256) = self.take_in(&source, &id)?;
        let entry = Entry { length, sha256: sha256.clone(), custom };
        self.entries.insert(id.clone(), entry);
        Ok((id, sha256))
    }

    /// Links the file into `targets/`, or copies it, under the name that goes with its digest.
    fn take_in(&self, source: &Path, name: &str) -> Result<(u64, String)> {
        let targets = self.dir.join("targets");
        let work = tempfile::tempdir_in(&targets)?;
        let taken = work.path().join(name);
        if fs::hard_link(source, &taken).is_err() {
            fs::copy(source, &taken).context(Refusal::new(
                "file_not_copied",
                "The file cannot be copied into the catalog",
                "Check the free space of that disk.",
            ))?;
        }
        let (length, sha256) = measure(&taken)?;
        fs::rename(&taken, targets.join(format!("{sha256}.{name}")))?;
        Ok((length, sha256))
    }
}

fn damaged() -> Refusal {
    Refusal::new("catalog_damaged", "The catalog's entries.json cannot be used", "Restore it.")
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
