//! Attempts at files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use confine::MODEL_DESCRIPTOR;

use crate::Attempt;
use crate::kernel::{attempt, c_string, call};
use crate::world::{World, file_beneath};

const HERE: usize = libc::AT_FDCWD as usize;
const SYS_FCHMODAT2: libc::c_long = 452;
const SYS_SETXATTRAT: libc::c_long = 463;
const SYS_REMOVEXATTRAT: libc::c_long = 466;
const SYS_FILE_SETATTR: libc::c_long = 469;

pub(crate) const ATTEMPTS: &[Attempt] = &[
    ("read a foreign file", |world| read(&world.secret())),
    ("list a foreign directory", |world| fs::read_dir(world.beneath("foreign")).map(|_| ())),
    ("make a foreign file", |world| File::create(world.beneath("foreign/new")).map(|_| ())),
    ("write a foreign file", |world| {
        OpenOptions::new().append(true).open(world.secret()).map(|_| ())
    }),
    ("cut a foreign file", |world| {
        let path = c_string(&world.secret());
        attempt(libc::SYS_truncate, [path.as_ptr() as usize, 3])
    }),
    ("link a foreign file into the state directory", |world| {
        fs::hard_link(world.secret(), world.beneath("state/linked"))
    }),
    ("read the list of users", |_| read(Path::new("/etc/passwd"))),
    ("read its own /proc files", |_| read(Path::new("/proc/self/status"))),
    ("read a foreign process's /proc files", |world| {
        read(Path::new(&format!("/proc/{}/cmdline", world.victim)))
    }),
    ("write in the state directory", |world| write_and_rename(&world.beneath("state"))),
    ("write in the store", |world| write_and_rename(&world.beneath("store"))),
    ("write in the scratch directory", |world| write_and_remove(&world.beneath("scratch"))),
    ("plant a link in the scratch directory", |world| symlink("/", world.beneath("scratch/link"))),
    ("make a pipe in the scratch directory", |world| {
        let path = c_string(&world.beneath("scratch/pipe"));
        let mode = (libc::S_IFIFO | 0o600) as usize;
        attempt(libc::SYS_mknodat, [HERE, path.as_ptr() as usize, mode, 0])
    }),
    ("read beneath /lib", |_| read_library(0)),
    ("read beneath /lib64", |_| read_library(1)),
    ("read beneath /usr/lib", |_| read_library(2)),
    ("read beneath /usr/lib64", |_| read_library(3)),
    ("read the processor's facts", |_| read(Path::new("/proc/cpuinfo"))),
    ("read which devices the machine has", |_| read(Path::new("/proc/devices"))),
    ("read the graphics driver's parameters", |_| read(Path::new("/proc/driver/nvidia/params"))),
    ("read beneath /usr/local/nvidia", |_| read_library(4)),
    ("command the graphics driver", |_| command(Path::new("/dev/nvidiactl"))),
    ("command the memory of graphics cards", |_| command(Path::new("/dev/nvidia-uvm"))),
    ("command a graphics card", |_| command_cards()),
    ("read the memory's facts", |_| read(Path::new("/proc/meminfo"))),
    ("list the processor's cores", |_| fs::read_dir("/sys/devices/system/cpu").map(|_| ())),
    ("read which cores there are", |_| read(Path::new("/sys/devices/system/cpu/online"))),
    ("read the loader's cache", |_| read(Path::new("/etc/ld.so.cache"))),
    ("read the time zone", |_| read(Path::new("/etc/localtime"))),
    ("read the null device", |_| read(Path::new("/dev/null"))),
    ("write to the null device", |_| {
        OpenOptions::new().write(true).open("/dev/null")?.write_all(b"x")
    }),
    ("command a device", |_| {
        let device = File::open("/dev/null")?;
        attempt(libc::SYS_ioctl, [device.as_raw_fd() as usize, 0x1234, 0])
    }),
    ("open the handed model again", |_| {
        read(Path::new(&format!("/proc/self/fd/{MODEL_DESCRIPTOR}")))
    }),
    ("change a foreign file's mode", |world| {
        by_path(world, libc::SYS_fchmodat, |path| [HERE, path, 0o600])
    }),
    ("narrow a foreign file's mode to 0500", |world| {
        let path = c_string(&world.foreign_program());
        attempt(libc::SYS_fchmodat, [HERE, path.as_ptr() as usize, 0o500])
    }),
    ("change a foreign file's mode, newer call", |world| {
        by_path(world, SYS_FCHMODAT2, |path| [HERE, path, 0o600, 0])
    }),
    ("change a foreign file's attributes", |world| {
        by_path(world, SYS_FILE_SETATTR, |path| [HERE, path, 0, usize::MAX, 0])
    }),
    #[cfg(target_arch = "x86_64")]
    ("change a foreign file's mode, older call", |world| {
        by_path(world, libc::SYS_chmod, |path| [path, 0o600])
    }),
    ("change an open file's mode", |_| {
        attempt(libc::SYS_fchmod, [MODEL_DESCRIPTOR as usize, 0o600])
    }),
    ("change a foreign file's owner", |world| {
        by_path(world, libc::SYS_fchownat, |path| [HERE, path, usize::MAX, usize::MAX, 0])
    }),
    #[cfg(target_arch = "x86_64")]
    ("change a foreign file's owner, older call", |world| {
        by_path(world, libc::SYS_chown, |path| [path, usize::MAX, usize::MAX])
    }),
    #[cfg(target_arch = "x86_64")]
    ("change a foreign link's owner", |world| {
        by_path(world, libc::SYS_lchown, |path| [path, usize::MAX, usize::MAX])
    }),
    ("change an open file's owner", |_| {
        attempt(libc::SYS_fchown, [MODEL_DESCRIPTOR as usize, usize::MAX, usize::MAX])
    }),
    ("set a foreign file's extended attribute", |world| {
        by_path(world, libc::SYS_setxattr, |path| [path, 0, 0, 0, 0])
    }),
    ("set a foreign link's extended attribute", |world| {
        by_path(world, libc::SYS_lsetxattr, |path| [path, 0, 0, 0, 0])
    }),
    ("set an open file's extended attribute", |_| {
        attempt(libc::SYS_fsetxattr, [MODEL_DESCRIPTOR as usize, 0, 0, 0, 0])
    }),
    ("set an extended attribute, newer call", |world| {
        by_path(world, SYS_SETXATTRAT, |path| [HERE, path, 0, 0, 0, 0])
    }),
    ("remove a foreign file's extended attribute", |world| {
        by_path(world, libc::SYS_removexattr, |path| [path, 0])
    }),
    ("remove a foreign link's extended attribute", |world| {
        by_path(world, libc::SYS_lremovexattr, |path| [path, 0])
    }),
    ("remove an open file's extended attribute", |_| {
        attempt(libc::SYS_fremovexattr, [MODEL_DESCRIPTOR as usize, 0])
    }),
    ("remove an extended attribute, newer call", |world| {
        by_path(world, SYS_REMOVEXATTRAT, |path| [HERE, path, 0, 0])
    }),
    ("change a foreign file's times", |world| {
        by_path(world, libc::SYS_utimensat, |path| [HERE, path, 0, 0])
    }),
    #[cfg(target_arch = "x86_64")]
    ("change a foreign file's times, utime", |world| {
        by_path(world, libc::SYS_utime, |path| [path, 0])
    }),
    #[cfg(target_arch = "x86_64")]
    ("change a foreign file's times, utimes", |world| {
        by_path(world, libc::SYS_utimes, |path| [path, 0])
    }),
    #[cfg(target_arch = "x86_64")]
    ("change a foreign file's times, futimesat", |world| {
        by_path(world, libc::SYS_futimesat, |path| [HERE, path, 0])
    }),
    ("change an open file's times", |_| {
        attempt(libc::SYS_utimensat, [MODEL_DESCRIPTOR as usize, 0, 0, 0])
    }),
    ("watch a foreign directory", |world| {
        let watcher = call(libc::SYS_inotify_init1, [libc::IN_CLOEXEC as usize])?;
        let path = c_string(&world.beneath("foreign"));
        let events = libc::IN_CREATE as usize;
        attempt(libc::SYS_inotify_add_watch, [watcher as usize, path.as_ptr() as usize, events])
    }),
    ("watch everything", |_| attempt(libc::SYS_fanotify_init, [usize::MAX, 0])),
    ("open a file by its handle", |_| attempt(libc::SYS_open_by_handle_at, [usize::MAX, 0, 0])),
];

fn read(path: &Path) -> io::Result<()> {
    File::open(path)?.read(&mut [0]).map(|_| ())
}

/// Where shared libraries lie, on one distribution or another, and a file in each.
static LIBRARIES: OnceLock<[Option<PathBuf>; 5]> = OnceLock::new();

/// Before any policy is entered: a directory of libraries may be read by name and not listed.
pub(crate) fn find_libraries() {
    let found = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/nvidia"]
        .map(|name| Path::new(name).canonicalize().ok().and_then(|real| file_beneath(&real)));
    let _ = LIBRARIES.set(found);
}

/// ENOENT where there is none, as for any other file that a distribution lacks.
fn read_library(directory: usize) -> io::Result<()> {
    match LIBRARIES.get().and_then(|all| all[directory].as_ref()) {
        Some(file) => read(file),
        None => Err(io::Error::from_raw_os_error(libc::ENOENT)),
    }
}

/// Opens a device for reading, for writing, and gives it a command that no driver has.
fn command(device: &Path) -> io::Result<()> {
    let opened = File::open(device)?;
    OpenOptions::new().write(true).open(device)?;
    attempt(libc::SYS_ioctl, [opened.as_raw_fd() as usize, 0x1234, 0])
}

/// Every card there is; ENOENT where there is none. The first that is refused tells.
fn command_cards() -> io::Result<()> {
    let mut outcome = Err(io::Error::from_raw_os_error(libc::ENOENT));
    for card in 0..16 {
        let device = PathBuf::from(format!("/dev/nvidia{card}"));
        outcome = match command(&device) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            other => other,
        };
    }
    outcome
}

fn by_path<const N: usize>(
    world: &World,
    number: libc::c_long,
    arguments: impl Fn(usize) -> [usize; N],
) -> io::Result<()> {
    let path = c_string(&world.secret());
    attempt(number, arguments(path.as_ptr() as usize))
}

/// As catalog metadata and downloads are written: to a new file, synced, renamed into another
/// directory.
fn write_and_rename(directory: &Path) -> io::Result<()> {
    let (partial, kept) = (directory.join("partial"), directory.join("kept"));
    fs::create_dir(&kept)?;
    let mut file = File::create_new(&partial)?;
    file.write_all(b"bytes")?;
    file.set_len(2)?;
    file.sync_all()?;
    read(&partial)?;
    fs::rename(&partial, kept.join("whole"))?;
    File::open(directory)?.sync_all()?;
    fs::remove_dir_all(&kept)
}

fn write_and_remove(directory: &Path) -> io::Result<()> {
    let inner = directory.join("inner");
    fs::create_dir(&inner)?;
    fs::write(inner.join("file"), b"bytes")?;
    fs::write(inner.join("file"), b"fewer")?;
    read(&inner.join("file"))?;
    fs::remove_dir_all(&inner)
}
