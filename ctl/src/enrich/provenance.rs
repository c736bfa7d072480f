//! Where a derived text comes from. Every text that the companion derives carries it.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::refusal::Refusal;

/// Keeps these ids apart from any others that are made of a content's digest.
const NAMESPACE: &[u8] = b"companion.enrich.note.v1";

/// `generated_by`, `model`, `version`, `date`, `source_event_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Provenance {
    pub(crate) generated_by: &'static str,
    /// Catalog id of the model that answered.
    pub(crate) model: String,
    /// Of this program.
    pub(crate) version: &'static str,
    /// RFC 3339, UTC.
    pub(crate) date: String,
    /// A UUID made of the note's content: equal for equal notes, whatever their place.
    pub(crate) source_event_id: String,
}

impl Provenance {
    /// # Errors
    /// `internal` when the clock stands outside the years that RFC 3339 can write.
    pub(crate) fn new(
        model: &str,
        note_digest: &[u8; 32],
        now: SystemTime,
    ) -> Result<Self, Refusal> {
        let date = OffsetDateTime::from(now)
            .replace_nanosecond(0)
            .ok()
            .and_then(|now| now.format(&Rfc3339).ok())
            .ok_or_else(|| Refusal::new("internal"))?;
        Ok(Self {
            generated_by: "companion",
            model: model.to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            date,
            source_event_id: event_id(note_digest),
        })
    }
}

impl Provenance {
    /// Whether a result with these fields would come of the same content, model and program.
    pub(crate) fn matches(&self, earlier: &Value) -> bool {
        earlier["source_event_id"] == self.source_event_id
            && earlier["model"] == self.model
            && earlier["version"] == self.version
    }
}

/// A name-based UUID of version 8 over SHA-256 (RFC 9562, section 5.8 and appendix B.2).
fn event_id(note_digest: &[u8; 32]) -> String {
    let hash = Sha256::new().chain_update(NAMESPACE).chain_update(note_digest).finalize();
    let mut id = [0_u8; 16];
    id.copy_from_slice(&hash[..16]);
    id[6] = (id[6] & 0x0f) | 0x80;
    id[8] = (id[8] & 0x3f) | 0x80;
    let n = u128::from_be_bytes(id);
    let hex = format!("{n:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_derived_text_says_who_made_it_when_and_of_what() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123);
        let provenance = Provenance::new("smollm2", &[7; 32], now).expect("provenance");
        let value = serde_json::to_value(&provenance).expect("value");
        assert_eq!(value["generated_by"], "companion");
        assert_eq!(value["model"], "smollm2");
        assert_eq!(value["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(value["date"], "2027-01-15T08:00:00Z");
        assert_eq!(value["source_event_id"], event_id(&[7; 32]));
    }

    #[test]
    fn the_id_is_a_uuid_of_version_8_that_only_the_content_decides() {
        let id = event_id(&[1; 32]);
        assert_eq!(id, event_id(&[1; 32]));
        assert_ne!(id, event_id(&[2; 32]));
        let groups: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "8");
        assert!("89ab".contains(&id[19..20]));
    }

    #[test]
    fn the_id_does_not_show_the_notes_digest() {
        let digest: [u8; 32] = Sha256::digest(b"note").into();
        let shown = event_id(&digest).replace('-', "");
        let hidden: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!shown.contains(&hidden));
    }
}
