//! Landlock: files, TCP, abstract sockets, signals.

use std::error::Error;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::fs::{FileType, Mode, OFlags};

use crate::policy::{FileRule, Place, Right};
use crate::{ConfineError, kernel};

/// What each older ABI leaves open: the first ABI without the gap, and the gap in plain words.
const GAPS: [(i32, &str); 5] = [
    (3, "files that may be read can also be cut short (Landlock ABI 3, Linux 6.2)"),
    (4, "TCP connections are held back by the system call filter alone (ABI 4, Linux 6.7)"),
    (5, "commands to device files that are open are not held back (ABI 5, Linux 6.10)"),
    (
        6,
        "signals to this user's other programs are not held back, and abstract sockets by the \
         system call filter alone (ABI 6, Linux 6.12)",
    ),
    (9, "sockets with a path are held back by the system call filter alone (ABI 9, Linux 7.1)"),
];

/// The Landlock ABI of the running kernel, at least 1.
pub(crate) fn abi() -> Result<i32, ConfineError> {
    match kernel::landlock_abi() {
        Ok(abi) if abi >= 1 => Ok(abi),
        Ok(_) | Err(_) => Err(ConfineError::LandlockMissing),
    }
}

/// What a kernel of this ABI leaves open, one sentence each.
pub fn gaps(abi: i32) -> Vec<String> {
    GAPS.iter().filter(|(closed, _)| abi < *closed).map(|(_, gap)| (*gap).to_owned()).collect()
}

/// Enters a domain in which only these files are reachable, no TCP port may be bound or
/// connected to, and no abstract socket or process outside the domain is reached.
///
/// Every right that the kernel's ABI knows is handled, and asked for as a hard requirement:
/// what an older kernel lacks is named by [`gaps`], what this one has is enforced or fails.
pub(crate) fn restrict(rules: &[FileRule]) -> Result<(), ConfineError> {
    let abi = ABI::from(abi()?);
    let mut domain = denying_everything(abi)?;
    for rule in rules {
        if let Some(place) = open(rule)? {
            domain = allow(domain, &place, rule.rights, abi)?;
        }
    }
    let status = domain.restrict_self().map_err(failed)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::NotEnforced => {
            Err(ConfineError::LandlockPartial)
        }
    }
}

fn denying_everything(abi: ABI) -> Result<RulesetCreated, ConfineError> {
    let mut domain = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))
        .map_err(failed)?;
    let tcp = AccessNet::from_all(abi);
    if !tcp.is_empty() {
        domain = domain.handle_access(tcp).map_err(failed)?;
    }
    let scopes = Scope::from_all(abi);
    if !scopes.is_empty() {
        domain = domain.scope(scopes).map_err(failed)?;
    }
    domain.create().map_err(failed)
}

fn allow(
    domain: RulesetCreated,
    place: &OwnedFd,
    rights: &[Right],
    abi: ABI,
) -> Result<RulesetCreated, ConfineError> {
    let meant = rights.iter().fold(BitFlags::EMPTY, |all, right| all | access(*right));
    let possible = if is_directory(place.as_fd())? {
        AccessFs::from_all(abi)
    } else {
        AccessFs::from_file(abi)
    };
    domain.add_rule(PathBeneath::new(place, meant & possible)).map_err(failed)
}

/// The place of a rule, or None when it is absent and may be.
fn open(rule: &FileRule) -> Result<Option<OwnedFd>, ConfineError> {
    let missing = |source| ConfineError::PlaceMissing { reason: rule.reason, source };
    match &rule.place {
        Place::Descriptor(Some(descriptor)) => descriptor.try_clone().map(Some).map_err(missing),
        Place::Descriptor(None) => Err(missing(io::ErrorKind::NotFound.into())),
        Place::Path(path) => match open_path(path) {
            Ok(place) => Ok(Some(place)),
            Err(_) if !rule.needed => Ok(None),
            Err(error) => Err(missing(error)),
        },
    }
}

/// `O_PATH` opens nothing: it works under a domain that grants no right there.
fn open_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

fn is_directory(place: BorrowedFd<'_>) -> Result<bool, ConfineError> {
    let facts = rustix::fs::fstat(place).map_err(failed)?;
    Ok(FileType::from_raw_mode(facts.st_mode) == FileType::Directory)
}

fn access(right: Right) -> AccessFs {
    match right {
        Right::Execute => AccessFs::Execute,
        Right::ReadFile => AccessFs::ReadFile,
        Right::ReadDir => AccessFs::ReadDir,
        Right::WriteFile => AccessFs::WriteFile,
        Right::Truncate => AccessFs::Truncate,
        Right::MakeReg => AccessFs::MakeReg,
        Right::MakeDir => AccessFs::MakeDir,
        Right::MakeSock => AccessFs::MakeSock,
        Right::RemoveFile => AccessFs::RemoveFile,
        Right::RemoveDir => AccessFs::RemoveDir,
        Right::Refer => AccessFs::Refer,
        Right::IoctlDev => AccessFs::IoctlDev,
    }
}

fn failed(error: impl Error + Send + Sync + 'static) -> ConfineError {
    ConfineError::Landlock(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::{GAPS, gaps};

    #[test]
    fn an_older_kernel_names_each_gap_and_a_new_one_none() {
        assert_eq!(gaps(1).len(), GAPS.len());
        assert!(gaps(3).iter().any(|gap| gap.starts_with("TCP")));
        assert!(!gaps(4).iter().any(|gap| gap.starts_with("TCP")));
        assert!(gaps(5).iter().any(|gap| gap.starts_with("signals")));
        assert!(!gaps(6).iter().any(|gap| gap.starts_with("signals")));
        assert_eq!(gaps(8).len(), 1);
        assert_eq!(gaps(9), Vec::<String>::new());
    }
}
