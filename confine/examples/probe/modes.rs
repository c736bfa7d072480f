//! What the probe is asked to be.

use std::error::Error;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use confine::{BINARY_DESCRIPTOR, Layer, MODEL_DESCRIPTOR, Policy};
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
            let world = World::new(directory.into(), port.parse()?, victim.parse()?);
            files::find_libraries();
            enter(policy, &world)?;
            make_attempts(&world)
        }
        ["lines", role, directory] => list_lines(role, directory),
        ["limits", policy, directory] => tell_limits(policy, directory),
        ["threads", policy, directory] => be_threaded(policy, directory),
        ["second-thread", policy, directory] => enter_too_late(policy, directory),
        ["int80", policy, directory] => call_by_int80(policy, directory),
        ["descriptors"] => keep_some_descriptors(),
        ["foster"] => be_a_dying_parent(),
        ["bound", parent] => be_bound(parent.parse()?),
        _ => Err("no such mode".into()),
    }
}

/// A role alone: its policy whole. After `files:` or `calls:` that layer of it alone. After
/// `without NUMBER:` the layer of that line alone, without the line.
#[expect(clippy::disallowed_methods, reason = "one layer alone, or a line less: this is the test")]
fn enter(name: &str, world: &World) -> Outcome {
    let (part, role) = name.split_once(':').unwrap_or(("", name));
    let Some(policy) = policy(role, world)? else { return Ok(()) };
    if let Some(line) = part.strip_prefix("without ") {
        let line: usize = line.parse()?;
        let weakened = policy.weakened().into_iter().nth(line).ok_or("no such line")?;
        return enter_layer(weakened.layer, &weakened.policy);
    }
    match part {
        "files" => enter_layer(Layer::Files, &policy),
        "calls" => enter_layer(Layer::Calls, &policy),
        "limits" => enter_layer(Layer::Limits, &policy),
        _ => Ok(confine::enter(&policy).map(drop)?),
    }
}

#[expect(clippy::disallowed_methods, reason = "one layer alone: this is the test")]
fn enter_layer(layer: Layer, policy: &Policy) -> Outcome {
    match layer {
        Layer::Files => confine::enter_files_only(policy)?,
        Layer::Calls => confine::enter_system_calls_only(policy)?,
        Layer::Limits => confine::enter_limits_only(policy)?,
    }
    Ok(())
}

/// The lines of a role's policy, as `without NUMBER:` counts them: layer, what, and the place.
#[expect(clippy::disallowed_methods, reason = "the mutation test's list")]
fn list_lines(role: &str, directory: &str) -> Outcome {
    let policy = policy(role, &aimless(directory))?.ok_or("no policy")?;
    for line in policy.weakened() {
        let layer = match line.layer {
            Layer::Files => "files",
            Layer::Calls => "calls",
            Layer::Limits => "limits",
        };
        let place = line.place.unwrap_or_default();
        println!("{layer}\t{}\t{}", line.without, place.display());
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
        "parser" => Some(Policy::parser()),
        "runtime" | "runtime-with-gpu" => {
            let binary = open(world, "store/noexec", OFlags::PATH)?;
            let model = open(world, "store/model", OFlags::RDONLY)?;
            let policy = Policy::runtime(&scratch, binary.as_fd(), model.as_fd(), Some(1 << 32));
            Some(if role == "runtime" { policy } else { policy.with_gpu() })
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

fn tell_limits(name: &str, directory: &str) -> Outcome {
    use rustix::process::{Resource, getrlimit};
    enter(name, &aimless(directory))?;
    for resource in [Resource::Core, Resource::Nofile, Resource::Data, Resource::Fsize] {
        let limit = getrlimit(resource);
        println!("{resource:?}\t{:?} {:?}", limit.current, limit.maximum);
    }
    Ok(())
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
    World::new(directory.into(), 0, 0)
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
