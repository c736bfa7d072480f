//! The configuration: readable, valid, and the files it names are there.

use std::fs::File;
use std::path::Path;

use companion_settings::Settings;

use super::check::{Check, State};
use crate::context::Context;
use crate::refusal::Refusal;

pub(super) fn check(context: Result<&Context, &Refusal>) -> Check {
    let settings = match context {
        Ok(context) => context.settings(),
        Err(refusal) => {
            let mut check = Check::refused("configuration", State::Fail, refusal);
            check.meaning.push_str(" Nothing that it names was checked.");
            return check;
        }
    };
    let named = [
        ("gateway.trust_root", settings.gateway.trust_root.as_path()),
        ("gateway.ca_file", &settings.gateway.ca_file),
        ("models.ca_file", &settings.models.ca_file),
    ];
    judge(settings, named.into_iter().find(|(_, path)| is_named_and_unreadable(path)))
}

fn is_named_and_unreadable(path: &Path) -> bool {
    !path.as_os_str().is_empty() && File::open(path).is_err()
}

fn judge(settings: &Settings, unreadable: Option<(&'static str, &Path)>) -> Check {
    let profile = &settings.profile;
    match unreadable {
        None if settings.gateway.catalog_url.is_empty() => {
            Check::refused("configuration", State::Warn, &Refusal::new("catalog_not_configured"))
        }
        None => Check::ok("configuration", format!("It is valid; the profile is `{profile}`.")),
        Some((key, path)) => Check::fail(
            "configuration",
            format!("The file that {key} names cannot be read: {}.", path.display()),
            "Put it there, or mend the key that is named.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_configuration_names_the_key() {
        let refusal = Refusal::new("configuration_refused").with_detail("gateway.isuer");
        let check = check(Err(&refusal));
        assert_eq!(check.state, State::Fail);
        assert!(check.meaning.contains("gateway.isuer"));
        assert_eq!(check.reason.as_deref(), Some("configuration_refused"));
    }

    #[test]
    fn a_file_that_is_named_and_not_there_fails() {
        let mut settings = Settings::default();
        let empty = judge(&settings, None);
        assert_eq!(empty.state, State::Warn);
        assert!(empty.mend.expect("a mend").contains("companion init"));
        settings.gateway.catalog_url = "https://gateway.example/catalog/".to_owned();
        assert_eq!(judge(&settings, None).state, State::Ok);
        let missing = Path::new("/nonexistent/root.json");
        assert!(is_named_and_unreadable(missing) && !is_named_and_unreadable(Path::new("")));
        let check = judge(&settings, Some(("gateway.trust_root", missing)));
        assert_eq!(check.state, State::Fail);
        assert!(check.meaning.contains("gateway.trust_root"));
    }
}
