//! What the test hands the probe: fixed descriptor numbers, and places beneath one directory.

use std::path::{Path, PathBuf};

/// Unconnected Unix stream sockets, one for each attempt that could spoil it.
pub(crate) const UNIX_FOR_PATH: i32 = 10;
pub(crate) const UNIX_FOR_ABSTRACT: i32 = 11;
pub(crate) const UNIX_FOR_BIND: i32 = 12;
/// Unconnected TCP sockets.
pub(crate) const TCP_FOR_CONNECT: i32 = 13;
pub(crate) const TCP_FOR_SENDTO: i32 = 14;
pub(crate) const TCP_FOR_SENDMSG: i32 = 15;
pub(crate) const TCP_FOR_SENDMMSG: i32 = 16;
pub(crate) const TCP_FOR_BIND: i32 = 17;
/// A TCP connection, as the launcher hands them out.
pub(crate) const TCP_HANDED: i32 = 18;
/// A listening Unix socket on which a client waits.
pub(crate) const UNIX_LISTENING: i32 = 19;
/// One end of a seqpacket pair, with a datagram and a descriptor waiting.
pub(crate) const MONITOR: i32 = 20;
/// `O_PATH` of [`World::foreign_program`].
pub(crate) const FOREIGN_PROGRAM: i32 = 21;

/// Where the test keeps what the attempts aim at.
pub(crate) struct World {
    pub(crate) directory: PathBuf,
    /// Of the test's TCP listener on 127.0.0.1.
    pub(crate) port: u16,
    /// A process of the same user that nothing binds to the probe.
    pub(crate) victim: i32,
}

impl World {
    pub(crate) fn new(directory: PathBuf, port: u16, victim: i32) -> Self {
        Self { directory, port, victim }
    }

    pub(crate) fn beneath(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A listening socket with a path, as the session bus.
    pub(crate) fn service(&self) -> PathBuf {
        self.beneath("foreign/service.sock")
    }

    /// The name of a listening abstract socket.
    pub(crate) fn abstract_name(&self) -> String {
        let name = self.directory.file_name().unwrap_or_default().to_string_lossy();
        format!("confine-test{name}")
    }

    pub(crate) fn secret(&self) -> PathBuf {
        self.beneath("foreign/secret")
    }

    /// An executable that no program loader knows: exec answers ENOEXEC where it is allowed.
    pub(crate) fn foreign_program(&self) -> PathBuf {
        self.beneath("foreign/noexec")
    }

    pub(crate) fn stored_program(&self) -> PathBuf {
        self.beneath("store/noexec")
    }

    /// The probe itself, where the supervisor may execute it.
    pub(crate) fn jail(&self) -> PathBuf {
        self.beneath("bin/jail")
    }
}

/// Some regular file beneath a directory, links not followed.
pub(crate) fn file_beneath(directory: &Path) -> Option<PathBuf> {
    let entries: Vec<_> = std::fs::read_dir(directory).ok()?.flatten().collect();
    let is = |entry: &std::fs::DirEntry, wanted: fn(&std::fs::FileType) -> bool| {
        entry.file_type().is_ok_and(|kind| wanted(&kind))
    };
    let file = entries.iter().find(|entry| is(entry, std::fs::FileType::is_file));
    file.map(std::fs::DirEntry::path).or_else(|| {
        let directories = entries.iter().filter(|entry| is(entry, std::fs::FileType::is_dir));
        directories.map(std::fs::DirEntry::path).find_map(|path| file_beneath(&path))
    })
}
