//! Resource limits, soft and hard alike, so that a process cannot raise them again.

use rustix::process::{Rlimit, getrlimit, setrlimit};

use crate::ConfineError;
use crate::policy::LimitRule;

/// Lowers each limit to its rule, or leaves it where it is lower already.
pub(crate) fn lower(rules: &[LimitRule]) -> Result<(), ConfineError> {
    for rule in rules {
        let hard = getrlimit(rule.resource).maximum.map_or(rule.most, |now| now.min(rule.most));
        let both = Rlimit { current: Some(hard), maximum: Some(hard) };
        setrlimit(rule.resource, both).map_err(|errno| ConfineError::Limit(errno.into()))?;
    }
    Ok(())
}
