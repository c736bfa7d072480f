//! System call filters: a gate by number, then the policy's rules.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::error::Error;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

use crate::policy::{CallRule, Condition, Test, When};
use crate::{ConfineError, kernel};

/// The newest system call that the policies were written with in mind (file_setattr, Linux
/// 6.17). Newer ones answer ENOSYS, as on a kernel without them, so that no kernel update opens
/// a way that nobody has looked at.
const NEWEST_KNOWN_CALL: u32 = 469;
/// Set in the numbers of the x32 calls of x86-64, which mean the same calls by other numbers.
const X32_BIT: u32 = 0x4000_0000;
/// clone3(2) takes its flags in memory, where a filter cannot see them; glibc and the standard
/// library then use clone(2).
const CLONE3: u32 = 435;

/// Fails where no filter is written for the processor or the kernel has none.
pub(crate) fn supported() -> Result<(), ConfineError> {
    processor()?;
    if kernel::seccomp_answers_errors() { Ok(()) } else { Err(ConfineError::SeccompMissing) }
}

/// Enters the gate and the filter of these rules, for this thread and those it starts later.
/// Calls by the numbers of another processor mode (`int 0x80`) end the process.
pub(crate) fn restrict(rules: &[CallRule]) -> Result<(), ConfineError> {
    let filter = filter(rules, processor()?).map_err(failed)?;
    apply_filter(&gate()).map_err(failed)?;
    apply_filter(&filter).map_err(failed)
}

fn processor() -> Result<TargetArch, ConfineError> {
    match TargetArch::try_from(ARCH) {
        Ok(known @ (TargetArch::x86_64 | TargetArch::aarch64)) => Ok(known),
        Ok(TargetArch::riscv64) | Err(_) => Err(ConfineError::ProcessorMissing),
    }
}

/// Refuses by number alone: x32 numbers with EPERM, unknown numbers and clone3 with ENOSYS.
/// The order counts: x32 numbers are large too.
fn gate() -> BpfProgram {
    // From linux/bpf_common.h: load a word, compare with a constant, return one.
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const ABOVE: u16 = 0x25;
    const AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let step = |code, k, jt, jf| sock_filter { code, jt, jf, k };
    let refuse = |errno: i32| u32::from(SeccompAction::Errno(errno.unsigned_abs()));
    vec![
        step(LOAD, 0, 0, 0), // seccomp_data.nr; the other filter checks seccomp_data.arch
        step(AT_LEAST, X32_BIT, 3, 0),
        step(ABOVE, NEWEST_KNOWN_CALL, 3, 0),
        step(EQUAL, CLONE3, 2, 0),
        step(RETURN, u32::from(SeccompAction::Allow), 0, 0),
        step(RETURN, refuse(libc::EPERM), 0, 0),
        step(RETURN, refuse(libc::ENOSYS), 0, 0),
    ]
}

fn filter(
    rules: &[CallRule],
    processor: TargetArch,
) -> Result<BpfProgram, seccompiler::BackendError> {
    SeccompFilter::new(
        by_number(rules)?,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        processor,
    )?
    .try_into()
}

/// The library's shape: for each number the alternatives that refuse it, none meaning always.
fn by_number(
    rules: &[CallRule],
) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut always = Vec::new();
    let mut table: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in rules {
        let alternatives = alternatives(&rule.when)?;
        for call in rule.calls {
            if alternatives.is_empty() {
                always.push(*call);
            }
            table.entry(*call).or_default().extend(alternatives.iter().cloned());
        }
    }
    for call in always {
        table.insert(call, Vec::new());
    }
    Ok(table)
}

fn alternatives(when: &When) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    match when {
        When::Always => Ok(Vec::new()),
        When::If(one) => {
            conditions(one)?.into_iter().map(|met| SeccompRule::new(vec![met])).collect()
        }
        When::Both(one, other) => {
            let others = conditions(other)?;
            conditions(one)?
                .into_iter()
                .flat_map(|met| others.iter().map(move |also| vec![met.clone(), also.clone()]))
                .map(SeccompRule::new)
                .collect()
        }
    }
}

/// The alternatives of one condition: it is met when one of them is.
fn conditions(condition: &Condition) -> Result<Vec<SeccompCondition>, seccompiler::BackendError> {
    let width = if condition.wide { SeccompCmpArgLen::Qword } else { SeccompCmpArgLen::Dword };
    let alternatives = match condition.test {
        Test::Is(value) => vec![(SeccompCmpOp::Eq, value)],
        Test::IsNot(value) => vec![(SeccompCmpOp::Ne, value)],
        Test::Lacks(bit) => vec![(SeccompCmpOp::MaskedEq(bit), 0)],
        Test::HasAnyOf(bits) => {
            bits.iter().map(|bit| (SeccompCmpOp::MaskedEq(*bit), *bit)).collect()
        }
        Test::LowFourBitsNoneOf(allowed) => (0..16)
            .filter(|value| !allowed.contains(value))
            .map(|value| (SeccompCmpOp::MaskedEq(0xf), value))
            .collect(),
    };
    alternatives
        .into_iter()
        .map(|(comparison, value)| {
            SeccompCondition::new(condition.argument, width.clone(), comparison, value)
        })
        .collect()
}

fn failed(error: impl Error + Send + Sync + 'static) -> ConfineError {
    ConfineError::Seccomp(Box::new(error))
}

#[cfg(test)]
mod tests;
