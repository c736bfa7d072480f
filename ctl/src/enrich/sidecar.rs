//! The result beside the note: `<name>.companion.json`, for its owner alone, whole or not at all.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

use super::limits;
use super::provenance::Provenance;
use crate::refusal::Refusal;

/// Writes the sidecar of a note: a temporary file of mode 0600 in the same directory, flushed
/// to the disk, renamed over an earlier one. The name comes from the note's own name only.
///
/// # Errors
/// `sidecar_not_written`; what was there stays as it was.
pub(crate) fn write_beside(note: &Path, content: &impl Serialize) -> Result<PathBuf, Refusal> {
    let mut text = serde_json::to_vec_pretty(content).map_err(|_| Refusal::new("internal"))?;
    text.push(b'\n');
    let path = sidecar_of(note);
    write(&path, &text).map_err(|error| {
        Refusal::new("sidecar_not_written").with_detail(&error.kind().to_string())
    })?;
    Ok(path)
}

/// Whether the sidecar of a note is there, whole, and of this provenance but for its date. What
/// is a link, too large or no JSON counts as absent: it is made anew.
pub(crate) fn sidecar_holds(note: &Path, provenance: &Provenance) -> bool {
    let earlier = read(&sidecar_of(note)).and_then(|text| serde_json::from_slice(&text).ok());
    earlier.is_some_and(|earlier| provenance.matches(&earlier))
}

fn read(path: &Path) -> Option<Vec<u8>> {
    // Asked of the entry itself: a link is not followed, and a FIFO would wait for a writer.
    if !std::fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    let file = File::open(path).ok()?;
    file.take(limits::SIDECAR_BYTES + 1).read_to_end(&mut text).ok()?;
    (text.len() as u64 <= limits::SIDECAR_BYTES).then_some(text)
}

fn sidecar_of(note: &Path) -> PathBuf {
    let mut name = OsString::from(note);
    name.push(".companion.json");
    PathBuf::from(name)
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut file = NamedTempFile::new_in(dir)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_sidecar_is_private_replaces_an_earlier_one_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().expect("directory");
        let note = dir.path().join("a.md");
        std::fs::write(&note, "text").expect("note");
        for turn in 0..2 {
            let path = write_beside(&note, &serde_json::json!({ "turn": turn })).expect("written");
            assert_eq!(path, dir.path().join("a.md.companion.json"));
            let mode = std::fs::metadata(&path).expect("file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert!(std::fs::read_to_string(&path).expect("text").contains(&turn.to_string()));
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("listing").count(), 2);
    }

    #[test]
    fn a_link_in_its_place_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().expect("directory");
        let (note, victim) = (dir.path().join("a.md"), dir.path().join("victim"));
        std::fs::write(&victim, "keep").expect("victim");
        symlink(&victim, dir.path().join("a.md.companion.json")).expect("link");
        write_beside(&note, &serde_json::json!({})).expect("written");
        assert_eq!(std::fs::read_to_string(&victim).expect("text"), "keep");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_a_reason_and_not_a_panic() {
        let refused = write_beside(Path::new("/proc/1/no/a.md"), &serde_json::json!({}));
        assert_eq!(refused.expect_err("refused").reason(), "sidecar_not_written");
    }

    #[test]
    fn a_sidecar_counts_only_when_it_is_whole_and_of_the_same_content_model_and_program() {
        let dir = tempfile::tempdir().expect("directory");
        let note = dir.path().join("a.md");
        let of = |model: &str, digest: u8| {
            Provenance::new(model, &[digest; 32], std::time::SystemTime::UNIX_EPOCH).expect("value")
        };
        assert!(!sidecar_holds(&note, &of("m", 1)));
        let path = write_beside(&note, &of("m", 1)).expect("written");
        assert!(sidecar_holds(&note, &of("m", 1)));
        assert!(!sidecar_holds(&note, &of("other", 1)) && !sidecar_holds(&note, &of("m", 2)));
        let text = std::fs::read(&path).expect("text");
        std::fs::write(&path, &text[..text.len() / 2]).expect("cut");
        assert!(!sidecar_holds(&note, &of("m", 1)));
        let old = String::from_utf8(text.clone()).expect("text");
        let old = old.replace(env!("CARGO_PKG_VERSION"), "0.0.1");
        std::fs::write(&path, old).expect("of an earlier program");
        assert!(!sidecar_holds(&note, &of("m", 1)));
        std::fs::write(dir.path().join("elsewhere"), text).expect("file");
        std::fs::remove_file(&path).expect("removed");
        symlink(dir.path().join("elsewhere"), &path).expect("link");
        assert!(!sidecar_holds(&note, &of("m", 1)));
    }
}
