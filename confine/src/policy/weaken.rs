//! Each policy with one line less, for the mutation tests, which show that no line is idle: what
//! a probe can do under the weakened policy differs. No product process calls this.

use std::path::{Path, PathBuf};

use super::rule::{Place, Test, When};
use super::{CallRule, FileRule, Policy, Right};

/// The part of a policy that a line belongs to.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Landlock.
    Files,
    /// The system call filter.
    Calls,
    /// Resource limits.
    Limits,
}

/// A policy that lacks one line.
#[doc(hidden)]
#[derive(Debug)]
pub struct Weakened {
    /// The line that it lacks, in words.
    pub without: String,
    /// Where the line was.
    pub layer: Layer,
    /// What the line was about, where that is a file or directory: its real path.
    pub place: Option<PathBuf>,
    /// The rest.
    pub policy: Policy,
}

impl Policy {
    /// This policy without each of its lines in turn: each right over each place, each number of
    /// each rule for system calls and each flag that the rule looks for, each limit.
    ///
    /// Rules that name one place twice count as one. What a rule for a directory above grants as
    /// well, and what is absent on this machine, is left out: nothing would change.
    #[doc(hidden)]
    pub fn weakened(&self) -> Vec<Weakened> {
        let files = self.without_rights();
        let calls = (0..self.calls.len()).flat_map(|at| self.without_parts_of(at));
        let limits = (0..self.limits.len()).map(|at| self.without_limit(at));
        files.into_iter().chain(calls).chain(limits).collect()
    }

    fn without_rights(&self) -> Vec<Weakened> {
        let places: Vec<Option<PathBuf>> = self.files.iter().map(real_path).collect();
        let mut all: Vec<Weakened> = Vec::new();
        for (rule, place) in self.files.iter().zip(&places) {
            let Some(place) = place else { continue };
            for right in rule.rights {
                let without = format!("{right:?} of {}", place.display());
                if self.granted_above(&places, place, *right)
                    || all.iter().any(|done| done.without == without)
                {
                    continue;
                }
                let policy = self.without_right(&places, place, *right);
                let place = Some(place.clone());
                all.push(Weakened { without, layer: Layer::Files, place, policy });
            }
        }
        all
    }

    fn granted_above(&self, places: &[Option<PathBuf>], place: &Path, right: Right) -> bool {
        self.files.iter().zip(places).any(|(rule, other)| {
            rule.rights.contains(&right)
                && other.as_ref().is_some_and(|other| other != place && place.starts_with(other))
        })
    }

    fn without_right(&self, places: &[Option<PathBuf>], place: &Path, right: Right) -> Self {
        let mut files = Vec::new();
        for (rule, its) in self.files.iter().zip(places) {
            let at = rule.rights.iter().position(|other| *other == right);
            match at.filter(|_| its.as_deref() == Some(place)) {
                Some(at) => files.extend(
                    around(rule.rights, at).map(|rights| FileRule { rights, ..rule.clone() }),
                ),
                None => files.push(rule.clone()),
            }
        }
        Self { files, ..self.clone() }
    }

    fn without_parts_of(&self, at: usize) -> Vec<Weakened> {
        let rule = self.calls[at];
        let numbers = (0..rule.calls.len()).map(|number| {
            let rest = around(rule.calls, number).map(|calls| CallRule { calls, ..rule });
            (format!("system call {}: {}", rule.calls[number], rule.reason), rest.collect())
        });
        let flags = flags(&rule)
            .map(|(flag, rest)| (format!("flag {flag:#x} of system calls {:?}", rule.calls), rest));
        let mut parts: Vec<(String, Vec<CallRule>)> = numbers.collect();
        parts.extend(flags);
        parts.into_iter().map(|(without, rest)| self.with_calls_at(at, without, &rest)).collect()
    }

    fn with_calls_at(&self, at: usize, without: String, rest: &[CallRule]) -> Weakened {
        let calls = [&self.calls[..at], rest, &self.calls[at + 1..]].concat();
        let policy = Self { calls, ..self.clone() };
        Weakened { without, layer: Layer::Calls, place: None, policy }
    }

    fn without_limit(&self, at: usize) -> Weakened {
        let mut policy = self.clone();
        let without = policy.limits.remove(at).line().what;
        Weakened { without, layer: Layer::Limits, place: None, policy }
    }
}

/// Each flag that a rule looks for beside others, with the rules that look for the others.
fn flags(rule: &CallRule) -> impl Iterator<Item = (u64, Vec<CallRule>)> {
    let found = match rule.when {
        When::If(condition) => match condition.test {
            Test::HasAnyOf(flags) if flags.len() > 1 => Some((condition, flags)),
            _ => None,
        },
        When::Always | When::Both(..) => None,
    };
    let rule = *rule;
    found.into_iter().flat_map(move |(condition, flags)| {
        (0..flags.len()).map(move |at| {
            let rest = around(flags, at).map(|flags| {
                let mut condition = condition;
                condition.test = Test::HasAnyOf(flags);
                CallRule { when: When::If(condition), ..rule }
            });
            (flags[at], rest.collect())
        })
    })
}

/// What comes before and after one item, where anything does.
fn around<T>(items: &'static [T], at: usize) -> impl Iterator<Item = &'static [T]> {
    [&items[..at], &items[at + 1..]].into_iter().filter(|part| !part.is_empty())
}

/// Where a rule's place really is; None where it is absent.
fn real_path(rule: &FileRule) -> Option<PathBuf> {
    match &rule.place {
        Place::Path(path) => path.canonicalize().ok(),
        Place::Descriptor(open) => {
            let number = std::os::fd::AsRawFd::as_raw_fd(open.as_ref()?);
            std::fs::read_link(format!("/proc/self/fd/{number}")).ok()
        }
    }
}
