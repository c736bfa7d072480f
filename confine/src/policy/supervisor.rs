//! `runtime-supervisor`: downloads, verifies, and starts the jail.
//!
//! It keeps what the runtime needs (sockets of its own, bind, listen, libraries), since filters
//! and domains only ever tighten from parent to child. It may set parent-death signals, since
//! its children do; it may start processes, and Landlock says of which files. It reads the memory
//! of graphics cards from behind its own policy, since the driver's library starts a thread.

use std::path::Path;

use rustix::process::Resource;

use super::rule::Right::{
    Execute, MakeDir, MakeReg, MakeSock, ReadDir, ReadFile, Refer, RemoveDir, RemoveFile, Truncate,
    WriteFile,
};
use super::rule::Test::IsNot;
use super::rule::{CallRule, EXECUTE, FileRule, LimitRule, int};
use super::{Policy, all, everyone, places, sockets};

/// An execute-only runtime is readable to nobody, the supervisor included, which verifies its
/// bytes anew where no record vouches for them. The one mode that a name may be given takes
/// rights from others and gives them none: a captured supervisor could lock this user's files
/// against writing with it, and open none.
const ONE_MODE_BY_NAME: &[CallRule] = &[CallRule::never_if(
    &[libc::SYS_fchmodat],
    int(2, IsNot(0o500)),
    "a stored runtime is made readable to its owner, and nothing to anybody else",
)];

pub(super) fn policy(store_dir: &Path, scratch_dir: &Path, jail: &Path, probe: &Path) -> Policy {
    let mut files = vec![
        FileRule::needed(
            store_dir,
            &[
                ReadFile, ReadDir, WriteFile, Truncate, MakeReg, MakeDir, RemoveFile, RemoveDir,
                Refer, Execute,
            ],
            "the store: downloads are written, verified, renamed, and runtimes started from it",
        ),
        FileRule::needed(
            scratch_dir,
            &[
                ReadFile, ReadDir, WriteFile, Truncate, MakeReg, MakeDir, MakeSock, RemoveFile,
                RemoveDir,
            ],
            "the runtime's socket, HOME and TMPDIR, made anew for each launch",
        ),
        FileRule::needed(jail, EXECUTE, "the one program that it starts"),
        FileRule::needed(probe, EXECUTE, "what the jail becomes to try a runtime's confinement"),
    ];
    files.extend(places::programs_and_machine());
    files.extend(places::gpu_figures());
    Policy {
        files,
        calls: all(&[
            everyone::CALLS,
            everyone::NO_KEYRING,
            ONE_MODE_BY_NAME,
            sockets::UNIX_STREAM,
            sockets::PAIRS,
        ]),
        limits: vec![
            everyone::NO_CORE,
            LimitRule::at_most(Resource::Nofile, 2048, "downloads, sockets, and the runtime's"),
        ],
    }
}
