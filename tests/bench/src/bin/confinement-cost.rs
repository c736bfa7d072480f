//! What confinement costs, for `cargo xtask bench confinement`:
//! `enter ROLE DIRECTORY` enters a role's policy and prints how long that took, in microseconds;
//! `calls [ROLE DIRECTORY]` prints how long a write and a read of one byte take together, in
//! nanoseconds, without a policy or under one.
#![expect(clippy::print_stdout, reason = "the benchmark reads it")]

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use confine::Policy;

/// Pairs of calls whose mean counts.
const PAIRS: u32 = 200_000;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["enter", role, directory] => {
            let policy = policy(role, Path::new(directory))?;
            let begun = Instant::now();
            confine::enter(&policy)?;
            println!("{}", begun.elapsed().as_secs_f64() * 1e6);
        }
        ["calls"] => println!("{}", pair_of_calls()?),
        ["calls", role, directory] => {
            confine::enter(&policy(role, Path::new(directory))?)?;
            println!("{}", pair_of_calls()?);
        }
        _ => bail!("enter ROLE DIRECTORY, or calls [ROLE DIRECTORY]"),
    }
    Ok(())
}

/// The directory stands for each one that a role has; this program stands for the others that it
/// may execute.
fn policy(role: &str, directory: &Path) -> Result<Policy> {
    let own = std::env::current_exe()?;
    let open = std::fs::File::open(&own).context("this program")?;
    Ok(match role {
        "broker" => Policy::broker(directory, false),
        "supervisor" => Policy::supervisor(directory, directory, &own, &own),
        "frontdoor" => Policy::frontdoor(),
        "runtime" => Policy::runtime(directory, open.as_fd(), open.as_fd(), Some(1 << 40)),
        _ => bail!("no such role"),
    })
}

fn pair_of_calls() -> Result<f64> {
    let (mut one, mut other) = UnixStream::pair()?;
    let mut byte = [0];
    let begun = Instant::now();
    for _ in 0..PAIRS {
        one.write_all(&byte)?;
        other.read_exact(&mut byte)?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e9 / f64::from(PAIRS))
}
