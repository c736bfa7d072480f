//! Which files are notes.

use std::fs;
use std::path::{Path, PathBuf};

use super::limits;
use crate::refusal::Refusal;

/// What was found beneath the paths that a person named.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Notes, in the order of the paths, and by name within a directory.
    pub(crate) notes: Vec<PathBuf>,
    /// Directories that could not be listed.
    pub(crate) unreadable: Vec<PathBuf>,
}

/// Finds Markdown files. A named file is taken whatever its name; in a directory hidden entries
/// and symbolic links are passed over, so that nothing outside it is read.
///
/// # Errors
/// `note_unreadable` when a named path is not there, `no_notes_found` when there is no note.
pub(crate) fn find_notes(paths: &[PathBuf]) -> Result<Found, Refusal> {
    let mut found = Found::default();
    for path in paths {
        let kind = fs::metadata(path).map_err(|error| {
            Refusal::new("note_unreadable").with_detail(&format!("{}: {error}", path.display()))
        })?;
        if kind.is_dir() {
            walk(path, 0, &mut found);
        } else {
            found.notes.push(path.clone());
        }
    }
    if found.notes.is_empty() && found.unreadable.is_empty() {
        return Err(Refusal::new("no_notes_found"));
    }
    Ok(found)
}

fn walk(dir: &Path, depth: usize, found: &mut Found) {
    let listing = fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let Ok(mut entries) = listing else {
        found.unreadable.push(dir.to_path_buf());
        return;
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        // The type of the entry itself: a symbolic link is neither file nor directory.
        let Ok(kind) = entry.file_type() else { continue };
        if is_hidden {
            continue;
        }
        if kind.is_file() && is_markdown(&path) {
            found.notes.push(path);
        } else if kind.is_dir() {
            if depth < limits::DEPTH {
                walk(&path, depth + 1, found);
            } else {
                found.unreadable.push(path);
            }
        }
    }
}

fn is_markdown(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ext| ext.eq_ignore_ascii_case("md") || ext.eq_ignore_ascii_case("markdown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_found_in_order_and_nothing_outside_or_hidden_is_taken() {
        let dir = tempfile::tempdir().expect("directory");
        let outside = tempfile::tempdir().expect("directory");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("b/deep")).expect("directory");
        fs::create_dir_all(at(".git")).expect("directory");
        for name in ["z.md", "a.MD", "b/deep/n.markdown", ".git/x.md", ".h.md", "a.txt"] {
            fs::write(at(name), "text").expect("file");
        }
        fs::write(at("z.md.companion.json"), "{}").expect("sidecar");
        fs::write(outside.path().join("secret.md"), "text").expect("file");
        std::os::unix::fs::symlink(outside.path().join("secret.md"), at("link.md")).expect("link");
        std::os::unix::fs::symlink(outside.path(), at("linkdir")).expect("link");
        std::os::unix::fs::symlink(dir.path(), at("b/loop")).expect("link");

        let found = find_notes(&[dir.path().to_path_buf()]).expect("notes");
        assert_eq!(found.notes, [at("a.MD"), at("b/deep/n.markdown"), at("z.md")]);
        assert!(found.unreadable.is_empty());
        let named = find_notes(&[at("a.txt"), at("link.md")]).expect("named files are taken");
        assert_eq!(named.notes, [at("a.txt"), at("link.md")]);
    }

    #[test]
    fn an_absent_path_and_an_empty_directory_are_told_apart() {
        let dir = tempfile::tempdir().expect("directory");
        let reason = |path: PathBuf| find_notes(&[path]).expect_err("refused").reason().to_owned();
        assert_eq!(reason(dir.path().join("no.md")), "note_unreadable");
        assert_eq!(reason(dir.path().to_path_buf()), "no_notes_found");
    }
}
