//! What the kernel says of each process while it works (architecture 2, contract 9).

use anyhow::Result;
use promises::World;

const CONFINED: [&str; 4] = ["broker", "supervisor", "frontdoor", "runtime"];

/// Who is answered at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    /// Any program of its own user.
    ItsUser,
    /// The launcher alone, which no program of a test is.
    TheLauncher,
}

/// Every socket, in the order of their names, with its rule (architecture 2).
const SOCKETS: [(&str, Serves); 6] = [
    ("broker.sock", Serves::ItsUser),
    ("frontdoor-control.sock", Serves::TheLauncher),
    ("frontdoor.sock", Serves::ItsUser),
    ("supervisor-control.sock", Serves::TheLauncher),
    ("supervisor-status.sock", Serves::TheLauncher),
    ("supervisor.sock", Serves::ItsUser),
];

/// Landlock and capabilities are per thread: every thread is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn every_thread_is_without_privilege_and_filtered() -> Result<()> {
    let world = World::ready().await?;
    let said = world.status().await?["confinement"].clone();
    for process in ["broker", "supervisor", "frontdoor"] {
        assert!(said[process].as_u64().is_some_and(|abi| abi > 0), "{process}: {said}");
    }
    for role in CONFINED {
        let pid = world.pid_of(role).await?;
        for thread in promises::threads_of(pid)? {
            let status = std::fs::read_to_string(thread.join("status"))?;
            let field = |name: &str| {
                status
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                    .map(|value| value.trim().to_owned())
                    .unwrap_or_default()
            };
            assert_eq!(field("NoNewPrivs"), "1", "{role}");
            assert_eq!(field("Seccomp"), "2", "{role}");
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(u64::from_str_radix(&field(set), 16)?, 0, "{role} {set}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_of_each_child_is_built_from_nothing() -> Result<()> {
    let world = World::ready().await?;
    for role in CONFINED {
        let environ = std::fs::read(format!("/proc/{}/environ", world.pid_of(role).await?))?;
        let names: Vec<_> = environ
            .split(|byte| *byte == 0)
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                String::from_utf8_lossy(entry.split(|b| *b == b'=').next().unwrap_or(entry))
                    .into_owned()
            })
            .collect();
        let allowed: &[&str] =
            if role == "runtime" { &["HOME", "TMPDIR", "LANG", "LC_ALL"] } else { &[] };
        assert!(names.iter().all(|name| allowed.contains(&name.as_str())), "{role}: {names:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_may_leave_a_core_file_and_the_runtime_dies_first() -> Result<()> {
    let world = World::ready().await?;
    for role in CONFINED {
        let limits =
            std::fs::read_to_string(format!("/proc/{}/limits", world.pid_of(role).await?))?;
        let core =
            limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{role}");
    }
    let score =
        std::fs::read_to_string(format!("/proc/{}/oom_score_adj", world.pid_of("runtime").await?))?;
    assert!(score.trim().parse::<i32>()? > 0);
    Ok(())
}

/// The runtime holds its model and its own listening socket, and its name is gone.
#[tokio::test(flavor = "multi_thread")]
async fn the_runtime_socket_has_no_name_once_it_is_in_use() -> Result<()> {
    let world = World::ready().await?;
    assert_eq!(promises::sockets_in(&world.runtime_dir().join("runtime"))?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_0600_in_a_0700_directory_and_another_user_is_refused() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let world = World::start().await?;
    let dir = world.runtime_dir();
    assert_eq!(std::fs::metadata(&dir)?.permissions().mode() & 0o777, 0o700);
    for name in promises::sockets_in(&dir)? {
        let mode = std::fs::metadata(dir.join(&name))?.permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    promises::need_root()?;
    // The layer in front removed: a traversable directory and a socket open to all.
    world.open_to_all()?;
    assert_eq!(promises::sockets_in(&dir)?, SOCKETS.map(|(name, _)| name), "each has its rule");
    for (name, rule) in SOCKETS {
        let socket = dir.join(name);
        let own_user = promises::answers_grpc_as(&socket, None).await?;
        assert_eq!(own_user, rule == Serves::ItsUser, "{name}: a program of its own user");
        assert!(!promises::answers_grpc_as(&socket, Some(65_534)).await?, "{name}: another user");
    }
    Ok(())
}
