//! What the supervisor reads while it measures the runtime, as the kernel sees it (Ph, contract 9):
//! every system call of the real process, traced from outside.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use promises::World;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// Samples that are looked at; one is taken every 400 ms.
const SAMPLES: usize = 6;
const LIMIT: Duration = Duration::from_secs(60);

/// The calls by which a process gets at a file, or at what is known of one, by a name.
const BY_NAME: &str = "trace=%file,open_by_handle_at,pidfd_open,process_vm_readv,ptrace";
const READS: &str =
    "read,readv,pread64,preadv,preadv2,getdents64,mmap,sendfile,splice,copy_file_range";

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_opens_nothing_and_reads_the_two_handed_descriptors_alone() -> Result<()> {
    promises::need_root()?;
    let world = World::ready().await?;
    let (supervisor, runtime) = (world.pid_of("supervisor").await?, world.pid_of("runtime").await?);
    let trace = world.dir().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-yy", "-e", &format!("{BY_NAME},{READS}"), "-o"]).arg(&trace);
    strace.args(["-p", &supervisor.to_string()]).kill_on_drop(true);
    let mut strace = strace.spawn().context("strace: `cargo xtask setup` installs it")?;
    let its_store = format!("<{}/", world.dir().display());
    let figures = ["stat", "statm"].map(|name| format!("</proc/{runtime}/{name}>"));
    let calls = timeout(LIMIT, traced(trace, &figures[1])).await.context("no samples seen")??;
    strace.start_kill()?;
    strace.wait().await?;

    let samples = calls.iter().filter(|call| call.contains("pread64(")).count();
    ensure!(samples >= 2 * SAMPLES, "{calls:#?}");
    for call in &calls {
        let is_of_the_runtime = figures.iter().any(|file| call.contains(file.as_str()));
        // What is read besides came over connections, pipes, and the clock of the executor.
        let is_no_file = ["<socket:", "<UNIX", "<pipe:", "<anon_inode:", "MAP_ANONYMOUS"]
            .iter()
            .any(|kind| call.contains(kind));
        // Its own store it looks through now and then: that is no part of a sample.
        let is_of_its_store = call.contains(&its_store);
        ensure!(is_of_the_runtime || is_no_file || is_of_its_store, "it also did: {call}");
    }
    ensure!(world.pid_of("runtime").await? == runtime, "it was disturbed");
    world.stop().await
}

/// The calls of so many samples.
async fn traced(trace: PathBuf, statm: &str) -> Result<Vec<String>> {
    loop {
        let text = fs::read_to_string(&trace).unwrap_or_default();
        if text.lines().filter(|call| call.contains(statm)).count() >= SAMPLES {
            let is_call = |line: &&str| line.contains('(');
            return Ok(text.lines().filter(is_call).map(str::to_owned).collect());
        }
        sleep(Duration::from_millis(100)).await;
    }
}
