//! From an empty home to a private answer with one's own model, by the commands of the README.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devstack::assets::Assets;
use devstack::certs::DevelopmentCa;
use devstack::model_host::{BoundModelHost, Fault};
use devstack::programs;
use devstack::session_bus::SessionBus;
use promises::packed;
use serde_json::Value;
use tokio::net::UnixDatagram;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

/// An empty home, a session bus, and nothing else.
struct Person {
    dir: tempfile::TempDir,
    bus: SessionBus,
}

impl Person {
    async fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("own").tempdir()?;
        for name in ["bus", "home", "run"] {
            fs::DirBuilder::new().mode(0o700).create(dir.path().join(name))?;
        }
        let bus = SessionBus::start(&dir.path().join("bus")).await?;
        Ok(Self { dir, bus })
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn types(&self, program: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(programs::find(program)?);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home())
            .env("XDG_RUNTIME_DIR", self.dir.path().join("run"))
            .env("DBUS_SESSION_BUS_ADDRESS", self.bus.address())
            .current_dir(self.home())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    async fn said(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self.types(program, arguments)?.output().await?;
        ensure!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    async fn refused(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self.types(program, arguments)?.output().await?;
        ensure!(!output.status.success(), "{arguments:?}: {output:?}");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// What lies in the catalog `c`.
fn targets_of(home: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(home.join("c/targets"))?.map(|entry| Ok(entry?.path())).collect()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("not UTF-8")
}

/// The four commands: init, up, start --pull, chat. Nobody signs in, and everything else works.
#[tokio::test(flavor = "multi_thread")]
async fn ones_own_model_answers_after_four_commands_from_an_empty_home() -> Result<()> {
    let person = Person::new().await?;
    let assets = Assets::find()?;
    let model = person.home().join("my-model.gguf");
    fs::copy(&assets.model, &model)?;
    fs::write(person.home().join("pass"), "correct horse battery\n")?;
    // Packed, as llama.cpp publishes it; the documents' own test takes the program itself.
    let runtime = packed(&assets.llama_server, person.dir.path())?;

    let said = person
        .said(
            "companion",
            &[
                "init",
                "--own-models",
                "my-model.gguf",
                "--license",
                "Apache-2.0",
                "--runtime",
                text(&runtime)?,
                "--passphrase-file",
                "pass",
            ],
        )
        .await?;
    assert!(said.contains("my-model") && said.contains("companion up"), "{said}");
    let again = person
        .refused("companion", &["init", "--own-models", "my-model.gguf", "--runtime", "/bin/true"])
        .await?;
    assert!(!again.is_empty());

    let notify = UnixDatagram::bind(person.dir.path().join("notify"))?;
    let mut launcher = person
        .types("companion", &["up"])?
        .env("NOTIFY_SOCKET", person.dir.path().join("notify"))
        .spawn()?;
    let mut message = [0; 4096];
    let ready = async {
        loop {
            let length = notify.recv(&mut message).await?;
            if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return Ok::<_, anyhow::Error>(());
            }
        }
    };
    tokio::select! {
        ready = tokio::time::timeout(LIMIT, ready) => ready??,
        ended = launcher.wait() => anyhow::bail!("the companion ended: {ended:?}"),
    }

    let listed = person.said("companionctl", &["models", "--json"]).await?;
    let listed: Value = serde_json::from_str(&listed)?;
    let mine = listed["models"].as_array().into_iter().flatten().find(|it| it["id"] == "my-model");
    let mine = mine.with_context(|| listed.to_string())?;
    // What the file says of itself, read by the confined parser.
    assert_eq!(mine["architecture"], "llama", "{mine}");
    assert_eq!(mine["quantization"], "Q4_1", "{mine}");
    assert!(mine["context_length"].as_u64().is_some_and(|tokens| tokens > 1000), "{mine}");

    person.said("companionctl", &["start", "my-model", "--pull"]).await?;
    let answer = person.said("companionctl", &["chat", "--max-tokens", "16", "Say hello."]).await?;
    assert!(!answer.trim().is_empty());

    let status: Value =
        serde_json::from_str(&person.said("companionctl", &["status", "--json"]).await?)?;
    assert_eq!(status["available"], true, "{status}");
    assert_eq!(status["session"], "signed_out");
    let doctor = person.said("companionctl", &["doctor", "--json"]).await?;
    assert!(doctor.contains(r#""healthy":true"#), "{doctor}");
    let refused = person.refused("companionctl", &["sign-in", "--no-browser"]).await?;
    assert!(!refused.is_empty());

    let pid = launcher.id().context("it has ended")?;
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.context("no pid")?, rustix::process::Signal::TERM)?;
    let ended = tokio::time::timeout(LIMIT, launcher.wait()).await??;
    assert!(ended.success(), "{ended}");
    Ok(())
}

/// A catalog is its signer's alone, and a file that changed is found out.
#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_is_added_to_rotated_and_verified_by_its_signer_alone() -> Result<()> {
    let person = Person::new().await?;
    let assets = Assets::find()?;
    let home = person.home();
    fs::copy(&assets.model, home.join("m.gguf"))?;
    fs::write(home.join("pass"), "correct horse battery\n")?;
    fs::write(home.join("wrong"), "incorrect horse battery\n")?;
    fs::write(home.join("short"), "short\n")?;
    fs::write(home.join("note.md"), "no model")?;
    fs::write(home.join("cut.gguf"), b"GGUF\x03\0\0\0")?;
    let archive = fs::read(packed(Path::new("/bin/true"), &home)?)?;
    fs::write(home.join("cut.tgz"), &archive[..1000])?;
    let catalog = |arguments: &'static str| {
        std::iter::once("catalog").chain(arguments.split(' ')).collect::<Vec<_>>()
    };

    let short = person.refused("companionctl", &catalog("init c --passphrase-file short")).await?;
    assert!(short.contains("8 characters"), "{short}");
    person.said("companionctl", &catalog("init c --passphrase-file pass")).await?;
    for (arguments, said) in [
        ("add note.md --dir c --license MIT", "neither"),
        ("add cut.gguf --dir c --license MIT", "ends early"),
        ("add cut.tgz --dir c --license MIT", "no usable archive"),
        ("add llama-b1.tar.gz --dir c", "--license"),
        ("add m.gguf --dir c --license MIT --id ../x", "no id"),
        ("publish --dir c --passphrase-file wrong", "passphrase is wrong"),
        ("verify --dir c", "does not verify"),
    ] {
        let refused = person.refused("companionctl", &catalog(arguments)).await?;
        assert!(refused.contains(said), "{arguments}: {refused}");
    }
    person.said("companionctl", &catalog("add m.gguf --dir c --license MIT")).await?;
    person.said("companionctl", &catalog("publish --dir c --passphrase-file pass")).await?;
    person.said("companionctl", &catalog("verify --dir c")).await?;

    let shown = person.said("companionctl", &catalog("show llama-b1.tar.gz")).await?;
    assert!(shown.contains("llama-b1/llama-server"), "{shown}");
    person.said("companionctl", &catalog("add llama-b1.tar.gz --dir c --license MIT")).await?;
    let entries: Value = serde_json::from_slice(&fs::read(home.join("c/entries.json"))?)?;
    let listed = &entries["llama-b1"]["custom"];
    assert_eq!((&listed["kind"], &listed["format"]), (&"runtime".into(), &"tar.gz".into()));
    assert_eq!(listed["arch"], std::env::consts::ARCH, "{listed}");

    // No key lies there unsealed, and nobody else may read what is sealed.
    for entry in fs::read_dir(home.join("c/keys"))? {
        let path = entry?.path();
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path)?.permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert!(fs::read_to_string(&path)?.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    }

    person.said("companionctl", &catalog("rotate --dir c --passphrase-file pass")).await?;
    let unsigned = person.refused("companionctl", &catalog("verify --dir c")).await?;
    assert!(unsigned.contains("does not verify"), "the old key still signs: {unsigned}");
    person.said("companionctl", &catalog("publish --dir c --passphrase-file pass")).await?;
    person.said("companionctl", &catalog("verify --dir c")).await?;

    let targets = targets_of(&home)?;
    let target = targets.iter().find(|it| it.extension() == Some("m".as_ref()));
    let target = target.context("no target")?;
    let mut bytes = fs::read(target)?;
    bytes[1_000_000] ^= 1;
    fs::write(target, bytes)?;
    let changed = person.refused("companionctl", &catalog("verify --dir c")).await?;
    assert!(changed.contains("not the one that was signed"), "{changed}");
    Ok(())
}

/// A model from the web is downloaded over verified TLS and then listed like a file; what is not
/// a model, or does not come whole or from a server that is trusted, leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_added_by_its_address_over_verified_tls_or_not_at_all() -> Result<()> {
    let person = Person::new().await?;
    let home = person.home();
    let model = [&b"GGUF\x03\0\0\0"[..], &[0; 16], &[7; 100_000]].concat();
    fs::write(home.join("m.gguf"), &model)?;
    fs::write(home.join("page.html"), "<html>There is no such model.</html>")?;
    fs::write(home.join("pass"), "correct horse battery\n")?;
    let ca = DevelopmentCa::generate()?;
    fs::write(home.join("ca.pem"), ca.pem())?;
    let files = ["m.gguf", "page.html"].map(|name| (name.to_owned(), home.join(name)));
    let host = BoundModelHost::bind()?.serve(&ca, files.into())?;
    let page = format!("https://{}/files/page.html", host.address());
    let url = format!("https://{}/files/m.gguf?download=true", host.address());
    person.said("companionctl", &["catalog", "init", "c", "--passphrase-file", "pass"]).await?;
    let add = |url| ["catalog", "add", url, "--dir", "c", "--license", "MIT"];
    let trusting = |url| [&add(url)[..], &["--ca-file", "ca.pem"]].concat();

    let http = url.replace("https", "http");
    let refused = person.refused("companionctl", &add(&url)).await?;
    assert!(refused.ends_with("(connection_failed)\n"), "an unknown authority: {refused}");
    let hops = |hops| Fault::RedirectChain { hops };
    let plain = Fault::Redirect { to: "http://127.0.0.1/m.gguf".to_owned() };
    for (url, fault, reason) in [
        (&http, Fault::None, "scheme_not_allowed"),
        (&url, plain, "scheme_not_allowed"),
        (&url, hops(6), "too_many_redirects"),
        (&url, Fault::Status(404), "server_refused"),
        (&url, Fault::Endless, "server_refused"),
        (&url, Fault::CutAfter { bytes: 50_000 }, "download_truncated"),
        (&page, Fault::None, "unknown_kind"),
    ] {
        host.switch(|switches| switches.fault = fault);
        let refused = person.refused("companionctl", &trusting(url)).await?;
        assert!(refused.ends_with(&format!("({reason})\n")), "{reason}: {refused}");
        assert!(!refused.contains("127.0.0.1"), "{reason}: {refused}");
        assert_eq!(fs::read_dir(home.join("c/targets"))?.count(), 0, "{reason}");
    }

    host.switch(|switches| switches.fault = hops(5));
    let said = person.said("companionctl", &[&trusting(&url)[..], &["--json"]].concat()).await?;
    let said: Value = serde_json::from_str(&said)?;
    assert_eq!(said["added"], "m");
    let target = fs::read_dir(home.join("c/targets"))?.next().context("no target")??;
    assert_eq!(fs::read(target.path())?, model);
    let sha256 = said["sha256"].as_str().context("no digest")?;
    assert_eq!(target.file_name().to_str(), Some(format!("{sha256}.m").as_str()));
    assert_eq!(host.counts().requests_with_credentials, 0);
    for signed in ["catalog publish --dir c --passphrase-file pass", "catalog verify --dir c"] {
        person.said("companionctl", &signed.split(' ').collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// SIGKILL leaves half a model among the targets; the next command that changes the catalog takes
/// it away, and leaves alone what somebody else still downloads.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_model_of_a_killed_download_goes_with_the_next_command() -> Result<()> {
    let person = Person::new().await?;
    let home = person.home();
    fs::write(home.join("m.gguf"), [&b"GGUF\x03\0\0\0"[..], &[0; 16], &[7; 100_000]].concat())?;
    fs::write(home.join("pass"), "correct horse battery\n")?;
    let ca = DevelopmentCa::generate()?;
    fs::write(home.join("ca.pem"), ca.pem())?;
    let files = [("m.gguf".to_owned(), home.join("m.gguf"))];
    let host = BoundModelHost::bind()?.serve(&ca, files.into())?;
    host.switch(|switches| switches.fault = Fault::StallAfter { bytes: 50_000 });
    let url = format!("https://{}/files/m.gguf", host.address());
    person.said("companionctl", &["catalog", "init", "c", "--passphrase-file", "pass"]).await?;
    let add = ["catalog", "add", &url, "--dir", "c", "--license", "MIT", "--ca-file", "ca.pem"];

    let mut killed = person.types("companionctl", &add)?.spawn()?;
    until_targets(&home, 1).await?;
    let mut goes_on = person.types("companionctl", &add)?.spawn()?;
    until_targets(&home, 2).await?;
    killed.kill().await?;
    ensure!(targets_of(&home)?.len() == 2, "who is killed tidies nothing");
    person
        .said("companionctl", &["catalog", "add", "m.gguf", "--dir", "c", "--license", "MIT"])
        .await?;
    ensure!(targets_of(&home)?.len() == 2, "the file, and what still grows");
    goes_on.kill().await?;
    person
        .said("companionctl", &["catalog", "publish", "--dir", "c", "--passphrase-file", "pass"])
        .await?;
    ensure!(targets_of(&home)?.len() == 1, "the file alone");
    Ok(())
}

/// Until so many files lie among the targets.
async fn until_targets(home: &Path, count: usize) -> Result<()> {
    let waiting = async {
        while targets_of(home)?.len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    tokio::time::timeout(LIMIT, waiting).await?
}
