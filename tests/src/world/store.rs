//! What a world has stored: models and runtimes, state, and where they come from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use devstack::MODEL_ID;

use super::World;

impl World {
    /// Names of what lies in the store as verified: neither partial nor bookkeeping.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn stored_artifacts(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for path in files_beneath(&self.companion.data_dir())? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The verified model file in the store.
    ///
    /// # Errors
    /// When it is not there.
    pub fn stored_model(&self) -> Result<PathBuf> {
        let wanted = self.model_sha256();
        files_beneath(&self.companion.data_dir())?
            .into_iter()
            .find(|path| path.file_name().is_some_and(|name| name == wanted.as_str()))
            .context("the model is not in the store")
    }

    /// Leaves what a download leaves that was cut off so long ago.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn leave_partial_file(&self, name: char, age: Duration) -> Result<PathBuf> {
        let digest = name.to_string().repeat(64);
        let path = self.companion.data_dir().join("store").join(format!("{digest}.partial"));
        fs::write(&path, "begun")?;
        fs::File::options().write(true).open(&path)?.set_modified(SystemTime::now() - age)?;
        Ok(path)
    }

    /// The digest of the development model.
    ///
    /// # Panics
    /// When the model cannot be read.
    #[must_use]
    pub fn model_sha256(&self) -> String {
        let artifact = self.stack.artifact(MODEL_ID).expect("the model is listed");
        let (_, digest) = devstack::catalog::measure(&artifact.file).expect("it can be read");
        hex::encode(digest)
    }

    /// Where the model comes from.
    ///
    /// # Panics
    /// When the catalog does not list it.
    #[must_use]
    pub fn model_url(&self) -> String {
        self.stack.artifact(MODEL_ID).expect("the model is listed").urls[0].clone()
    }

    /// Every file in the state and runtime directories, with its bytes.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn state_files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = files_beneath(&self.companion.state_dir())?;
        files.extend(files_beneath(&self.companion.runtime_dir())?);
        files.into_iter().map(|path| Ok((path.display().to_string(), fs::read(&path)?))).collect()
    }
}

fn files_beneath(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}
