//! The fixed strings of contract 3, and this process's own in their style.

use std::fmt;

/// Why something was refused or ended. Carries nothing derived from input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A digest, size, id or kind that cannot be what it claims.
    MalformedSpec,
    /// The URL lies under no allowed source.
    SourceNotAllowed,
    /// Anything but `https`.
    SchemeNotAllowed,
    /// More or fewer bytes than the catalog says.
    SizeMismatch,
    /// Other bytes than the catalog says, or another file than the verified one.
    DigestMismatch,
    /// The accumulator was finalized before.
    AccumulatorFinalized,
    /// The accumulator was aborted before.
    AccumulatorAborted,
    /// The lifecycle has no such arrow.
    InvalidTransition,
    /// No event has that name.
    UnknownEvent,
    /// No state has that name.
    UnknownState,
    /// The runtime could not be spawned, or its jail refused.
    SpawnFailed,
    /// The runtime never became healthy, or stopped being so.
    HealthFailed,
    /// The configured limits make no sense.
    MalformedLimits,
    /// The probe failed or its figures make no sense.
    MalformedObservation,
    /// Resident memory is over its limit.
    RamOverLimit,
    /// GPU memory is over its limit.
    VramOverLimit,
    /// CPU use is over its limit.
    CpuOverLimit,
    /// More redirects than followed.
    TooManyRedirects,
    /// The artifact is not in the store.
    NotProvisioned,
    /// The file system has no room for the artifact.
    DiskFull,
    /// No byte came in time.
    DownloadStalled,
    /// The connection ended before the last byte.
    DownloadTruncated,
    /// The model host could not be reached, or its certificate did not hold.
    ConnectionFailed,
    /// The model host answered with something else than the file.
    ServerRefused,
    /// The file to be imported is not there, or cannot be read.
    SourceUnavailable,
    /// The store cannot be read or written.
    StoreUnavailable,
    /// The archive holds what may not be unpacked, or no program.
    MalformedArchive,
    /// The running runtime uses this file.
    InUse,
    /// Another model is starting or running.
    AlreadyRunning,
    /// The runtime ended by itself.
    RuntimeCrashed,
    /// It crashed so often that a person has to act.
    CrashLoop,
    /// A stop was asked for meanwhile.
    Stopped,
}

impl Reason {
    /// The fixed string, as it appears in RPC, logs and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedSpec => "malformed_spec",
            Self::SourceNotAllowed => "source_not_allowed",
            Self::SchemeNotAllowed => "scheme_not_allowed",
            Self::SizeMismatch => "size_mismatch",
            Self::DigestMismatch => "digest_mismatch",
            Self::AccumulatorFinalized => "accumulator_finalized",
            Self::AccumulatorAborted => "accumulator_aborted",
            Self::InvalidTransition => "invalid_transition",
            Self::UnknownEvent => "unknown_event",
            Self::UnknownState => "unknown_state",
            Self::SpawnFailed => "spawn_failed",
            Self::HealthFailed => "health_failed",
            Self::MalformedLimits => "malformed_limits",
            Self::MalformedObservation => "malformed_observation",
            Self::RamOverLimit => "ram_over_limit",
            Self::VramOverLimit => "vram_over_limit",
            Self::CpuOverLimit => "cpu_over_limit",
            Self::TooManyRedirects => "too_many_redirects",
            Self::NotProvisioned => "not_provisioned",
            Self::DiskFull => "disk_full",
            Self::DownloadStalled => "download_stalled",
            Self::DownloadTruncated => "download_truncated",
            Self::ConnectionFailed => "connection_failed",
            Self::ServerRefused => "server_refused",
            Self::SourceUnavailable => "source_unavailable",
            Self::StoreUnavailable => "store_unavailable",
            Self::MalformedArchive => "malformed_archive",
            Self::InUse => "in_use",
            Self::AlreadyRunning => "already_running",
            Self::RuntimeCrashed => "runtime_crashed",
            Self::CrashLoop => "crash_loop",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Reason {}

#[cfg(test)]
mod tests {
    use super::Reason;

    /// Contract 3: these keep their spelling.
    #[test]
    fn the_reasons_of_the_contract_are_spelled_as_it_spells_them() {
        for (reason, spelling) in [
            (Reason::MalformedSpec, "malformed_spec"),
            (Reason::SourceNotAllowed, "source_not_allowed"),
            (Reason::SchemeNotAllowed, "scheme_not_allowed"),
            (Reason::SizeMismatch, "size_mismatch"),
            (Reason::DigestMismatch, "digest_mismatch"),
            (Reason::AccumulatorFinalized, "accumulator_finalized"),
            (Reason::AccumulatorAborted, "accumulator_aborted"),
            (Reason::InvalidTransition, "invalid_transition"),
            (Reason::UnknownEvent, "unknown_event"),
            (Reason::UnknownState, "unknown_state"),
            (Reason::SpawnFailed, "spawn_failed"),
            (Reason::HealthFailed, "health_failed"),
            (Reason::MalformedLimits, "malformed_limits"),
            (Reason::MalformedObservation, "malformed_observation"),
            (Reason::RamOverLimit, "ram_over_limit"),
            (Reason::VramOverLimit, "vram_over_limit"),
            (Reason::CpuOverLimit, "cpu_over_limit"),
        ] {
            assert_eq!(reason.as_str(), spelling);
            assert_eq!(reason.to_string(), spelling);
        }
    }
}
