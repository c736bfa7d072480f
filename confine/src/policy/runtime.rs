//! The runtime, `llama-server`: its model, its socket, its scratch directory, and nothing else.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::process::Resource;

use super::rule::Right::{
    MakeDir, MakeReg, MakeSock, ReadDir, ReadFile, RemoveDir, RemoveFile, Truncate, WriteFile,
};
use super::rule::{CallRule, EXECUTE, FileRule, LimitRule};
use super::{Policy, all, everyone, places, processes, sockets};

/// Longest file it may write, in bytes: its scratch directory holds a socket and little else.
const LONGEST_FILE_BYTES: u64 = 64 << 20;

const FILES: &[CallRule] =
    &[CallRule::never(&[libc::SYS_fchmod], "its socket takes its mode from the umask")];

pub(super) fn libraries(directory: BorrowedFd<'_>) -> FileRule {
    FileRule::opened(
        directory,
        &[ReadFile, ReadDir],
        "what was unpacked with the verified runtime: it looks there for its libraries",
    )
}

pub(super) fn policy(
    scratch_dir: &Path,
    binary: BorrowedFd<'_>,
    model: BorrowedFd<'_>,
    max_data_bytes: Option<u64>,
) -> Policy {
    let mut files = vec![
        FileRule::opened(binary, EXECUTE, "the verified runtime, which the jail becomes"),
        FileRule::opened(model, &[ReadFile], "the verified model, opened as /proc/self/fd/5"),
        FileRule::needed(
            scratch_dir,
            &[
                ReadFile, ReadDir, WriteFile, Truncate, MakeReg, MakeDir, MakeSock, RemoveFile,
                RemoveDir,
            ],
            "its socket, HOME and TMPDIR",
        ),
    ];
    files.extend(places::programs_and_machine());
    let mut limits = vec![
        everyone::NO_CORE,
        LimitRule::at_most(Resource::Nofile, 1024, "its clients are the front door's few"),
        LimitRule::at_most(Resource::Fsize, LONGEST_FILE_BYTES, "it cannot fill the disk at once"),
    ];
    limits.extend(max_data_bytes.map(|most| {
        LimitRule::at_most(Resource::Data, most, "it is stopped before it takes the machine")
    }));
    Policy {
        files,
        calls: all(&[
            everyone::CALLS,
            everyone::NO_KEYRING,
            everyone::NO_MODE_BY_NAME,
            everyone::STAYS_BOUND_TO_PARENT,
            sockets::UNIX_STREAM,
            sockets::PAIRS,
            processes::NO_NEW_PROCESS,
            processes::EXEC_OF_THE_DESCRIPTOR,
            FILES,
        ]),
        limits,
    }
}
