//! Every command that a document names is one that the programs know (contract 11), and every reason
//! for which a download, the store or the runtime fails is explained to a person.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};
use devstack::programs;
use tempfile::TempDir;
use typist::blocks;

/// The programs of this house, and the one that runs its development commands.
const OURS: [&str; 4] = ["companion", "companionctl", "devstack", "cargo"];
/// Stands in for each of them: notes its name and its arguments, a NUL behind each and one more.
const NOTES: &str = "#!/bin/sh\nprintf '%s\\0' \"${0##*/}\" \"$@\" '' >> \"$CALLS\"\n";
/// What others bring does nothing.
const OTHERS: &str = "command_not_found_handle() { :; }\n";

#[test]
fn every_command_in_the_documents_is_one_that_the_programs_know() -> Result<()> {
    let shell = Shell::new()?;
    let mut known = 0;
    for page in pages()? {
        let text = fs::read_to_string(&page)?;
        for command in commands(&text) {
            for call in shell.calls(&command)? {
                ensure!(shell.knows(&call)?, "{}: {command}\n{call:?}", page.display());
                known += 1;
            }
        }
    }
    ensure!(known > 60, "only {known} commands were found");
    Ok(())
}

/// The test can fail: each of these stands in no document, since no program knows it.
#[test]
fn a_command_or_a_flag_that_does_not_exist_is_found_out() -> Result<()> {
    let shell = Shell::new()?;
    for wrong in [
        "companionctl statu",
        "companionctl status --verbose",
        "companionctl pull --model m",
        "companionctl enrich ~/notes --rewrite",
        "companionctl catalog sign --dir c",
        "companion down",
        "companion up --unsafe",
        "companion init --models m.gguf",
        "eval \"$(companionctl environment)\"",
        "cargo xtask play",
        "cargo xtask demo --stay",
        "devstack up --dir d --llama-server l --model m --bus",
    ] {
        let calls = shell.calls(wrong)?;
        ensure!(calls.len() == 1, "{wrong}: {calls:?}");
        ensure!(!shell.knows(&calls[0])?, "{wrong} is known");
    }
    Ok(())
}

#[test]
fn every_reason_of_the_supervisor_says_what_it_looks_like_and_what_to_do() -> Result<()> {
    let read = |path: &str| Ok::<_, anyhow::Error>(fs::read_to_string(root()?.join(path))?);
    let reasons = read("runtime-supervisor/core/src/reason.rs")?;
    let (operations, words) = (read("docs/operations.md")?, read("ctl/src/reasons.rs")?);
    let codes = reasons.split(" => \"").skip(1).filter_map(|rest| rest.split('"').next());
    let codes: Vec<_> = codes.collect();
    ensure!(codes.len() > 30, "{codes:?}");
    for code in codes {
        let mut rows =
            operations.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
        let is_told = rows.any(|(first, _)| first.contains(&format!("`{code}`")));
        ensure!(is_told, "docs/operations.md does not tell of {code}");
        ensure!(words.contains(&format!("(\"{code}\", ")), "companionctl has no words for {code}");
    }
    Ok(())
}

fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no root")
}

/// README and everything beneath `docs`.
fn pages() -> Result<Vec<PathBuf>> {
    let root = root()?;
    let mut pages = vec![root.join("README.md")];
    let mut directories = vec![root.join("docs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                pages.push(path);
            }
        }
    }
    Ok(pages)
}

/// Commands of console blocks, and those that stand within a sentence.
fn commands(page: &str) -> Vec<String> {
    let mut prose = page.to_owned();
    let mut commands = Vec::new();
    for block in blocks(page) {
        prose = prose.replace(block.text, "");
        if block.language == "console" {
            commands.extend(block.steps().into_iter().map(|step| step.command));
        }
    }
    let prose = prose.replace("```", "");
    // A span may go on in the next line of its paragraph.
    let spans = prose.split('`').skip(1).step_by(2);
    let spans = spans.map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
    let called = |span: &String| OURS.iter().any(|name| span.starts_with(&format!("{name} ")));
    commands.extend(spans.filter(called));
    commands
}

/// A home without a companion, and a shell in it that finds nothing but what notes its calls.
struct Shell {
    dir: TempDir,
}

impl Shell {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let bin = dir.path().join("bin");
        fs::create_dir(&bin)?;
        for name in OURS {
            fs::write(bin.join(name), NOTES)?;
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o700))?;
        }
        symlink("/bin/mkdir", bin.join("mkdir"))?;
        Ok(Self { dir })
    }

    /// How our programs are called by a command.
    fn calls(&self, command: &str) -> Result<Vec<Vec<String>>> {
        let noted = self.dir.path().join("calls");
        fs::write(&noted, "")?;
        let mut bash = Command::new("/bin/bash");
        // By the path of its build or by its name alone, it is the note-taker that is called.
        let command = command.replace("target/debug/", "");
        // What it makes the browser is called behind it.
        bash.args(["--norc", "-c", &format!("{OTHERS}{command}\n$BROWSER")]).env_remove("BROWSER");
        bash.env("CALLS", &noted).env("PATH", self.dir.path().join("bin"));
        self.ran(&mut bash)?;
        let noted = fs::read_to_string(&noted)?;
        let calls: Vec<_> = noted
            .split_terminator("\0\0")
            .map(|call| call.split('\0').map(str::to_owned).collect())
            .collect();
        let names_ours = OURS.iter().any(|name| command.contains(&format!("{name} ")));
        ensure!(!calls.is_empty() || !names_ours, "it calls nothing of ours: {command}");
        Ok(calls)
    }

    /// Whether the program takes the arguments: it goes to work, and fails for want of a
    /// companion (2 is wrong usage), or says how the command is used.
    fn knows(&self, call: &[String]) -> Result<bool> {
        let (name, arguments) = call.split_first().context("no name")?;
        let (program, arguments) = match &**name {
            "cargo" if arguments.first().is_some_and(|it| it == "xtask") => {
                ("xtask", &arguments[1..])
            }
            "cargo" => return Ok(true),
            name => (name, arguments),
        };
        let program = programs::find(program)?;
        let helps = self.ran(Command::new(&program).args(arguments).arg("--help"))?.success();
        if name != "companionctl" {
            return Ok(helps);
        }
        // In a session of its own it has no terminal to ask for a passphrase.
        let mut works = Command::new("setsid");
        works.arg("--wait").arg(&program).args(arguments);
        Ok(helps || matches!(self.ran(&mut works)?.code(), Some(0 | 1)))
    }

    fn ran(&self, command: &mut Command) -> Result<ExitStatus> {
        let home = self.dir.path().join("home");
        fs::create_dir_all(&home)?;
        if command.get_envs().next().is_none() {
            command.env_clear().env("PATH", "/usr/bin:/bin");
        }
        command.env("HOME", &home).current_dir(&home).stdin(Stdio::null());
        Ok(command.output()?.status)
    }
}
