//! What the kernel says of a process, read from outside by tests that own it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Longest any process may take to end before the test fails.
const END_LIMIT: Duration = Duration::from_secs(20);

/// For the half of a test that acts as another user or reads other processes' memory: as anybody
/// else it would prove nothing, and so it fails.
///
/// # Errors
/// When this process is not root's.
pub fn need_root() -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    anyhow::ensure!(root, "this test acts as another user, or reads memory: run it as root");
    Ok(())
}

/// Whether a process of this number exists and is no zombie.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit(')').next().map(|rest| !rest.trim_start().starts_with('Z')))
        .unwrap_or(false)
}

/// Ends a process the way a crash would.
///
/// # Errors
/// When it is not there.
pub fn kill(pid: u32) -> Result<()> {
    pidfd_send_signal(pidfd(pid)?, Signal::KILL).context("kill")
}

/// Stops a process where it stands, so that it can react to nothing; only [`kill`] still reaches it.
///
/// # Errors
/// When it is not there.
pub fn freeze(pid: u32) -> Result<()> {
    pidfd_send_signal(pidfd(pid)?, Signal::STOP).context("freeze")
}

/// Resolves when the process has ended, told by its pidfd.
///
/// # Errors
/// When it has not ended in time.
pub async fn gone(pid: u32) -> Result<()> {
    let Ok(pidfd) = pidfd(pid) else { return Ok(()) };
    let limit = Timespec { tv_sec: i64::try_from(END_LIMIT.as_secs())?, tv_nsec: 0 };
    let ended = tokio::task::spawn_blocking(move || {
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit))
    })
    .await??;
    anyhow::ensure!(ended == 1, "process {pid} still runs");
    Ok(())
}

fn pidfd(pid: u32) -> Result<std::os::fd::OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("pid 0")?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// The directories `/proc/<pid>/task/<tid>`.
///
/// # Errors
/// When the process is gone.
pub fn threads_of(pid: u32) -> Result<Vec<PathBuf>> {
    fs::read_dir(format!("/proc/{pid}/task"))?.map(|entry| Ok(entry?.path())).collect()
}

/// `ADDRESS:PORT` of each listening TCP socket the process holds.
///
/// # Errors
/// When the process is gone or may not be read.
pub fn tcp_listeners_of(pid: u32) -> Result<Vec<String>> {
    const LISTEN: &str = "0A";
    let held = socket_inodes_of(pid)?;
    let mut listeners = Vec::new();
    for row in tcp_rows(pid)? {
        if row.state == LISTEN && held.contains(&row.inode) {
            listeners.push(row.local);
        }
    }
    Ok(listeners)
}

/// Every IPv4 or IPv6 socket of any kind the process holds, as table rows.
///
/// # Errors
/// When the process is gone or may not be read.
pub fn inet_sockets_of(pid: u32) -> Result<Vec<String>> {
    let held = socket_inodes_of(pid)?;
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
        for line in fs::read_to_string(format!("/proc/{pid}/net/{table}"))?.lines().skip(1) {
            if line.split_whitespace().nth(9).is_some_and(|inode| held.contains(inode)) {
                found.push(line.to_owned());
            }
        }
    }
    Ok(found)
}

struct TcpRow {
    local: String,
    state: String,
    inode: String,
}

fn tcp_rows(pid: u32) -> Result<Vec<TcpRow>> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp"))?;
    let six = fs::read_to_string(format!("/proc/{pid}/net/tcp6"))?;
    table
        .lines()
        .skip(1)
        .chain(six.lines().skip(1))
        .map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (address, port) = fields[1].split_once(':').context("no port")?;
            let port = u16::from_str_radix(port, 16)?;
            let address = match u32::from_str_radix(address, 16) {
                Ok(four) => std::net::Ipv4Addr::from(four.to_ne_bytes()).to_string(),
                Err(_) => format!("[{address}]"),
            };
            Ok(TcpRow {
                local: format!("{address}:{port}"),
                state: fields[3].to_owned(),
                inode: fields[9].to_owned(),
            })
        })
        .collect()
}

fn socket_inodes_of(pid: u32) -> Result<BTreeSet<String>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        let target = target.to_string_lossy();
        if let Some(inode) = target.strip_prefix("socket:[").and_then(|t| t.strip_suffix(']')) {
            inodes.insert(inode.to_owned());
        }
    }
    Ok(inodes)
}

/// The private, writable memory of a process (root only): where a held secret would be. The
/// mapped model is left out.
///
/// # Errors
/// When the process is gone or may not be read.
pub fn memory_of(pid: u32) -> Result<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = fs::File::open(format!("/proc/{pid}/mem"))?;
    let mut bytes = Vec::new();
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, mode) = (fields.next().context("range")?, fields.next().context("mode")?);
        if !mode.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').context("range")?;
        let (start, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
        let mut region = vec![0; usize::try_from(end - start)?];
        if memory.read_exact_at(&mut region, start).is_ok() {
            bytes.extend_from_slice(&region);
        }
    }
    Ok(bytes)
}

/// Names of the Unix sockets that lie in a directory.
///
/// # Errors
/// When a present directory cannot be read.
pub fn sockets_in(dir: &Path) -> Result<Vec<String>> {
    use std::os::unix::fs::FileTypeExt;
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_socket() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
