//! The shapes of the rules.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::Resource;

use super::Line;

/// Rights over files, the names of landlock(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Execute,
    ReadFile,
    ReadDir,
    WriteFile,
    Truncate,
    MakeReg,
    MakeDir,
    MakeSock,
    RemoveFile,
    RemoveDir,
    Refer,
    IoctlDev,
}

/// What exec needs: the kernel opens the file for reading too (measured: with `Execute` alone it
/// answers EACCES). A file of mode 0111 stays unreadable to this process all the same.
pub(super) const EXECUTE: &[Right] = &[Right::Execute, Right::ReadFile];

/// What a file rule is about: a file, or all beneath a directory.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Path(PathBuf),
    /// None: the descriptor could not be duplicated, and the policy cannot be entered.
    Descriptor(Option<Arc<OwnedFd>>),
}

/// A file or directory that may be reached, and how.
#[derive(Debug, Clone)]
pub(crate) struct FileRule {
    pub(crate) place: Place,
    pub(crate) rights: &'static [Right],
    /// Whether its absence is an error; else the rule then gives nothing.
    pub(crate) needed: bool,
    pub(crate) reason: &'static str,
}

impl FileRule {
    pub(super) fn needed(path: &Path, rights: &'static [Right], reason: &'static str) -> Self {
        Self { place: Place::Path(path.to_owned()), rights, needed: true, reason }
    }

    pub(super) fn if_there(path: &str, rights: &'static [Right], reason: &'static str) -> Self {
        Self { place: Place::Path(path.into()), rights, needed: false, reason }
    }

    pub(super) fn opened(
        descriptor: BorrowedFd<'_>,
        rights: &'static [Right],
        reason: &'static str,
    ) -> Self {
        let place = Place::Descriptor(descriptor.try_clone_to_owned().map(Arc::new).ok());
        Self { place, rights, needed: true, reason }
    }

    pub(super) fn line(&self) -> Line {
        let place = match &self.place {
            Place::Path(path) => path.display().to_string(),
            Place::Descriptor(Some(open)) => format!("descriptor {}", open.as_raw_fd()),
            Place::Descriptor(None) => "a lost descriptor".to_owned(),
        };
        Line { what: format!("allow {place} {:?}", self.rights), reason: self.reason }
    }
}

/// A system call that is refused with EPERM, always or when its arguments meet a condition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallRule {
    pub(crate) calls: &'static [libc::c_long],
    pub(crate) when: When,
    pub(crate) reason: &'static str,
}

/// When a rule refuses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    Always,
    If(Condition),
    Both(Condition, Condition),
}

/// A test of one argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition {
    pub(crate) argument: u8,
    /// The kernel reads all 64 bits of the argument; else the lower 32.
    pub(crate) wide: bool,
    pub(crate) test: Test,
}

/// Values are compared without sign.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Test {
    Is(u64),
    IsNot(u64),
    Lacks(u64),
    HasAnyOf(&'static [u64]),
    /// The lowest four bits are none of these.
    LowFourBitsNoneOf(&'static [u64]),
}

impl CallRule {
    pub(super) const fn never(calls: &'static [libc::c_long], reason: &'static str) -> Self {
        Self { calls, when: When::Always, reason }
    }

    pub(super) const fn never_if(
        calls: &'static [libc::c_long],
        condition: Condition,
        reason: &'static str,
    ) -> Self {
        Self { calls, when: When::If(condition), reason }
    }

    pub(super) const fn never_if_both(
        calls: &'static [libc::c_long],
        one: Condition,
        other: Condition,
        reason: &'static str,
    ) -> Self {
        Self { calls, when: When::Both(one, other), reason }
    }

    pub(super) fn line(&self) -> Line {
        let calls = self.calls;
        let what = match self.when {
            When::Always => format!("deny system calls {calls:?}"),
            When::If(condition) => format!("deny system calls {calls:?} if {condition:?}"),
            When::Both(one, other) => {
                format!("deny system calls {calls:?} if {one:?} and {other:?}")
            }
        };
        Line { what, reason: self.reason }
    }
}

/// An argument that the kernel reads as an `int` or `unsigned int`.
pub(super) const fn int(argument: u8, test: Test) -> Condition {
    Condition { argument, wide: false, test }
}

/// An argument that the kernel reads as a `long` or a pointer.
pub(super) const fn long(argument: u8, test: Test) -> Condition {
    Condition { argument, wide: true, test }
}

/// The most of a resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LimitRule {
    pub(crate) resource: Resource,
    pub(crate) most: u64,
    pub(crate) reason: &'static str,
}

impl LimitRule {
    pub(super) const fn at_most(resource: Resource, most: u64, reason: &'static str) -> Self {
        Self { resource, most, reason }
    }

    pub(super) fn line(&self) -> Line {
        Line { what: format!("limit {:?} to {}", self.resource, self.most), reason: self.reason }
    }
}
