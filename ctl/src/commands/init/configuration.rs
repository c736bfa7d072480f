//! The configuration that `init` writes: whole or not at all, its owner's alone, and never in the
//! place of another one unless that was said.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::refusal::Refusal;

/// Where the one that is replaced goes on lying.
pub(super) fn kept(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".old");
    path.with_file_name(name)
}

/// Writes a file of mode 0600; one that is there is kept as `NAME.old` if it may be replaced.
///
/// # Errors
/// `configuration_exists`, or `configuration_not_written` with what the system says.
pub(super) fn write(path: &Path, bytes: &[u8], may_replace: bool) -> Result<(), Refusal> {
    let failed = |error: std::io::Error| {
        let detail = format!("{}: {error}", path.display());
        Refusal::new("configuration_not_written").with_detail(&detail)
    };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    if may_replace && path.exists() {
        fs::rename(path, kept(path)).map_err(failed)?;
    }
    match file.persist_noclobber(path) {
        Ok(_written) => Ok(()),
        Err(refused) if refused.error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(exists(path))
        }
        Err(refused) => Err(failed(refused.error)),
    }
}

/// That there is one already.
pub(super) fn exists(path: &Path) -> Refusal {
    Refusal::new("configuration_exists").with_detail(&path.display().to_string())
}

/// As TOML has it: a JSON string is one of its basic strings too.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_configuration_is_its_owners_and_replaced_only_when_told() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("a/config.toml");
        write(&path, b"first", false).expect("written");
        let mode = fs::metadata(&path).expect("facts").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let refused = write(&path, b"second", false).expect_err("one is there");
        assert_eq!(refused.reason(), "configuration_exists");
        assert_eq!(fs::read(&path).expect("kept"), b"first");
        write(&path, b"second", true).expect("replaced");
        assert_eq!(fs::read(&path).expect("new"), b"second");
        assert_eq!(fs::read(kept(&path)).expect("old"), b"first");
        assert_eq!(fs::read_dir(dir.path().join("a")).expect("entries").count(), 2);
    }
}
