//! Supervisor, front door and runtime taken over from inside: a backdoor planted at compile time
//! (`tests/captured`) tries to reach everything it knows of, and gets nothing; the same attempts by
//! a process that nothing confines succeed (architecture section 3, promises 3 to 6).

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use captured::{AIMS_FILE, Aims, MARK, REPORT_FILE};
use devstack::companion::{Companion, CompanionOptions};
use devstack::session_bus::SessionBus;
use devstack::stack::{Stack, StackOptions};
use devstack::{MODEL_ID, RUNTIME_ID};
use tempfile::TempDir;

/// Longest a report may take.
const REPORT_LIMIT: Duration = Duration::from_secs(20);
/// As it is, whatever the program.
const PROGRAMS: [&str; 5] =
    ["companion", "companionctl", "authority-broker", "runtime-jail", "runtime-probe"];
/// Taken over.
const CAPTURED: [&str; 3] = ["frontdoor", "runtime-supervisor", "standin-runtime"];

type Outcomes = BTreeMap<String, String>;

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_process_reaches_nothing_and_an_unconfined_one_everything() -> Result<()> {
    let scene = Scene::set().await?;
    let outside = scene.outside()?;
    for (name, outcome) in &outside {
        assert_eq!(outcome, "done", "{name} must succeed where nothing confines it");
    }

    scene.start().await?;
    let (address, token) = scene.endpoint().await?;
    // The front door holds this connection while it is asked to misuse it.
    let client = Client::connect(&address, &token)?;
    for role in ["supervisor", "frontdoor", "runtime"] {
        let inside = scene.captured(role).await?;
        assert!(inside.keys().eq(outside.keys()), "{role}: {inside:?}");
        for (name, outcome) in &inside {
            let refused = ["EPERM", "EACCES"].contains(&outcome.as_str());
            let idle = outcome == "nothing held" && role != "frontdoor";
            assert!(refused || idle, "{role} could {name}: {outcome}");
        }
    }
    client.still_served()?;
    assert_eq!(scene.status().await?["available"], true, "nothing was disturbed");
    Ok(())
}

struct Scene {
    companion: Companion,
    victim: Child,
    programs: PathBuf,
    _listener: TcpListener,
    _bus: SessionBus,
    _stack: Stack,
    _dir: TempDir,
}

impl Scene {
    async fn set() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("cap").tempdir()?;
        let sub = |name: &str| {
            let path = dir.path().join(name);
            DirBuilder::new().mode(0o700).create(&path).map(|()| path)
        };
        let (programs, home, foreign) = (sub("p")?, sub("c")?, sub("foreign")?);
        let bus = SessionBus::start(&sub("bus")?).await?;
        let victim = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let (listener, address) = devstack::listen::bind_loopback()?;
        let aims = Aims {
            session_bus: path_of(bus.address())?,
            broker: home.join("r/broker.sock"),
            port: address.port(),
            canary: foreign.join("canary"),
            victim: i32::try_from(victim.id())?,
            program: foreign.join("program"),
        };
        fs::write(&aims.canary, "private")?;
        copy(&which("true")?, &aims.program)?;
        let text = serde_json::to_string(&aims)?;
        let model = dir.path().join("aims-for-a-model");
        for path in [&programs.join(AIMS_FILE), &model] {
            fs::write(path, &text)?;
        }
        furnish(&programs)?;

        let mut options = StackOptions::new(&sub("stack")?);
        options.llama_server = Some(programs.join("standin-runtime"));
        options.model = Some(model);
        let stack = Stack::start(options).await?;
        let companion_options = CompanionOptions {
            dbus_address: Some(bus.address().to_owned()),
            dir: Some(home),
            programs: Some(programs.clone()),
            ..CompanionOptions::default()
        };
        let companion = Companion::up(&stack, companion_options).await?;
        Ok(Self {
            companion,
            victim,
            programs,
            _listener: listener,
            _bus: bus,
            _stack: stack,
            _dir: dir,
        })
    }

    /// The same attempts by a process that nobody confines.
    fn outside(&self) -> Result<Outcomes> {
        let output = Command::new(self.programs.join("captured")).env_clear().output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        reports(&text).pop().with_context(|| format!("no report: {output:?}"))
    }

    async fn start(&self) -> Result<()> {
        self.companion.sign_in().await?.success()?;
        for command in [["pull", RUNTIME_ID], ["pull", MODEL_ID], ["start", MODEL_ID]] {
            self.companion.ctl_events(&command).await?.success()?;
        }
        Ok(())
    }

    async fn status(&self) -> Result<serde_json::Value> {
        self.companion.status().await
    }

    async fn endpoint(&self) -> Result<(String, String)> {
        let env = self.companion.ctl_json(&["env"]).await?;
        let text = |name: &str| env[name].as_str().map(str::to_owned).context("no endpoint");
        let base = text("OPENAI_BASE_URL")?;
        let address = base.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
        Ok((address, text("OPENAI_API_KEY")?))
    }

    /// Pulls the trigger, and waits for one more report than there was.
    async fn captured(&self, role: &str) -> Result<Outcomes> {
        let pid = self.status().await?["pids"][role].as_i64().context("no such process")?;
        let before = self.told_by(role).len();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("pid 0")?;
        rustix::process::kill_process(pid, rustix::process::Signal::USR2)?;
        let begun = Instant::now();
        loop {
            let mut told = self.told_by(role);
            if told.len() > before {
                return told.pop().context("no report");
            }
            if begun.elapsed() > REPORT_LIMIT {
                bail!("{role} does not report:\n{}", self.companion.log());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Reports in the companion's log; the runtime's lie in the one directory that it has.
    fn told_by(&self, role: &str) -> Vec<Outcomes> {
        if role == "runtime" {
            let report = self.companion.runtime_dir().join("runtime/tmp").join(REPORT_FILE);
            return reports(&fs::read_to_string(report).unwrap_or_default());
        }
        reports(&self.companion.log())
    }
}

impl Drop for Scene {
    /// It reads its standard input to the end.
    fn drop(&mut self) {
        drop(self.victim.stdin.take());
        let _ = self.victim.wait();
    }
}

fn reports(text: &str) -> Vec<Outcomes> {
    let lines = text.lines().filter_map(|line| line.split_once(MARK));
    lines.filter_map(|(_, json)| serde_json::from_str(json).ok()).collect()
}

/// A directory of programs, three of which are taken over.
fn furnish(programs: &Path) -> Result<()> {
    let taken_over = std::env::var_os("COMPANION_CAPTURED_DIR")
        .map(PathBuf::from)
        .context("COMPANION_CAPTURED_DIR is not set: `cargo xtask test` builds what lies there")?;
    for name in CAPTURED {
        copy(&taken_over.join(name), &programs.join(name))?;
    }
    for name in PROGRAMS.iter().chain(&["captured"]) {
        copy(&devstack::programs::find(name)?, &programs.join(name))?;
    }
    Ok(())
}

/// By another process: a descriptor open for writing here could be inherited by a child that is
/// forked just then, and the copy could not be executed meanwhile (ETXTBSY).
fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg(from).arg(to).status()?;
    anyhow::ensure!(copied.success(), "{} is not there", from.display());
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(0o700))?)
}

/// `unix:path=/…,guid=…`
fn path_of(address: &str) -> Result<PathBuf> {
    let path = address.strip_prefix("unix:path=").and_then(|rest| rest.split(',').next());
    path.map(PathBuf::from).with_context(|| address.to_owned())
}

fn which(name: &str) -> Result<PathBuf> {
    let known = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(name));
    known.into_iter().find(|path| path.exists()).with_context(|| format!("no {name}"))
}

/// A client that keeps its connection.
struct Client {
    stream: TcpStream,
    request: String,
}

impl Client {
    fn connect(address: &str, token: &str) -> Result<Self> {
        let request = format!(
            "GET /v1/models HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(REPORT_LIMIT))?;
        let mut client = Self { stream, request };
        client.ask()?;
        Ok(client)
    }

    fn still_served(mut self) -> Result<()> {
        self.ask()
    }

    fn ask(&mut self) -> Result<()> {
        self.stream.write_all(self.request.as_bytes())?;
        let mut answer = BufReader::new(&self.stream);
        let (mut line, mut length) = (String::new(), 0);
        answer.read_line(&mut line)?;
        anyhow::ensure!(line.starts_with("HTTP/1.1 200"), "{line}");
        while line != "\r\n" {
            line.clear();
            anyhow::ensure!(answer.read_line(&mut line)? > 0, "cut short");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        Ok(answer.read_exact(&mut vec![0; length])?)
    }
}
