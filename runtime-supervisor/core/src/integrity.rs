//! From a claim of the catalog to bytes that were checked, to a file that still is those bytes
//! (contract 8).

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::Reason;

/// Characters of a SHA-256 digest in hexadecimal.
const HEX_CHARS: usize = 64;

/// A SHA-256 digest. Its `Debug` shows nothing: digests are never printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Reads exactly 64 lowercase hexadecimal characters.
    ///
    /// # Errors
    /// [`Reason::MalformedSpec`].
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let lowercase = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() != HEX_CHARS || !lowercase {
            return Err(Reason::MalformedSpec);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Reason::MalformedSpec)?;
        Ok(Self(bytes))
    }

    /// The 64 lowercase hexadecimal characters: the name of the file in the store.
    #[must_use]
    pub fn file_name(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest([redacted])")
    }
}

/// What the catalog says the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spec {
    digest: Digest,
    size: NonZeroU64,
}

impl Spec {
    /// The digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The exact size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size.get()
    }
}

/// Reads a digest and a size as the catalog states them.
///
/// # Errors
/// [`Reason::MalformedSpec`] unless the digest is exactly 64 lowercase hexadecimal characters
/// and the size is positive.
pub fn validate_spec(sha256: &str, size_bytes: u64) -> Result<Spec, Reason> {
    let digest = Digest::parse(sha256)?;
    let size = NonZeroU64::new(size_bytes).ok_or(Reason::MalformedSpec)?;
    Ok(Spec { digest, size })
}

/// Counts and hashes every byte of an artifact, in order, in constant memory.
pub struct Accumulator {
    spec: Spec,
    hasher: Sha256,
    received: u64,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Finalized,
    Aborted,
}

impl Accumulator {
    /// An accumulator that has seen nothing.
    #[must_use]
    pub fn new(spec: Spec) -> Self {
        Self { spec, hasher: Sha256::new(), received: 0, phase: Phase::Open }
    }

    /// What the bytes must turn out to be.
    #[must_use]
    pub fn spec(&self) -> Spec {
        self.spec
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Reason::SizeMismatch`] at the first byte too many, which aborts it;
    /// [`Reason::AccumulatorAborted`] or [`Reason::AccumulatorFinalized`] after either.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        self.check_open()?;
        let room = self.spec.size() - self.received;
        let length = u64::try_from(bytes.len()).map_err(|_| Reason::SizeMismatch)?;
        if length > room {
            self.phase = Phase::Aborted;
            return Err(Reason::SizeMismatch);
        }
        self.hasher.update(bytes);
        self.received += length;
        Ok(())
    }

    /// Gives up; nothing can be verified with it any more.
    pub fn abort(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Aborted;
        }
    }

    /// Compares size and digest, the digest in constant time. Works once.
    ///
    /// # Errors
    /// [`Reason::SizeMismatch`], [`Reason::DigestMismatch`]; at any later call
    /// [`Reason::AccumulatorFinalized`]; after an abort [`Reason::AccumulatorAborted`].
    pub fn finalize(&mut self) -> Result<VerifiedBytes, Reason> {
        self.check_open()?;
        self.phase = Phase::Finalized;
        if self.received != self.spec.size() {
            return Err(Reason::SizeMismatch);
        }
        let digest: [u8; 32] = self.hasher.finalize_reset().into();
        if bool::from(digest.ct_eq(&self.spec.digest.0)) {
            Ok(VerifiedBytes { spec: self.spec })
        } else {
            Err(Reason::DigestMismatch)
        }
    }

    fn check_open(&self) -> Result<(), Reason> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Finalized => Err(Reason::AccumulatorFinalized),
            Phase::Aborted => Err(Reason::AccumulatorAborted),
        }
    }
}

impl fmt::Debug for Accumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accumulator")
            .field("received", &self.received)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// Proof that the bytes of a spec were seen, all of them and no others.
#[derive(Debug)]
pub struct VerifiedBytes {
    spec: Spec,
}

impl VerifiedBytes {
    /// Ties the proof to the file that holds the bytes, by what fstat(2) said of it after the
    /// last byte was in place.
    ///
    /// # Errors
    /// [`Reason::SizeMismatch`] when the file has another size than the bytes.
    pub fn at(self, identity: FileIdentity) -> Result<VerifiedFile, Reason> {
        if identity.size == self.spec.size() {
            Ok(VerifiedFile { spec: self.spec, identity })
        } else {
            Err(Reason::SizeMismatch)
        }
    }
}

/// What tells one state of one file from every other: stat(2) fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileIdentity {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// `st_size` in bytes.
    pub size: u64,
    /// Seconds of `st_ctim`, which no program can set.
    pub changed_s: i64,
    /// Nanoseconds of `st_ctim`.
    pub changed_ns: i64,
}

/// A file whose bytes were verified, and which file that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedFile {
    spec: Spec,
    identity: FileIdentity,
}

impl VerifiedFile {
    /// What was verified.
    #[must_use]
    pub fn spec(&self) -> Spec {
        self.spec
    }

    /// Confirms that an opened file is still the one that was verified.
    ///
    /// # Errors
    /// [`Reason::DigestMismatch`] when anything of its identity differs.
    pub fn confirm(&self, observed: &FileIdentity) -> Result<ConfirmedFile, Reason> {
        if self.identity == *observed {
            Ok(ConfirmedFile { spec: self.spec })
        } else {
            Err(Reason::DigestMismatch)
        }
    }

    /// What is kept beside the file for the next start of this process.
    #[must_use]
    pub fn record(&self) -> IdentityRecord {
        IdentityRecord { sha256: self.spec.digest.file_name(), identity: self.identity }
    }

    /// The verification that a record remembers, if it is one of this spec and the file is
    /// still the same; else the bytes must be verified anew.
    #[must_use]
    pub fn recall(record: &IdentityRecord, spec: Spec, observed: &FileIdentity) -> Option<Self> {
        let same_spec = record.sha256 == spec.digest.file_name() && observed.size == spec.size();
        let same_file = record.identity == *observed;
        (same_spec && same_file).then_some(Self { spec, identity: record.identity })
    }
}

/// A verification as it is written to disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityRecord {
    sha256: String,
    identity: FileIdentity,
}

/// Proof that a descriptor, at the moment it was looked at, was a verified file.
#[derive(Debug)]
pub struct ConfirmedFile {
    spec: Spec,
}

impl ConfirmedFile {
    /// What was verified.
    #[must_use]
    pub fn spec(&self) -> Spec {
        self.spec
    }
}

#[cfg(test)]
#[path = "integrity_tests.rs"]
pub(crate) mod tests;
