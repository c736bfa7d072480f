//! What the probe is asked to be.

use std::error::Error;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use confine::{BINARY_DESCRIPTOR, MODEL_DESCRIPTOR, Policy};
use rustix::fs::{Mode, OFlags};

use crate::world::World;
use crate::{files, kernel, machine, processes, sockets};

type Outcome = Result<(), Box<dyn Error>>;

/// Reads the arguments as a mode; see the tests for what each proves.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    match arguments {
        ["exit"] => Ok(()),
        ["victim"] => be_a_victim(),
        ["attempts", policy, directory, port, victim] => {
            let world =
                World { directory: directory.into(), port: port.parse()?, victim: victim.parse()? };
            enter(policy, &world)?;
            make_attempts(&world)
        }
        ["threads", policy, directory] => be_threaded(policy, directory),
        ["second-thread", policy, directory] => enter_too_late(policy, directory),
        ["int80", policy, directory] => call_by_int80(policy, directory),
        ["descriptors"] => keep_some_descriptors(),
        ["foster"] => be_a_dying_parent(),
        ["bound", parent] => be_bound(parent.parse()?),
        _ => Err("no such mode".into()),
    }
}

/// A policy's name, alone or with the one layer of it that is meant.
fn enter(name: &str, world: &World) -> Outcome {
    let (layer, role) = name.split_once(':').unwrap_or(("", name));
    let Some(policy) = policy(role, world)? else { return Ok(()) };
    match layer {
        "files" => confine::enter_files_only(&policy)?,
        "calls" => confine::enter_system_calls_only(&policy)?,
        _ => drop(confine::enter(&policy)?),
    }
    Ok(())
}

fn policy(role: &str, world: &World) -> Result<Option<Policy>, Box<dyn Error>> {
    let scratch = world.beneath("scratch");
    Ok(match role {
        "nothing" => None,
        "broker" => Some(Policy::broker(&world.beneath("state"), false)),
        "broker-with-keyring" => Some(Policy::broker(&world.beneath("state"), true)),
        "supervisor" => {
            let (store, jail) = (world.beneath("store"), world.jail());
            Some(Policy::supervisor(&store, &scratch, &jail, &jail))
        }
        "frontdoor" => Some(Policy::frontdoor()),
        "runtime" => {
            let binary = open(world, "store/noexec", OFlags::PATH)?;
            let model = open(world, "store/model", OFlags::RDONLY)?;
            Some(Policy::runtime(&scratch, binary.as_fd(), model.as_fd(), Some(1 << 32)))
        }
        _ => return Err("no such role".into()),
    })
}

/// The same files that the test hands over as [`BINARY_DESCRIPTOR`] and [`MODEL_DESCRIPTOR`].
fn open(world: &World, name: &str, flags: OFlags) -> rustix::io::Result<std::os::fd::OwnedFd> {
    rustix::fs::open(world.beneath(name), flags | OFlags::CLOEXEC, Mode::empty())
}

fn make_attempts(world: &World) -> Outcome {
    // Exec attempts come last of all: one of them spoils a descriptor.
    let groups = [sockets::ATTEMPTS, files::ATTEMPTS, machine::ATTEMPTS, processes::ATTEMPTS];
    for (name, act) in groups.concat() {
        println!("{name}\t{}", outcome(act(world)));
    }
    Ok(())
}

fn outcome(result: io::Result<()>) -> String {
    let Err(error) = result else { return "ok".to_owned() };
    match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM".to_owned(),
        Some(libc::EACCES) => "EACCES".to_owned(),
        Some(libc::ENOEXEC) => "ENOEXEC".to_owned(),
        Some(libc::ENOSYS) => "ENOSYS".to_owned(),
        Some(libc::ENOTTY) => "ENOTTY".to_owned(),
        Some(libc::EXDEV) => "EXDEV".to_owned(),
        Some(number) => format!("errno {number}"),
        None => error.to_string(),
    }
}

/// Anything of this user may trace it, where that needs saying (Yama).
fn be_a_victim() -> Outcome {
    let _ = rustix::process::set_ptracer(rustix::process::PTracer::Any);
    say("ready")?;
    until_told_to_end()
}

fn be_threaded(name: &str, directory: &str) -> Outcome {
    enter(name, &aimless(directory))?;
    for _ in 0..3 {
        std::thread::spawn(|| {
            loop {
                std::thread::park();
            }
        });
    }
    let dumpable = rustix::process::dumpable_behavior()?;
    say(&format!("{dumpable:?}"))?;
    until_told_to_end()
}

fn enter_too_late(name: &str, directory: &str) -> Outcome {
    std::thread::spawn(|| {
        loop {
            std::thread::park();
        }
    });
    enter(name, &aimless(directory))
}

fn call_by_int80(name: &str, directory: &str) -> Outcome {
    enter(name, &aimless(directory))?;
    #[cfg(target_arch = "x86_64")]
    say(&format!("{}", kernel::getpid_by_int80()))?;
    Ok(())
}

fn aimless(directory: &str) -> World {
    World { directory: directory.into(), port: 0, victim: 0 }
}

/// The test handed over 4, 5 and 10; only 5 is to stay.
fn keep_some_descriptors() -> Outcome {
    confine::close_all_but(&[MODEL_DESCRIPTOR])?;
    let open: Vec<String> =
        (0..64).filter(|number| is_open(*number)).map(|number| number.to_string()).collect();
    assert!(!open.contains(&BINARY_DESCRIPTOR.to_string()));
    say(&open.join(" "))?;
    Ok(())
}

fn is_open(number: i32) -> bool {
    kernel::call(libc::SYS_fcntl, [number as usize, libc::F_GETFD as usize]).is_ok()
}

/// Ends as soon as its child is bound to it.
fn be_a_dying_parent() -> Outcome {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["bound", &std::process::id().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut heard = [0; 6];
    child.stdout.take().ok_or("no pipe")?.read_exact(&mut heard)?;
    io::stdout().write_all(&heard)?;
    Ok(())
}

/// Holds standard error open for as long as it lives, and complains there if it lives on.
fn be_bound(parent: u32) -> Outcome {
    confine::die_with_parent(parent)?;
    say("bound")?;
    std::thread::sleep(Duration::from_secs(30));
    writeln!(io::stderr(), "it lived on")?;
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout();
    writeln!(output, "{line}")?;
    output.flush()
}

fn until_told_to_end() -> Outcome {
    let stdin: BorrowedFd<'_> = rustix::stdio::stdin();
    while rustix::io::read(stdin, &mut [0; 16])? > 0 {}
    Ok(())
}
