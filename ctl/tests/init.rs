//! `companionctl init` on a real terminal and without one: what is asked, what is written, and
//! what is left alone.

#[expect(dead_code, reason = "the other tests of this program use the rest of it")]
mod pty;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pty::Pty;
use serde_json::Value;
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery";
const ROOT: &str = r#"{"signed":{"_type":"root"},"signatures":[]}"#;

/// An empty home.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("directory"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.at(".config/companion/config.toml")
    }

    /// A file that is there, as text.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.at(name), bytes).expect("written");
        self.at(name).to_str().expect("text").to_owned()
    }

    fn on_a_terminal(&self, arguments: &[&str]) -> Pty {
        let home = self.0.path().to_str().expect("text");
        let arguments = [&["init"], arguments].concat();
        Pty::start(env!("CARGO_BIN_EXE_companionctl"), &arguments, &[("HOME", home)])
    }

    /// Without any terminal, not even a controlling one.
    fn without_one(&self, arguments: &[&str]) -> Output {
        Command::new("setsid")
            .args(["--wait", env!("CARGO_BIN_EXE_companionctl"), "init"])
            .args(arguments)
            .env_clear()
            .envs([("HOME", self.0.path()), ("PATH", Path::new("/usr/bin:/bin"))])
            .stdin(Stdio::null())
            .output()
            .expect("setsid of util-linux")
    }

    fn is_untouched(&self) -> bool {
        !self.at(".config").exists() && !self.at(".local").exists()
    }
}

/// A model file without weights that names its licence (ggml, docs/gguf.md).
fn gguf() -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let pair =
        |key: &str, value: &str| [text(key), 8_u32.to_le_bytes().to_vec(), text(value)].concat();
    let pairs = [pair("general.architecture", "llama"), pair("general.license", "apache-2.0")];
    let count = pairs.len() as u64;
    [&b"GGUF\x03\0\0\0"[..], &[0; 8], &count.to_le_bytes(), &pairs.concat()].concat()
}

#[test]
fn a_person_with_a_model_is_asked_for_what_is_needed_and_told_what_to_type_next() {
    let home = Home::new();
    home.file("My model.gguf", &gguf());
    let mut pty = home.on_a_terminal(&[]);
    pty.sees("1 or 2: ");
    pty.types("3\r");
    pty.sees("Please type 1 or 2.");
    pty.sees("1 or 2: ");
    pty.types("2\r");
    pty.sees("Model");
    pty.types("~/nothing.gguf\r");
    pty.sees("There is no such file.");
    // As a terminal completes it.
    pty.types("~/My\\ model.gguf\r");
    pty.sees("llama");
    pty.sees("[apache-2.0]: ");
    pty.types("\r");
    pty.sees("llama-server");
    pty.types("/bin/true\r");
    for typed in ["short", PASSPHRASE] {
        pty.sees("Passphrase for the catalog's keys: ");
        pty.types(&format!("{typed}\r"));
    }
    pty.sees("The same again: ");
    pty.types("another one\r");
    pty.sees("differ");
    for question in ["Passphrase for the catalog's keys: ", "The same again: "] {
        pty.sees(question);
        pty.types(&format!("{PASSPHRASE}\r"));
    }
    let (status, shown) = pty.ends();
    assert!(status.success(), "{shown}");
    for said in ["checks are fine", "companion up", "companionctl start my-model --pull"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    assert!(!shown.contains(PASSPHRASE), "{shown}");

    let written = fs::read_to_string(home.config()).expect("it is written");
    let catalog = home.at(".local/share/companion-catalog");
    assert!(
        written.contains(&format!("catalog_url = \"file://{}/\"", catalog.display())),
        "{written}"
    );
    assert!(written.contains("issuer = \"\""), "{written}");
    let mode = fs::metadata(home.config()).expect("facts").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let listed = fs::read_to_string(catalog.join("metadata/1.targets.json")).expect("published");
    assert!(listed.contains("apache-2.0"), "{listed}");
}

#[test]
fn a_person_with_an_account_is_asked_for_the_gateway_and_its_root_is_pinned() {
    let home = Home::new();
    home.file("root.json", ROOT.as_bytes());
    home.file("targets.json", br#"{"signed":{"_type":"targets"}}"#);
    let mut pty = home.on_a_terminal(&[]);
    pty.sees("1 or 2: ");
    pty.types("1\r");
    pty.sees("Issuer");
    pty.types("http://gateway.invalid/auth\r");
    pty.sees("https://");
    pty.types("https://gateway.invalid/auth\r");
    pty.sees("[https://gateway.invalid/companion/catalog/]: ");
    pty.types("\r");
    pty.sees("root");
    pty.types("~/targets.json\r");
    pty.sees("no root");
    pty.types("~/root.json\r");
    pty.sees("Hosts");
    pty.types("models.invalid, more.invalid:8443\r");
    pty.sees("CA of their own");
    pty.types("\r");
    let (status, shown) = pty.ends();
    assert!(status.success(), "{shown}");
    for said in ["gateway.invalid", "companion up", "companionctl sign-in"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let written = fs::read_to_string(home.config()).expect("it is written");
    for line in [
        "issuer = \"https://gateway.invalid/auth\"",
        "catalog_url = \"https://gateway.invalid/companion/catalog/\"",
        "hosts = [\"models.invalid:443\", \"more.invalid:8443\"]",
    ] {
        assert!(written.contains(line), "{line}: {written}");
    }
    // The one that was named may go away.
    let pinned = home.config().with_file_name("root.json");
    assert!(written.contains(&format!("trust_root = \"{}\"", pinned.display())), "{written}");
    assert_eq!(fs::read_to_string(pinned).expect("pinned"), ROOT);
}

#[test]
fn a_person_with_a_gateway_on_this_computer_is_asked_for_its_ca_and_whether_that_is_meant() {
    let home = Home::new();
    home.file("root.json", ROOT.as_bytes());
    let key = rcgen::generate_simple_self_signed(["gateway.localhost".to_owned()]).expect("made");
    home.file("ca.pem", key.cert.pem().as_bytes());
    let mut pty = home.on_a_terminal(&["--gateway", "https://gateway.localhost:1/auth"]);
    pty.sees("Its signed catalog");
    pty.types("\r");
    pty.sees("root");
    // Tab completes what is beneath the home directory, and shows it there.
    pty.types("~/roo\t");
    pty.sees("~/root.json");
    pty.types("\r");
    pty.sees("Hosts");
    pty.types("models.localhost:1\r");
    pty.sees("CA of their own");
    pty.types("~/root.json\r");
    pty.sees("no certificate");
    pty.types("~/ca.pem\r");
    pty.sees("on this computer or in a private network");
    pty.types("yes\r");
    let (status, shown) = pty.ends();
    assert!(status.success(), "{shown}");
    assert!(shown.contains("(connection_refused)"), "{shown}");
    let written = fs::read_to_string(home.config()).expect("it is written");
    let ca = fs::canonicalize(home.at("ca.pem")).expect("there");
    assert_eq!(written.matches(&format!("ca_file = \"{}\"", ca.display())).count(), 2);
    assert_eq!(written.matches("private_hosts = true").count(), 2, "{written}");
}

#[test]
fn ctrl_c_at_any_question_changes_nothing_and_gives_the_terminal_back() {
    let home = Home::new();
    let model = home.file("m.gguf", &gguf());
    let mut pty = home.on_a_terminal(&[]);
    pty.sees("1 or 2: ");
    pty.types("\u{3}");
    let (status, shown) = pty.ends();
    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(shown.contains("(set_up_given_up)") && home.is_untouched(), "{shown}");

    let flags = ["--own-models", &model, "--runtime", "/bin/true"];
    let mut pty = home.on_a_terminal(&flags);
    pty.sees("Passphrase");
    assert!(!pty.echoes());
    pty.types("\u{3}");
    pty.sees("(set_up_given_up)");
    assert!(pty.echoes(), "what is typed stays hidden");
    assert!(!home.config().exists());
    let left: Vec<_> = fs::read_dir(home.at(".local/share")).into_iter().flatten().collect();
    assert!(!left.iter().flatten().any(|it| it.file_name() == "companion-catalog"), "{left:?}");
}

#[test]
fn a_configuration_that_is_there_stays_until_a_person_agrees() {
    let home = Home::new();
    let root = home.file("root.json", ROOT.as_bytes());
    fs::create_dir_all(home.config().parent().expect("directory")).expect("made");
    fs::write(home.config(), "# mine\n").expect("written");
    let flags = [
        "--gateway",
        "https://g.invalid/",
        "--catalog-url",
        "https://g.invalid/c/",
        "--trust-root",
        &root,
        "--model-hosts",
        "m.invalid",
    ];
    let mut pty = home.on_a_terminal(&flags);
    pty.sees("[no]: ");
    pty.types("\r");
    let (status, shown) = pty.ends();
    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(shown.contains("(configuration_exists)"), "{shown}");

    let refused = home.without_one(&flags);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--replace"), "{refused:?}");
    assert_eq!(fs::read_to_string(home.config()).expect("kept"), "# mine\n");

    let replaced = home.without_one(&[&flags[..], &["--replace"]].concat());
    assert!(replaced.status.success(), "{replaced:?}");
    assert!(fs::read_to_string(home.config()).expect("new").contains("https://g.invalid/"));
    let old = home.config().with_file_name("config.toml.old");
    assert_eq!(fs::read_to_string(old).expect("kept"), "# mine\n");
}

#[test]
fn without_a_terminal_the_missing_flags_are_named() {
    let home = Home::new();
    let model = home.file("m.gguf", &gguf());
    for (arguments, named) in [
        (&[][..], &["--own-models", "--gateway", "--trust-root"][..]),
        (&["--own-models", &model], &["--passphrase-file"]),
        (&["--gateway", "https://g.invalid/"], &["--catalog-url", "--trust-root", "--model-hosts"]),
        (&["--gateway", "http://g.invalid/"], &["https"]),
        (&["--gateway", "https://g.invalid/", "--own-models", &model], &["cannot be used with"]),
    ] {
        let ran = home.without_one(arguments);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(named.iter().all(|it| said.contains(it)), "{arguments:?}: {said}");
    }
    assert!(home.is_untouched());
}

#[test]
fn flags_alone_set_up_ones_own_models_and_json_says_what_was_made() {
    let home = Home::new();
    let model = home.file("m.gguf", &gguf());
    let passphrase = home.file("pass", format!("{PASSPHRASE}\n").as_bytes());
    let flags =
        ["--own-models", &model, "--runtime", "/bin/true", "--passphrase-file", &passphrase];
    let ran = home.without_one(&[&["--json"], &flags[..]].concat());
    assert!(ran.status.success(), "{ran:?}");
    let said: Value = serde_json::from_slice(&ran.stdout).expect("one object");
    assert_eq!(said["configuration"], home.config().to_str().expect("text"));
    assert_eq!(said["added"], serde_json::json!(["m", "true"]));
    assert_eq!(said["next"][0], "companion up");
    assert!(said["checks"].as_array().is_some_and(|checks| !checks.is_empty()), "{said}");

    // The catalog is there: it is not made anew, and the signer's own words are told.
    fs::remove_file(home.config()).expect("removed");
    let again = home.without_one(&flags);
    assert!(String::from_utf8_lossy(&again.stderr).ends_with("(catalog_exists)\n"), "{again:?}");
    fs::write(home.at("m.gguf"), b"GGUF\x03\0\0\0").expect("cut");
    let elsewhere = home.at("elsewhere");
    let place = ["--catalog-dir", elsewhere.to_str().expect("text")];
    let cut = home.without_one(&[&flags[..], &place].concat());
    let said = String::from_utf8_lossy(&cut.stderr).into_owned();
    assert!(said.contains("ends early") && said.ends_with("(malformed_model)\n"), "{said}");
    assert!(!elsewhere.exists() && !home.config().exists());
}
