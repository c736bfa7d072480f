//! `authority-broker`: the only process that ever holds a credential.

use std::path::Path;

use rustix::process::Resource;

use super::rule::Right::{
    MakeDir, MakeReg, ReadDir, ReadFile, Refer, RemoveDir, RemoveFile, Truncate, WriteFile,
};
use super::rule::{FileRule, LimitRule};
use super::{Policy, all, everyone, processes, sockets};

pub(super) fn policy(state_dir: &Path, kernel_keyring: bool) -> Policy {
    let mut calls = all(&[
        everyone::CALLS,
        everyone::NO_MODE_BY_NAME,
        everyone::STAYS_BOUND_TO_PARENT,
        sockets::NONE,
        sockets::PAIRS,
        processes::NO_NEW_PROCESS,
        processes::NO_EXEC,
    ]);
    if !kernel_keyring {
        calls.extend_from_slice(everyone::NO_KEYRING);
    }
    Policy {
        files: vec![FileRule::needed(
            state_dir,
            &[
                ReadFile, ReadDir, WriteFile, Truncate, MakeReg, MakeDir, RemoveFile, RemoveDir,
                Refer,
            ],
            "catalog metadata and trusted roots, written to a new file and renamed",
        )],
        calls,
        limits: vec![
            everyone::NO_CORE,
            LimitRule::at_most(Resource::Nofile, 1024, "a few sockets and the state directory"),
        ],
    }
}
