//! Notes into summaries and tags, on this computer, with provenance.
//!
//! A note is data. Its text goes into the body of a user message, between delimiters that it
//! cannot forge, and nowhere else: not into an instruction, a header, a URL or a file name.

mod answer;
mod data_text;
mod driver;
mod grounding;
mod note;
mod prompt;
mod provenance;
mod sections;
mod sidecar;
mod walk;

pub(crate) use driver::{Model, enrich_text};
pub(crate) use note::Note;
pub(crate) use provenance::Provenance;
pub(crate) use sections::room;
pub(crate) use sidecar::{sidecar_holds, write_beside};
pub(crate) use walk::find_notes;

/// Bounds, in one place.
pub(crate) mod limits {
    /// Largest note, in bytes.
    pub(crate) const NOTE_BYTES: u64 = 4 * 1024 * 1024;
    /// Deepest directory that is entered.
    pub(crate) const DEPTH: usize = 64;
    /// Most notes under way at one time, where the front door admits as many.
    pub(crate) const CONCURRENT: usize = 16;
    /// Largest sidecar that is read, in bytes.
    pub(crate) const SIDECAR_BYTES: u64 = 64 * 1024;
    /// Most sections that stand for a long note.
    pub(crate) const SECTIONS: usize = 8;
    /// Fewest and most characters of note text in one question.
    pub(crate) const ROOM_CHARS: std::ops::RangeInclusive<usize> = 600..=24_000;
    /// Tokens kept free for the instruction, the chat template and the answer.
    pub(crate) const RESERVED_TOKENS: u32 = 700;
    /// Characters of the part that is asked about when the whole note is too much.
    pub(crate) const PART_CHARS: usize = 700;
    /// Characters of a summary.
    pub(crate) const SUMMARY_CHARS: std::ops::RangeInclusive<usize> = 20..=300;
    /// Sentences of a summary.
    pub(crate) const SUMMARY_SENTENCES: usize = 2;
    /// Characters of a tag.
    pub(crate) const TAG_CHARS: std::ops::RangeInclusive<usize> = 3..=30;
    /// Words of a tag.
    pub(crate) const TAG_WORDS: usize = 3;
    /// Tags of a note.
    pub(crate) const TAGS: std::ops::RangeInclusive<usize> = 3..=5;
    /// Times a busy endpoint is asked again.
    pub(crate) const BUSY_RETRIES: u32 = 5;
}
