//! A program that reads what it was handed on standard input and writes to standard output.

use rustix::process::Resource;

use super::rule::LimitRule;
use super::{Policy, all, everyone, processes, sockets};

/// Most memory it may take, in bytes.
const MOST_DATA_BYTES: u64 = 256 << 20;

pub(super) fn policy() -> Policy {
    Policy {
        files: Vec::new(),
        calls: all(&[
            everyone::CALLS,
            everyone::NO_KEYRING,
            everyone::NO_MODE_BY_NAME,
            everyone::STAYS_BOUND_TO_PARENT,
            sockets::NONE,
            sockets::PAIRS,
            processes::NO_NEW_PROCESS,
            processes::NO_EXEC,
        ]),
        limits: vec![
            everyone::NO_CORE,
            LimitRule::at_most(Resource::Nofile, 16, "it opens nothing"),
            LimitRule::at_most(Resource::Data, MOST_DATA_BYTES, "a parser needs little memory"),
        ],
    }
}
