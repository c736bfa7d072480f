//! `companion up`, act by act.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use companion_settings::{Dirs, Overrides, Settings, SettingsError};
use fd_lock::RwLock;
use peer_socket::peer_credentials;
use rustix::fs::Mode;
use rustix::process::umask;
use tokio::time::timeout;

use crate::children::{self, ChildError};
use crate::cli::UpArguments;
use crate::dialer::Dialer;
use crate::directories::{self, NotPrivate};
use crate::limits::LAST_WORDS_LIMIT;
use crate::listeners::{self, BindError, Listeners};
use crate::reclaim::Record;
use crate::voice::{Output, Voice, relay};
use crate::watch::watch_over;

/// Why the companion does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpError {
    #[error("The configuration is refused")]
    Settings(#[from] SettingsError),
    #[error("This kernel cannot confine the processes, and they do not run unconfined")]
    Unconfinable(#[from] confine::ConfineError),
    #[error("A directory is not private")]
    Directory(#[from] NotPrivate),
    #[error("This kernel does not name the peer of a socket for good (SO_PEERPIDFD, Linux 6.5)")]
    NoPeerPidfd(#[source] io::Error),
    #[error("The companion of this profile is already running")]
    AlreadyRunning,
    #[error("The lock of the runtime directory cannot be had")]
    Lock(#[source] io::Error),
    #[error("A runtime left from an earlier start could not be ended")]
    Reclaim(#[source] io::Error),
    #[error("The sockets could not be bound")]
    Bind(#[from] BindError),
    #[error("The processes could not be started")]
    Child(#[from] ChildError),
    #[error("The watch over a process was lost")]
    Watch(#[from] tokio::task::JoinError),
    #[error("The start could not be prepared")]
    Prepare(#[source] io::Error),
}

/// Starts the three processes and watches over them until TERM or INT.
pub(crate) fn up(arguments: &UpArguments, voice: Voice) -> Result<(), UpError> {
    confine::close_all_but(&[])?;
    umask(Mode::RWXG | Mode::RWXO);
    require_kernel()?;
    confine::tighten_unconfined()?;
    let settings = settings(arguments)?;
    let dirs = dirs(arguments, &settings);
    directories::prepare(&dirs)?;
    if dirs.runtime_is_fallback {
        tracing::warn!("no XDG_RUNTIME_DIR: the sockets lie under the state directory");
    }
    // Two starts may share either directory, and one may use the same for both.
    let mut locks = [
        lock_file(&dirs.state.join("state.lock"))?,
        lock_file(&dirs.runtime.join("runtime.lock"))?,
    ];
    let _held = locks
        .each_mut()
        .map(|lock| lock.try_write().map_err(|_| UpError::AlreadyRunning))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;

    listeners::remove_stale_names(&dirs);
    let outcome = run(&settings, &dirs, voice);
    listeners::remove_names(&dirs);
    outcome
}

/// The installation is this process's alone: ends what an earlier start left, runs, and leaves
/// no process behind.
fn run(settings: &Settings, dirs: &Dirs, voice: Voice) -> Result<(), UpError> {
    let record = Record::of(dirs);
    if record.reclaim().map_err(UpError::Reclaim)? {
        tracing::warn!("a runtime left from an earlier start was ended");
    }
    let listeners = Listeners::bind(dirs, settings.frontdoor.bind)?;
    let bound = listeners.bound;
    let dialer = Dialer::new(settings, dirs, bound).map_err(UpError::Prepare)?;
    let (output, relayed) = Output::of(voice).map_err(UpError::Prepare)?;
    let plans = children::plans(settings, dirs, listeners, &start_id()?, output)?;

    // One thread spawns all children and lives as long as the process: their parent-death
    // signal follows the thread that forked them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(UpError::Prepare)?;
    let drain = Duration::from_secs(settings.runtime.drain_timeout_s);
    let relaying = relayed.map(|relayed| runtime.spawn(relay(relayed)));
    let outcome = runtime.block_on(watch_over(plans, dialer, bound, drain, voice));
    if let Some(relaying) = relaying {
        // The last words, which may say why it ended.
        let _ = runtime.block_on(async { timeout(LAST_WORDS_LIMIT, relaying).await });
    }
    runtime.shutdown_background();
    outcome.and(record.reclaim().map(drop).map_err(UpError::Reclaim))
}

/// What this house stands on: Landlock and seccomp, and peers that are named for good.
fn require_kernel() -> Result<(), UpError> {
    confine::supported()?;
    let (end, _other) = UnixStream::pair().map_err(UpError::Prepare)?;
    peer_credentials(&end).map_err(UpError::NoPeerPidfd)?;
    Ok(())
}

fn settings(arguments: &UpArguments) -> Result<Settings, SettingsError> {
    let environment = |name: &str| match (name, &arguments.profile) {
        ("COMPANION_PROFILE", Some(profile)) => Some(profile.clone()),
        _ => std::env::var(name).ok(),
    };
    companion_settings::load(arguments.config.as_deref(), environment)
}

fn dirs(arguments: &UpArguments, settings: &Settings) -> Dirs {
    let overrides = Overrides {
        runtime: arguments.runtime_dir.clone(),
        state: arguments.state_dir.clone(),
        data: arguments.data_dir.clone(),
    };
    Dirs::resolve(&settings.profile, &overrides, |name| std::env::var(name).ok())
}

fn lock_file(path: &Path) -> Result<RwLock<File>, UpError> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    opened.map(RwLock::new).map_err(UpError::Lock)
}

/// 128 random bits that name this start; the loopback token is bound to it.
fn start_id() -> Result<String, UpError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| UpError::Prepare(io::ErrorKind::Other.into()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
