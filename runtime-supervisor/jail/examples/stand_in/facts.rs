//! What a runtime finds itself to be.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, getpgrp, getpid, getrlimit, umask};

/// Prints one fact a line, its name and its value with a tab between.
pub(crate) fn print(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    say("arguments", &arguments.join(" "));
    let environment: Vec<String> =
        std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    say("environment", &environment.join(" "));
    say("descriptors", &open_descriptors());
    say("umask", &format!("{:03o}", umask(rustix::fs::Mode::empty()).bits()));
    say("leads its group", &(getpgrp() == getpid()).to_string());
    say("leads its session", &leads_its_session()?.to_string());
    say("signal at the parent's death", &format!("{:?}", parent_signal()?));
    say("dumpable", &format!("{:?}", rustix::process::dumpable_behavior()?));
    for (name, resource) in [("core", Resource::Core), ("data", Resource::Data)] {
        say(name, &format!("{:?}", getrlimit(resource).maximum));
    }
    directories()?;
    say("model", &fs::read_to_string("/proc/self/fd/5")?);
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    if let Some(socket) = arguments.get(1) {
        say("socket", &listen(socket)?);
    }
    attempts();
    Ok(())
}

/// Stays until it is ended; standard output shows that it lives, standard error that nobody
/// ended it.
pub(crate) fn stay() -> Result<(), Box<dyn Error>> {
    say("staying", "");
    io::stdout().flush()?;
    std::thread::sleep(Duration::from_secs(30));
    eprintln!("nobody ended it");
    Ok(())
}

fn directories() -> Result<(), Box<dyn Error>> {
    for name in ["HOME", "TMPDIR"] {
        let path = PathBuf::from(std::env::var(name)?);
        let mode = fs::metadata(&path)?.permissions().mode() & 0o7777;
        let entries = fs::read_dir(&path)?.count();
        say(name, &format!("{mode:04o} with {entries}"));
        fs::write(path.join("file"), "bytes")?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it plays llama-server, which knows no better")]
fn listen(path: &str) -> io::Result<String> {
    let _listener = UnixListener::bind(path)?;
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    Ok(format!("{mode:04o}"))
}

fn attempts() {
    let own = std::env::current_exe().unwrap_or_default();
    say("reads the list of users", &outcome(File::open("/etc/passwd").map(drop)));
    say("reads the machine's facts", &outcome(File::open("/proc/cpuinfo").map(drop)));
    say("connects by path", &outcome(UnixStream::connect("/nonexistent").map(drop)));
    say("connects by address", &outcome(TcpStream::connect("127.0.0.1:9").map(drop)));
    say("starts a program", &outcome(Command::new(own).status().map(drop)));
    say("forks", &outcome(fork()));
    let thread = std::thread::Builder::new().spawn(|| ());
    say("starts a thread", &outcome(thread.map(|thread| drop(thread.join()))));
}

/// By fork(2) itself: a child, should there be one, ends at once.
#[expect(unsafe_code, reason = "fork, in a process of one thread")]
fn fork() -> io::Result<()> {
    // SAFETY: this process has a single thread, and the child does nothing but end.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: it ends this process without running anything of it.
        0 => unsafe { libc::_exit(0) },
        _ => Ok(()),
    }
}

fn outcome(result: io::Result<()>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// By nix: a session may be led from outside the PID namespace, which is then number 0 (getsid(2))
/// and no `Pid` of rustix.
fn leads_its_session() -> nix::Result<bool> {
    Ok(nix::unistd::getsid(None)? == nix::unistd::getpid())
}

fn parent_signal() -> rustix::io::Result<Option<rustix::process::Signal>> {
    rustix::process::parent_process_death_signal()
}

/// By trying to duplicate each: no file of `/proc` can be listed here.
fn open_descriptors() -> String {
    let open = (0..64).filter(|number| is_open(*number)).map(|number: i32| number.to_string());
    open.collect::<Vec<_>>().join(" ")
}

#[expect(unsafe_code, reason = "descriptor numbers, which may be closed")]
fn is_open(number: i32) -> bool {
    // SAFETY: F_GETFD takes a number and touches no memory.
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

fn say(name: &str, value: &str) {
    println!("{name}\t{value}");
}

/// Reads what the runtime's output is, for the supervisor's part.
pub(crate) fn read_all(mut from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.read_to_string(&mut text)?;
    Ok(text)
}
