//! The supervisor's part: confined as that one is, it starts the jail, and ends what the jail
//! became.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use confine::{BINARY_DESCRIPTOR, JailPlan, MODEL_DESCRIPTOR, PLAN_DESCRIPTOR, Policy};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::facts::read_all;

/// Ends as soon as the runtime runs; it inherits this program's output.
pub(crate) fn start_the_jail_and_die(directory: &Path) -> Result<(), Box<dyn Error>> {
    let (store, scratch) = (directory.join("store"), directory.join("scratch"));
    let jail = directory.join("bin/jail");
    confine::enter(&Policy::supervisor(&store, &scratch, &jail, &jail))?;
    let mut staying = spawn(directory, vec!["stay".to_owned()])?;
    let mut line = String::new();
    BufReader::new(staying.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
    print!("{line}");
    Ok(())
}

/// `directory` holds `bin/jail`, `store/runtime`, `store/model` and `scratch`.
pub(crate) fn start_the_jail(directory: &Path) -> Result<(), Box<dyn Error>> {
    let (store, scratch) = (directory.join("store"), directory.join("scratch"));
    let jail = directory.join("bin/jail");
    confine::enter(&Policy::supervisor(&store, &scratch, &jail, &jail))?;
    let socket = scratch.join("runtime.sock").to_string_lossy().into_owned();
    let mut runtime = spawn(directory, vec![socket])?;
    let facts = read_all(runtime.stdout.take().ok_or("no pipe")?)?;
    let status = runtime.wait()?;
    println!("{facts}status\t{:?}", status.code());
    let mut staying = spawn(directory, vec!["stay".to_owned()])?;
    let mut line = String::new();
    BufReader::new(staying.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
    let group = Pid::from_child(&staying);
    println!("ends the runtime's group\t{:?}", kill_process_group(group, Signal::TERM));
    println!("it ended by\t{:?}", std::os::unix::process::ExitStatusExt::signal(&staying.wait()?));
    Ok(())
}

fn spawn(directory: &Path, arguments: Vec<String>) -> Result<Child, Box<dyn Error>> {
    let store = directory.join("store");
    let plan = JailPlan {
        supervisor_pid: std::process::id(),
        arguments,
        scratch_dir: directory.join("scratch"),
        max_data_bytes: Some(1 << 30),
        gpu: false,
        libraries: false,
    };
    let written = store.join("plan");
    fs::write(&written, serde_json::to_vec(&plan)?)?;
    let open = |path: &Path, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
    let numbered: [(i32, OwnedFd); 3] = [
        (PLAN_DESCRIPTOR, File::open(written)?.into()),
        (BINARY_DESCRIPTOR, open(&store.join("runtime"), OFlags::PATH)?),
        (MODEL_DESCRIPTOR, open(&store.join("model"), OFlags::RDONLY)?),
    ];
    let mappings = numbered.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
    let mut jail = Command::new(directory.join("bin/jail"));
    jail.env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    jail.fd_mappings(mappings.into())?;
    Ok(jail.spawn()?)
}
