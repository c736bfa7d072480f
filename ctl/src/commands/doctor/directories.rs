//! The private directories: a person's own, and entered by nobody else.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use companion_settings::Dirs;
use rustix::process::geteuid;

use super::check::Check;

/// What is at a path, without following a link.
#[derive(Debug, Clone, Copy)]
enum There {
    Nothing,
    Unreadable,
    Entry { directory: bool, owned: bool, mode: u32 },
}

/// The runtime, state and data directory, each with the one inside that the launcher makes.
pub(super) fn check(dirs: &Dirs) -> [Check; 3] {
    let look = |name, paths: [PathBuf; 2]| {
        let seen: Vec<_> = paths.iter().map(|path| (path.as_path(), there(path))).collect();
        judge(name, &seen)
    };
    let mut runtime = look("runtime_dir", [dirs.runtime.clone(), dirs.runtime_scratch()]);
    if dirs.runtime_is_fallback && runtime.mend.is_none() {
        runtime = Check::warn(
            "runtime_dir",
            "No XDG_RUNTIME_DIR is set: the sockets lie under the state directory.",
            "Log in by a session that sets it, or name a directory with `--runtime-dir`.",
        );
    }
    [
        runtime,
        look("state_dir", [dirs.state.clone(), dirs.broker_state()]),
        look("data_dir", [dirs.data.clone(), dirs.store()]),
    ]
}

fn there(path: &Path) -> There {
    match fs::symlink_metadata(path) {
        Ok(facts) => There::Entry {
            directory: facts.is_dir(),
            owned: facts.uid() == geteuid().as_raw(),
            mode: facts.mode() & 0o7777,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => There::Nothing,
        Err(_) => There::Unreadable,
    }
}

/// The first path that is not as the launcher wants it decides.
fn judge(name: &'static str, seen: &[(&Path, There)]) -> Check {
    let wrong = seen.iter().find_map(|(path, there)| fault(name, path, *there));
    wrong.unwrap_or_else(|| match seen.first() {
        Some((path, There::Entry { .. })) => {
            Check::ok(name, format!("{} is yours alone.", path.display()))
        }
        Some((path, There::Nothing | There::Unreadable)) => {
            Check::ok(name, format!("{} will be made at the first start.", path.display()))
        }
        None => Check::fail(name, "No directory is named.", "Name one on the command line."),
    })
}

fn fault(name: &'static str, path: &Path, there: There) -> Option<Check> {
    let (shown, quoted) = (path.display(), quoted(path));
    match there {
        There::Nothing | There::Entry { directory: true, owned: true, mode: 0o700 } => None,
        There::Unreadable => Some(Check::fail(
            name,
            format!("{shown} cannot be reached."),
            format!("Look on the way to it: `namei -l {quoted}`."),
        )),
        There::Entry { directory: false, .. } => Some(Check::fail(
            name,
            format!("{shown} is not a directory, and a link is not followed."),
            format!("Move it away: `mv {quoted} {quoted}.old`."),
        )),
        There::Entry { owned: false, .. } => Some(Check::fail(
            name,
            format!("{shown} belongs to somebody else."),
            format!("Make it yours: `sudo chown \"$USER\" {quoted}`."),
        )),
        There::Entry { mode, .. } => Some(Check::fail(
            name,
            format!("{shown} has mode {mode:04o}, and only 0700 keeps others out."),
            format!("Close it: `chmod 0700 {quoted}`."),
        )),
    }
}

/// A path as a POSIX shell reads it back.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::check::State;
    use super::*;

    fn entry(directory: bool, owned: bool, mode: u32) -> There {
        There::Entry { directory, owned, mode }
    }

    #[test]
    fn a_directory_is_private_or_its_mend_is_told() {
        let path = Path::new("/x/state");
        for (there, state, mend) in [
            (There::Nothing, State::Ok, ""),
            (entry(true, true, 0o700), State::Ok, ""),
            (There::Unreadable, State::Fail, "namei -l /x/state"),
            (entry(false, true, 0o700), State::Fail, "mv /x/state"),
            (entry(true, false, 0o700), State::Fail, "chown"),
            (entry(true, true, 0o750), State::Fail, "chmod 0700 /x/state"),
            (entry(true, true, 0o2700), State::Fail, "chmod 0700 /x/state"),
        ] {
            let check = judge("state_dir", &[(path, there)]);
            assert_eq!(check.state, state, "{check:?}");
            assert!(check.mend.unwrap_or_default().contains(mend));
        }
    }

    #[test]
    fn a_directory_inside_is_judged_too() {
        let seen = [
            (Path::new("/x"), entry(true, true, 0o700)),
            (Path::new("/x/broker"), entry(true, true, 0o755)),
        ];
        let check = judge("state_dir", &seen);
        assert!(check.state == State::Fail && check.meaning.starts_with("/x/broker "));
    }

    #[test]
    fn a_link_is_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        symlink(dir.path(), &link).unwrap();
        assert!(matches!(there(&link), There::Entry { directory: false, .. }));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o710)).unwrap();
        let open = there(dir.path());
        assert!(matches!(open, There::Entry { directory: true, owned: true, mode: 0o710 }));
    }

    #[test]
    fn a_command_survives_a_path_with_a_quote() {
        assert_eq!(quoted(Path::new("/a b/c'd")), r"'/a b/c'\''d'");
    }
}
