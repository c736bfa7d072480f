//! Whether a model fits into this machine's memory, and why.
//!
//! A model's file is mapped as it is, and what it computes on top of it (context, scratch) is
//! reckoned at a fifth of it and at least [`LEAST_BESIDE`]: how much it really is depends on the model's
//! insides, which a catalog does not tell. The runtime's own ceiling decides at its start.

use companion_settings::Settings;
use serde_json::{Value, json};

use super::meminfo::Meminfo;
use crate::terminal::size;

/// Least that is reckoned beside the file, in bytes.
const LEAST_BESIDE: u64 = 256 << 20;

/// The memory of this machine, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// The most that a runtime may take, in bytes: `max_ram_bytes`, else three quarters.
    most: u64,
    /// What could be had just now without swapping, in bytes.
    available: u64,
}

/// Whether it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    /// Less is to be had just now: other programs hold the rest.
    NotNow,
    /// It is over what a runtime may take here.
    Never,
}

impl Memory {
    /// Of this machine; None where the kernel does not tell.
    pub(super) fn of_this_machine(settings: &Settings) -> Option<Self> {
        let machine = Meminfo::read()?;
        let most = machine.ceiling(settings.runtime.max_ram_bytes);
        Some(Self { most, available: machine.available })
    }

    /// Whether a model of this size fits.
    pub(super) fn fit(self, file_bytes: u64) -> Fit {
        let needed = needed(file_bytes);
        match needed {
            _ if needed > self.most => Fit::Never,
            _ if needed > self.available => Fit::NotNow,
            _ => Fit::Yes,
        }
    }

    /// In words, with the reason where it does not.
    pub(super) fn for_people(self, file_bytes: u64) -> String {
        let needed = size(needed(file_bytes));
        match self.fit(file_bytes) {
            Fit::Yes => format!("fits ({needed})"),
            Fit::NotNow => format!("not now: {needed} of {} free", size(self.available)),
            Fit::Never => format!("too large: {needed} of {}", size(self.most)),
        }
    }

    /// With stable field names.
    pub(super) fn as_json(self, file_bytes: u64) -> Value {
        let word = match self.fit(file_bytes) {
            Fit::Yes => "yes",
            Fit::NotNow => "not_now",
            Fit::Never => "never",
        };
        json!({
            "fits": word,
            "needed_bytes": needed(file_bytes),
            "available_bytes": self.available,
            "most_bytes": self.most,
        })
    }
}

fn needed(file_bytes: u64) -> u64 {
    file_bytes.saturating_add((file_bytes / 5).max(LEAST_BESIDE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_model_fits_or_the_reason_is_told() {
        let memory = Memory { most: 12 * GIB, available: 4 * GIB };
        assert_eq!(memory.fit(GIB), Fit::Yes);
        assert_eq!(memory.fit(4 * GIB), Fit::NotNow);
        assert_eq!(memory.fit(11 * GIB), Fit::Never);
        assert_eq!(memory.fit(u64::MAX), Fit::Never);
        assert_eq!(memory.for_people(GIB), "fits (1.25 GiB)");
        assert_eq!(memory.for_people(10 * GIB), "not now: 12.00 GiB of 4.00 GiB free");
        assert_eq!(memory.for_people(20 * GIB), "too large: 24.00 GiB of 12.00 GiB");
        assert_eq!(memory.as_json(20 * GIB)["fits"], "never");
    }
}
