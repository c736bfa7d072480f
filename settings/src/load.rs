//! Reading the file, laying the environment over it, refusing what does not hold together.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use toml::{Table, Value};

use crate::{Settings, check};

/// Longest configuration file, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Why a configuration is refused. `Display` names the key and the rule, never a value.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else could have written it.
    #[error("the configuration file {path} can be written by others: chmod go-w it and own it")]
    WritableByOthers {
        /// The file.
        path: PathBuf,
    },
    /// It is not TOML, or a value has the wrong type.
    #[error("the configuration is not what it should be{place}: {rule}")]
    Malformed {
        /// Where, as ` at line N`, or empty.
        place: String,
        /// What was expected.
        rule: String,
    },
    /// A key that does not exist.
    #[error("unknown configuration key `{key}`; the nearest known one is `{nearest}`")]
    UnknownKey {
        /// As written.
        key: String,
        /// What may have been meant.
        nearest: String,
    },
    /// A value outside its bounds.
    #[error("configuration key `{key}`: {rule}")]
    Refused {
        /// The key.
        key: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
}

/// Loads `path`, else `$XDG_CONFIG_HOME/companion/config.toml` where that exists, else the
/// defaults; then `COMPANION_<SECTION>_<KEY>` over it (lists are comma-separated).
///
/// # Errors
/// [`SettingsError`] names what is wrong; nothing is taken from a file that is wrong anywhere.
pub fn load(
    path: Option<&Path>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Settings, SettingsError> {
    let mut table = match (path, default_path(&env)) {
        (Some(path), _) => read(path)?,
        (None, Some(path)) => read(&path).or_else(absent_is_empty)?,
        (None, None) => Table::new(),
    };
    let known = Table::try_from(Settings::default()).map_err(|error| malformed(&error))?;
    refuse_unknown(&table, &known, "")?;
    overlay(&mut table, &known, &env)?;
    let settings: Settings =
        Value::Table(table).try_into().map_err(|error: toml::de::Error| malformed_value(&error))?;
    check::all(&settings)?;
    Ok(settings)
}

/// Only a file that is not there is no file: one that cannot be read is an error.
fn absent_is_empty(error: SettingsError) -> Result<Table, SettingsError> {
    match error {
        SettingsError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Ok(Table::new())
        }
        other => Err(other),
    }
}

/// `$XDG_CONFIG_HOME/companion/config.toml`; `None` without a home.
#[must_use]
pub fn default_path(env: &impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .map(|dir| dir.join("companion/config.toml"))
}

/// The file that was checked is the file that is read: one descriptor for both.
fn read(path: &Path) -> Result<Table, SettingsError> {
    let unreadable = |source| SettingsError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    if !facts.is_file() || facts.len() > MAX_FILE_BYTES {
        return Err(unreadable(io::ErrorKind::InvalidData.into()));
    }
    let owned = facts.uid() == geteuid().as_raw() || facts.uid() == 0;
    if !owned || facts.mode() & 0o022 != 0 {
        return Err(SettingsError::WritableByOthers { path: path.to_owned() });
    }
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    text.parse().map_err(|error: toml::de::Error| SettingsError::Malformed {
        place: place_of(&text, &error),
        rule: "it must be TOML".to_owned(),
    })
}

fn place_of(text: &str, error: &toml::de::Error) -> String {
    error.span().map_or_else(String::new, |span| {
        let before = text.get(..span.start).unwrap_or_default();
        format!(" at line {}", before.matches('\n').count() + 1)
    })
}

fn refuse_unknown(table: &Table, known: &Table, section: &str) -> Result<(), SettingsError> {
    for (key, value) in table {
        let full = format!("{section}{key}");
        match (known.get(key), value) {
            (Some(Value::Table(known)), Value::Table(table)) => {
                refuse_unknown(table, known, &format!("{full}."))?;
            }
            (Some(_), _) => {}
            (None, _) => {
                let nearest = known
                    .keys()
                    .min_by_key(|candidate| strsim::damerau_levenshtein(candidate, key))
                    .map_or_else(String::new, |candidate| format!("{section}{candidate}"));
                return Err(SettingsError::UnknownKey { key: full, nearest });
            }
        }
    }
    Ok(())
}

fn overlay(
    table: &mut Table,
    known: &Table,
    env: &impl Fn(&str) -> Option<String>,
) -> Result<(), SettingsError> {
    for (name, value) in known {
        let Value::Table(section) = value else {
            if let Some(text) = env(&format!("COMPANION_{}", name.to_uppercase())) {
                table.insert(name.clone(), parse_like(value, &text)?);
            }
            continue;
        };
        for (key, value) in section {
            let variable = format!("COMPANION_{}_{}", name.to_uppercase(), key.to_uppercase());
            let Some(text) = env(&variable) else { continue };
            let parsed = parse_like(value, &text)?;
            let entry = table.entry(name.clone()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = entry {
                section.insert(key.clone(), parsed);
            }
        }
    }
    Ok(())
}

/// Reads an environment variable as the kind of value its key has.
fn parse_like(like: &Value, text: &str) -> Result<Value, SettingsError> {
    let wrong = |rule: &str| SettingsError::Malformed {
        place: " in the environment".to_owned(),
        rule: rule.to_owned(),
    };
    Ok(match like {
        Value::Integer(_) => {
            Value::Integer(text.parse().map_err(|_| wrong("a whole number is expected"))?)
        }
        Value::Float(_) => Value::Float(text.parse().map_err(|_| wrong("a number is expected"))?),
        Value::Boolean(_) => {
            Value::Boolean(text.parse().map_err(|_| wrong("true or false is expected"))?)
        }
        Value::Array(_) => Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::String(item.to_owned()))
                .collect(),
        ),
        Value::String(_) | Value::Datetime(_) | Value::Table(_) => Value::String(text.to_owned()),
    })
}

fn malformed(_: &toml::ser::Error) -> SettingsError {
    SettingsError::Malformed { place: String::new(), rule: "defaults".to_owned() }
}

/// The deserializer's message can repeat a value; only the key it names is kept.
fn malformed_value(error: &toml::de::Error) -> SettingsError {
    let text = error.to_string();
    let key = text.rsplit("in `").next().and_then(|rest| rest.split('`').next());
    let rule = match key {
        Some(key) if text.contains("in `") => format!("`{key}` has a value of the wrong kind"),
        _ => "a value is of the wrong kind".to_owned(),
    };
    SettingsError::Malformed { place: String::new(), rule }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn load_text(text: &str) -> Result<Settings, SettingsError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        load(Some(&path), nothing)
    }

    #[test]
    fn an_absent_default_file_gives_the_defaults_and_an_absent_named_one_an_error() {
        assert_eq!(load(None, nothing).unwrap(), Settings::default());
        let missing = load(Some(Path::new("/nonexistent/config.toml")), nothing);
        assert!(matches!(missing, Err(SettingsError::Unreadable { .. })));
    }

    #[test]
    fn the_file_replaces_defaults_and_the_environment_replaces_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "[frontdoor]\nmax_in_flight = 3\nqueue_bound = 4\n").unwrap();
        let env = |name: &str| match name {
            "COMPANION_FRONTDOOR_QUEUE_BOUND" => Some("9".to_owned()),
            "COMPANION_MODELS_HOSTS" => Some("a.example:443, b.example:8443".to_owned()),
            _ => None,
        };
        let settings = load(Some(&path), env).unwrap();
        assert_eq!(settings.frontdoor.max_in_flight, 3);
        assert_eq!(settings.frontdoor.queue_bound, 9);
        assert_eq!(settings.models.hosts, ["a.example:443", "b.example:8443"]);
    }

    #[test]
    fn the_default_file_is_found_and_held_to_the_same_rules() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap().to_owned();
        let env = |name: &str| (name == "XDG_CONFIG_HOME").then(|| home.clone());
        assert_eq!(load(None, env).unwrap(), Settings::default());
        std::fs::create_dir(dir.path().join("companion")).unwrap();
        let path = dir.path().join("companion/config.toml");
        std::fs::write(&path, "profile = \"work\"\n").unwrap();
        assert_eq!(load(None, env).unwrap().profile, "work");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(load(None, env), Err(SettingsError::WritableByOthers { .. })));
    }

    #[test]
    fn every_key_of_every_section_can_be_given_by_the_environment() {
        let file = [
            ("COMPANION_PROFILE", "env"),
            ("COMPANION_KEYCHAIN_BACKEND", "kernel"),
            ("COMPANION_GATEWAY_REQUIRE_ISS", "false"),
            ("COMPANION_RUNTIME_MAX_CPU_PERCENT", "50"),
            ("COMPANION_FRONTDOOR_BIND", "::1"),
            ("COMPANION_GATEWAY_CA_FILE", "/ca.pem"),
        ];
        let env = |name: &str| {
            file.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let settings = load(None, env).unwrap();
        assert_eq!(settings.profile, "env");
        assert_eq!(settings.keychain.backend, crate::KeychainBackend::Kernel);
        assert!(!settings.gateway.require_iss);
        assert_eq!(settings.runtime.max_cpu_percent, 50.0);
        assert_eq!(settings.frontdoor.bind.to_string(), "::1");
        assert_eq!(settings.gateway.ca_file, Path::new("/ca.pem"));
        for (name, value) in [
            ("COMPANION_FRONTDOOR_QUEUE_BOUND", "many"),
            ("COMPANION_GATEWAY_REQUIRE_ISS", "yes"),
            ("COMPANION_FRONTDOOR_BIND", "0.0.0.0"),
        ] {
            let env = |asked: &str| (asked == name).then(|| value.to_owned());
            assert!(load(None, env).is_err(), "{name}");
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_known_one() {
        let refused = load_text("[frontdoor]\nmax_inflight = 3\n").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "unknown configuration key `frontdoor.max_inflight`; \
             the nearest known one is `frontdoor.max_in_flight`"
        );
        assert!(matches!(load_text("[gatewai]\n"), Err(SettingsError::UnknownKey { .. })));
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        for mode in [0o620, 0o602, 0o666] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("config.toml");
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = load(Some(&path), nothing);
            assert!(matches!(refused, Err(SettingsError::WritableByOthers { .. })), "{mode:o}");
        }
    }

    #[test]
    fn an_error_never_repeats_a_value() {
        for text in [
            "[frontdoor]\nmax_in_flight = \"canary-4711\"\n",
            "[gateway]\nclient_id = canary-4711\n",
            "[keychain]\nbackend = \"canary-4711\"\n",
            "[frontdoor]\nbind = \"canary-4711\"\n",
        ] {
            let refused = load_text(text).unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains("canary"), "{refused:?}");
        }
    }
}
