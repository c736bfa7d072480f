//! A note as it lies on the disk, and the part of it that is text.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::limits;
use crate::refusal::Refusal;

/// A note that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    content: String,
    digest: [u8; 32],
}

impl Note {
    /// Reads a regular file of UTF-8 text, at most 4 MiB.
    ///
    /// # Errors
    /// `note_unreadable`, `note_too_large`, `note_not_text` or `note_empty`.
    pub(crate) fn read(path: &Path) -> Result<Self, Refusal> {
        let unreadable =
            |error: std::io::Error| Refusal::new("note_unreadable").with_detail(&error.to_string());
        // Asked before opening: a FIFO would wait for a writer.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(Refusal::new("note_unreadable").with_detail("it is not a file"));
        }
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(limits::NOTE_BYTES + 1).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        if bytes.len() as u64 > limits::NOTE_BYTES {
            return Err(Refusal::new("note_too_large"));
        }
        Self::of_bytes(bytes)
    }

    fn of_bytes(bytes: Vec<u8>) -> Result<Self, Refusal> {
        let digest = Sha256::digest(&bytes).into();
        let content = String::from_utf8(bytes).map_err(|_| Refusal::new("note_not_text"))?;
        let note = Self { content, digest };
        if note.text().chars().any(char::is_alphanumeric) {
            Ok(note)
        } else {
            Err(Refusal::new("note_empty"))
        }
    }

    /// The text to enrich: without front matter, unless there is nothing else.
    pub(crate) fn text(&self) -> &str {
        let body = without_front_matter(&self.content).trim();
        if body.is_empty() { self.content.trim() } else { body }
    }

    /// SHA-256 of the whole file.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

/// What follows YAML (`---`) or TOML (`+++`) front matter; everything when there is none or it
/// does not end.
fn without_front_matter(content: &str) -> &str {
    let content = content.strip_prefix('\u{feff}').unwrap_or(content);
    let mut lines = content.split_inclusive('\n');
    let fence = match lines.next().map(str::trim_end) {
        Some("---") => "---",
        Some("+++") => "+++",
        _ => return content,
    };
    let mut start = content.find('\n').map_or(content.len(), |end| end + 1);
    for line in lines {
        start += line.len();
        let line = line.trim_end();
        if line == fence || (fence == "---" && line == "...") {
            return &content[start..];
        }
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(content: &str) -> String {
        Note::of_bytes(content.as_bytes().to_vec()).expect("note").text().to_owned()
    }

    #[test]
    fn front_matter_is_not_part_of_the_text() {
        assert_eq!(text("---\ntitle: A\ntags: [x]\n---\n\n# Body\n"), "# Body");
        assert_eq!(text("---\r\ntitle: A\r\n---\r\nBody\r\n"), "Body");
        assert_eq!(text("\u{feff}---\na: b\n...\nBody"), "Body");
        assert_eq!(text("+++\na = 1\n+++\nBody"), "Body");
    }

    #[test]
    fn a_rule_in_the_text_is_not_front_matter() {
        assert_eq!(text("Body\n---\nmore\n---\n"), "Body\n---\nmore\n---");
        assert_eq!(text("---\nnever closed: yes"), "---\nnever closed: yes");
        assert_eq!(text("--- \na\n ---\nb"), "--- \na\n ---\nb");
    }

    #[test]
    fn a_note_of_front_matter_alone_keeps_it() {
        assert_eq!(text("---\ntitle: Only this\n---\n"), "---\ntitle: Only this\n---");
    }

    #[test]
    fn what_is_not_a_text_is_refused_with_its_reason() {
        let reason =
            |bytes: &[u8]| Note::of_bytes(bytes.to_vec()).expect_err("refused").reason().to_owned();
        assert_eq!(reason(b"\xff\xfe\x00"), "note_not_text");
        assert_eq!(reason(b" \n --- \n"), "note_empty");
        let dir = tempfile::tempdir().expect("directory");
        assert_eq!(Note::read(dir.path()).expect_err("refused").reason(), "note_unreadable");
        let large = dir.path().join("large.md");
        std::fs::write(&large, vec![b'a'; limits::NOTE_BYTES as usize + 1]).expect("file");
        assert_eq!(Note::read(&large).expect_err("refused").reason(), "note_too_large");
    }

    #[test]
    fn the_digest_covers_the_whole_file() {
        let digest =
            |content: &str| *Note::of_bytes(content.as_bytes().to_vec()).expect("note").digest();
        assert_ne!(digest("---\na: 1\n---\nBody"), digest("---\na: 2\n---\nBody"));
        assert_eq!(digest("Body"), digest("Body"));
    }

    proptest! {
        #[test]
        fn front_matter_never_panics_and_gives_a_suffix(content in "(---|\\+\\+\\+|a|\n|\r\n| |ä){0,12}") {
            prop_assert!(content.ends_with(without_front_matter(&content)));
        }
    }
}
