//! Directories, descriptors and the jail itself. As root each test plays twice, as root and as an
//! ordinary user.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use confine::{BINARY_DESCRIPTOR, JailPlan, MODEL_DESCRIPTOR, PLAN_DESCRIPTOR};
use rustix::fs::{Mode, OFlags};

/// The user and group `nobody` of most systems; any number but zero would do.
const ORDINARY: u32 = 65534;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Root,
    Ordinary,
}

/// Root and an ordinary user where the tests run as root, else just this user.
pub(crate) fn everybody() -> Vec<Who> {
    if is_root() { vec![Who::Root, Who::Ordinary] } else { vec![Who::Ordinary] }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) struct Stage {
    who: Who,
    directory: tempfile::TempDir,
}

impl Stage {
    /// With the stand-in as runtime and a few bytes as model.
    pub(crate) fn new(who: Who) -> Self {
        Self::with(who, &built_stand_in(), None)
    }

    pub(crate) fn with(who: Who, runtime: &Path, model: Option<&Path>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let stage = Self { who, directory };
        for name in ["bin", "store", "scratch"] {
            fs::create_dir(stage.path(name)).expect("a directory");
        }
        stage.copy(Path::new(env!("CARGO_BIN_EXE_runtime-jail")), "bin/jail", 0o755);
        stage.copy(&built_stand_in(), "bin/supervisor", 0o755);
        stage.copy(runtime, "store/runtime", 0o111);
        match model {
            Some(model) => stage.copy(model, "store/model", 0o600),
            None => fs::write(stage.path("store/model"), "weights").expect("a file"),
        }
        fs::set_permissions(stage.directory.path(), fs::Permissions::from_mode(0o755))
            .expect("its mode");
        stage.give(stage.directory.path());
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn plan(&self, arguments: &[&str]) -> JailPlan {
        JailPlan {
            supervisor_pid: std::process::id(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            scratch_dir: self.path("scratch"),
            max_data_bytes: None,
            gpu: false,
            libraries: false,
        }
    }

    /// The jail with this plan and the descriptors of the stage, not started yet.
    pub(crate) fn jail(&self, plan: &JailPlan) -> Command {
        self.jail_told(&serde_json::to_vec(plan).expect("JSON"))
    }

    /// The jail with these bytes for a plan.
    pub(crate) fn jail_told(&self, plan: &[u8]) -> Command {
        self.jail_handed(self.descriptors(plan))
    }

    pub(crate) fn jail_handed(&self, descriptors: Vec<FdMapping>) -> Command {
        let mut jail = self.program("bin/jail");
        jail.fd_mappings(descriptors).expect("distinct numbers");
        jail
    }

    pub(crate) fn descriptors(&self, plan: &[u8]) -> Vec<FdMapping> {
        self.descriptors_for(plan, "store/runtime")
    }

    /// With another program of the stage for a runtime.
    pub(crate) fn descriptors_for(&self, plan: &[u8], runtime: &str) -> Vec<FdMapping> {
        let written = self.path("plan");
        fs::write(&written, plan).expect("a file");
        vec![
            handed(PLAN_DESCRIPTOR, File::open(written).expect("a file").into()),
            handed(BINARY_DESCRIPTOR, opened(&self.path(runtime), OFlags::PATH)),
            handed(MODEL_DESCRIPTOR, opened(&self.path("store/model"), OFlags::RDONLY)),
        ]
    }

    /// A program of the stage, with an environment that is none of the runtime's business.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.path(name));
        command.env_clear().env("LLAMA_ARG_TOOLS", "all").env("SECRET", "canary");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.who == Who::Ordinary && is_root() {
            command.uid(ORDINARY).gid(ORDINARY);
        }
        command
    }

    /// By another process: a descriptor open for writing here could be inherited by a child that
    /// another test forks just then, and the copy could not be executed meanwhile (ETXTBSY).
    pub(crate) fn copy(&self, from: &Path, name: &str, mode: u32) {
        let to = self.path(name);
        assert!(Command::new("cp").arg(from).arg(&to).status().expect("cp").success());
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).expect("its mode");
    }

    /// Gives all beneath, links themselves included, to whoever plays.
    pub(crate) fn give(&self, path: &Path) {
        if self.who != Who::Ordinary || !is_root() {
            return;
        }
        if path.is_dir() && !path.is_symlink() {
            for entry in fs::read_dir(path).expect("a directory") {
                self.give(&entry.expect("an entry").path());
            }
        }
        lchown(path, Some(ORDINARY), Some(ORDINARY)).expect("a new owner");
    }
}

/// Cargo builds examples before it runs tests, beside them.
fn built_stand_in() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let target = test.parent().and_then(Path::parent).expect("the target directory");
    let stand_in = target.join("examples/stand_in");
    assert!(stand_in.exists(), "build the example `stand_in` of this crate first");
    stand_in
}

pub(crate) fn handed(child_fd: i32, parent_fd: OwnedFd) -> FdMapping {
    FdMapping { parent_fd, child_fd }
}

pub(crate) fn opened(path: &Path, flags: OFlags) -> OwnedFd {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).expect("a file")
}

/// What the runtime said of itself, once it ended well.
pub(crate) fn facts(jail: &mut Command) -> BTreeMap<String, String> {
    let output = jail.output().expect("the jail");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {said} {complaint}", output.status);
    said.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Ends a child that a failing test would leave behind.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
