//! `frontdoor`: guarded HTTP on loopback. It opens no file; libraries that look for one (the
//! time zone, the number of cores in a control group) do without.

use rustix::process::Resource;

use super::rule::LimitRule;
use super::{Policy, all, everyone, processes, sockets};

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
            FILES,
        ]),
        limits: vec![
            everyone::NO_CORE,
            LimitRule::at_most(Resource::Nofile, 8192, "two sockets for each connection it takes"),
        ],
    }
}

const FILES: &[super::CallRule] = &[super::CallRule::never(
    &[libc::SYS_fchmod],
    "it has no file whose mode it could want to change",
)];
