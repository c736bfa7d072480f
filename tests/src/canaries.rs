//! The search for secrets in everything that a companion leaves behind or lets be seen.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use memchr::memmem;

use crate::{World, memory_of, need_root, threads_of};

/// Of a file of `/proc`, no more than this is read.
const MOST_OF_A_FILE: u64 = 1 << 20;
/// Files of `/proc/<pid>` that are no text: memory is searched apart.
const NOT_READ: [&str; 2] = ["mem", "pagemap"];

/// What must show nowhere.
#[derive(Debug)]
pub struct Canaries {
    /// Credentials, which the memory of no process but the broker may hold either.
    credentials: Vec<String>,
    others: Vec<String>,
}

impl Canaries {
    /// Every OAuth secret that the world's gateway has issued by now, and these.
    ///
    /// # Panics
    /// When nothing was issued, or a canary is so short that chance could find it.
    #[must_use]
    pub fn of<const N: usize>(world: &World, others: [&str; N]) -> Self {
        let (credentials, others) = (world.issued_secrets(), others.map(str::to_owned).to_vec());
        assert!(credentials.len() >= 4, "tokens, code, verifier and state");
        assert!(credentials.iter().chain(&others).all(|canary| canary.len() >= 8));
        Self { credentials, others }
    }

    /// Fails the test when an OAuth secret that the world's gateway has issued by now shows in a
    /// file, the log, `/proc`, or the memory of a process that is not the broker.
    ///
    /// # Errors
    /// When something cannot be read.
    pub async fn show_nowhere(world: &World) -> Result<()> {
        let canaries = Self::of(world, []);
        canaries.absent_from_processes(world).await?;
        canaries.absent_from_files(world)
    }

    /// Fails the test when one of them is there.
    ///
    /// # Panics
    /// When it is.
    pub fn absent_from(&self, place: &str, haystack: &[u8]) {
        for (index, canary) in self.credentials.iter().chain(&self.others).enumerate() {
            let found = memmem::find(haystack, canary.as_bytes());
            assert!(found.is_none(), "canary {index} shows in {place}");
        }
    }

    /// Searches the log, and name and content of each file of state and runtime directories.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn absent_from_files(&self, world: &World) -> Result<()> {
        self.absent_from("the log", world.log().as_bytes());
        for (path, bytes) in world.state_files()? {
            self.absent_from(&path, path.as_bytes());
            self.absent_from(&path, &bytes);
        }
        Ok(())
    }

    /// Searches `/proc` of every process, and for credentials the memory of all but the broker.
    ///
    /// # Errors
    /// When one of the processes is gone, or this one is not root's.
    pub async fn absent_from_processes(&self, world: &World) -> Result<()> {
        let status = world.status().await?;
        for (role, pid) in status["pids"].as_object().context("no pids")? {
            let Some(pid) = pid.as_u64() else { continue };
            self.absent_from_process(role, u32::try_from(pid)?)?;
        }
        Ok(())
    }

    /// The same of one process.
    ///
    /// # Errors
    /// When it is gone, or this process is not root's.
    pub fn absent_from_process(&self, role: &str, pid: u32) -> Result<()> {
        need_root()?;
        self.absent_from(role, &shown_by(pid)?);
        if role == "broker" {
            return Ok(());
        }
        let memory = memory_of(pid)?;
        for (index, credential) in self.credentials.iter().enumerate() {
            let found = memmem::find(&memory, credential.as_bytes());
            assert!(found.is_none(), "credential {index} is in the memory of {role}");
        }
        Ok(())
    }
}

/// Everything that `/proc` shows of a process and its threads: files, and where links lead.
fn shown_by(pid: u32) -> Result<Vec<u8>> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let mut shown = Vec::new();
    for dir in threads_of(pid)?.into_iter().chain([process.clone()]) {
        read_all(&dir, &mut shown)?;
    }
    for links in ["fd", "map_files"] {
        for entry in fs::read_dir(process.join(links))? {
            let target = fs::read_link(entry?.path()).unwrap_or_default();
            shown.extend_from_slice(target.as_os_str().as_encoded_bytes());
            shown.push(b'\n');
        }
    }
    let arguments = fs::read(process.join("cmdline"))?;
    anyhow::ensure!(memmem::find(&shown, &arguments).is_some(), "{pid}: not read");
    Ok(shown)
}

fn read_all(dir: &Path, shown: &mut Vec<u8>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let no_text = NOT_READ.iter().any(|name| entry.file_name() == *name);
        if !entry.file_type()?.is_file() || no_text {
            continue;
        }
        // Some are for writing only, some are not for this kernel.
        if let Ok(file) = fs::File::open(entry.path()) {
            let _ = file.take(MOST_OF_A_FILE).read_to_end(shown);
        }
    }
    Ok(())
}
