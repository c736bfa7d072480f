//! A person at a desk, with a document in hand and terminals before them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{Block, Step, Terminal, same_in_essence};

/// Longest a command of a document may take on a busy machine, and longest where it may compile.
const LIMIT: Duration = Duration::from_secs(240);
const COMPILING: Duration = Duration::from_secs(3600);

/// A person's terminals, and where they are opened.
#[derive(Debug)]
pub struct Desk {
    dir: PathBuf,
    variables: Vec<(String, String)>,
    passphrase: Option<String>,
    terminals: Vec<Terminal>,
}

/// A command that was typed, and what that came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The command.
    pub command: String,
    /// Keys that were pressed for it, answers to its questions among them.
    pub keys: usize,
    /// What was shown until its end, or until it was up.
    pub told: String,
    /// From its last key to its end, or to its being up.
    pub took: Duration,
}

impl Desk {
    /// One whose terminals open in this directory, with these variables and no others.
    #[must_use]
    pub fn new(dir: &Path, variables: &[(String, String)], passphrase: Option<&str>) -> Self {
        Self {
            dir: dir.to_owned(),
            variables: variables.to_vec(),
            passphrase: passphrase.map(str::to_owned),
            terminals: Vec::new(),
        }
    }

    /// Types what a console block says, in the terminal that is free, and compares what is shown
    /// with what stands there. A command that `stays` is left running once it shows its text, and
    /// what follows is typed in another terminal.
    ///
    /// # Errors
    /// When a command fails, shows something else, or does not end.
    pub fn follows(&mut self, block: &Block<'_>, stays: &[(&str, &str)]) -> Result<Vec<Done>> {
        let steps = block.steps();
        ensure!(!steps.is_empty(), "nothing to type beneath {}", block.heading);
        steps.iter().map(|step| self.does(step, stays)).collect()
    }

    fn does(&mut self, step: &Step, stays: &[(&str, &str)]) -> Result<Done> {
        eprintln!("$ {}", step.command);
        let limit = if step.command.starts_with("cargo ") { COMPILING } else { LIMIT };
        let terminal = self.free_terminal()?;
        let (began, before) = (Instant::now(), terminal.keys());
        let stays = stays.iter().find(|(command, _)| step.command.starts_with(command));
        let told = if let Some((_, text)) = stays {
            terminal.leaves_running(&step.command, text, limit)?
        } else {
            let typed = terminal.types(&step.command, limit)?;
            ensure!(typed.code == 0, "{}: exit code {}\n{}", step.command, typed.code, typed.told);
            if !step.shown.is_empty() {
                same_in_essence(&step.shown, &typed.told).with_context(|| step.command.clone())?;
            }
            typed.told
        };
        let (took, keys) = (began.elapsed(), terminal.keys() - before);
        if stays.is_some() {
            self.open()?;
        }
        Ok(Done { command: step.command.clone(), keys, told, took })
    }

    /// Ends what was left running, the newest first.
    ///
    /// # Errors
    /// When something does not end well at Ctrl-C.
    pub fn leaves(mut self) -> Result<()> {
        self.terminals.pop();
        while let Some(mut terminal) = self.terminals.pop() {
            let ended = terminal.interrupts(LIMIT)?;
            ensure!(matches!(ended.code, 0 | 130), "it ended with {}: {}", ended.code, ended.told);
        }
        Ok(())
    }

    fn free_terminal(&mut self) -> Result<&mut Terminal> {
        if self.terminals.is_empty() {
            self.open()?;
        }
        self.terminals.last_mut().context("no terminal")
    }

    fn open(&mut self) -> Result<()> {
        let passphrase = self.passphrase.as_deref();
        self.terminals.push(Terminal::open(&self.dir, &self.variables, passphrase)?);
        Ok(())
    }
}
