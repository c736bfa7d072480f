//! What no role may do, and the limits that bind all of them.
//!
//! Calls that need a capability (kernel modules, clocks, reboot) have no line here: no role has
//! any capability left.

use libc::{SYS_clone, c_long};
use rustix::process::Resource;

use super::rule::Test::{HasAnyOf, Is, IsNot};
use super::rule::{CallRule, LimitRule, int, long};

// Numbers that the `libc` crate lacks on one of the processors; those from 424 up are the same
// on all of them (Documentation/process/adding-syscalls.rst).
const SYS_FCHMODAT2: c_long = 452;
const SYS_SETXATTRAT: c_long = 463;
const SYS_REMOVEXATTRAT: c_long = 466;
const SYS_OPEN_TREE_ATTR: c_long = 467;
const SYS_FILE_SETATTR: c_long = 469;

/// The flag of sendto(2) and its kin that connects a TCP socket.
const MSG_FASTOPEN: u64 = libc::MSG_FASTOPEN as u64;

// asm-generic/ioctls.h; their type in `libc` differs between C libraries.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

/// The flags of clone(2) that make a namespace. CLONE_NEWTIME is no flag of clone(2), only of
/// clone3(2) and unshare(2).
const NAMESPACES: &[u64] = &[
    libc::CLONE_NEWNS as u64,
    libc::CLONE_NEWCGROUP as u64,
    libc::CLONE_NEWUTS as u64,
    libc::CLONE_NEWIPC as u64,
    libc::CLONE_NEWUSER as u64,
    libc::CLONE_NEWPID as u64,
    libc::CLONE_NEWNET as u64,
];

pub(super) const CALLS: &[CallRule] = &[
    // Connections.
    CallRule::never(&[libc::SYS_connect], "every connection is handed out by the launcher"),
    CallRule::never_if(
        &[libc::SYS_sendto, libc::SYS_sendmmsg],
        int(3, HasAnyOf(&[MSG_FASTOPEN])),
        "this flag connects a TCP socket, past Landlock and without connect",
    ),
    CallRule::never_if(
        &[libc::SYS_sendmsg],
        int(2, HasAnyOf(&[MSG_FASTOPEN])),
        "this flag connects a TCP socket, past Landlock and without connect",
    ),
    CallRule::never(
        &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register],
        "a ring connects, sends and opens past this filter",
    ),
    // Other processes.
    CallRule::never(
        &[
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_process_madvise,
            libc::SYS_process_mrelease,
            libc::SYS_kcmp,
            libc::SYS_perf_event_open,
        ],
        "no other program's memory, registers or counters",
    ),
    CallRule::never(&[libc::SYS_pidfd_getfd], "no other program's descriptors"),
    CallRule::never(
        &[libc::SYS_move_pages, libc::SYS_migrate_pages],
        "no say in where another program's memory lies",
    ),
    CallRule::never_if(&[libc::SYS_prlimit64], int(0, IsNot(0)), "no other program's limits"),
    CallRule::never(
        &[
            libc::SYS_shmget,
            libc::SYS_shmat,
            libc::SYS_shmctl,
            libc::SYS_semget,
            libc::SYS_semop,
            libc::SYS_semtimedop,
            libc::SYS_semctl,
            libc::SYS_msgget,
            libc::SYS_msgsnd,
            libc::SYS_msgrcv,
            libc::SYS_msgctl,
            libc::SYS_mq_open,
            libc::SYS_mq_unlink,
        ],
        "System V and POSIX queues reach this user's other programs, and Landlock has no rule",
    ),
    CallRule::never_if(
        &[libc::SYS_ioctl],
        int(1, Is(TIOCSTI)),
        "no typing into the terminal that standard error may be",
    ),
    CallRule::never_if(
        &[libc::SYS_ioctl],
        int(1, Is(TIOCLINUX)),
        "no pasting into the console that standard error may be",
    ),
    // Files, where Landlock has no rule.
    CallRule::never(
        &[
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod,
            SYS_FCHMODAT2,
            SYS_FILE_SETATTR,
        ],
        "the mode of a foreign file is not Landlock's to keep; open files may be changed",
    ),
    CallRule::never(
        &[
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chown,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_lchown,
            libc::SYS_fchown,
            libc::SYS_fchownat,
        ],
        "nor is its owner or group",
    ),
    CallRule::never(
        &[
            libc::SYS_setxattr,
            libc::SYS_lsetxattr,
            libc::SYS_fsetxattr,
            SYS_SETXATTRAT,
            libc::SYS_removexattr,
            libc::SYS_lremovexattr,
            libc::SYS_fremovexattr,
            SYS_REMOVEXATTRAT,
        ],
        "nor are its extended attributes",
    ),
    #[cfg(target_arch = "x86_64")]
    CallRule::never(&[libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat], "nor are its times"),
    CallRule::never_if(
        &[libc::SYS_utimensat],
        long(1, IsNot(0)),
        "nor are its times, by path; an open file has none here",
    ),
    CallRule::never(
        &[libc::SYS_inotify_add_watch, libc::SYS_fanotify_init],
        "no watching of what other programs do in foreign directories",
    ),
    CallRule::never(
        &[libc::SYS_open_by_handle_at],
        "files are opened by name, where the file rules see it",
    ),
    CallRule::never(
        &[libc::SYS_memfd_create, libc::SYS_memfd_secret],
        "a file in memory could be executed, past every rule for files",
    ),
    // The kernel, and this process's own walls.
    CallRule::never(
        &[libc::SYS_bpf, libc::SYS_userfaultfd],
        "kernel programs and fault handlers are of no use here but to an attacker",
    ),
    CallRule::never(
        &[
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            SYS_OPEN_TREE_ATTR,
            libc::SYS_fsopen,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fspick,
            libc::SYS_mount_setattr,
        ],
        "the tree of files stays as it is",
    ),
    CallRule::never(
        &[libc::SYS_unshare, libc::SYS_setns],
        "a namespace of its own would give capabilities in it",
    ),
    CallRule::never_if(
        &[SYS_clone],
        int(0, HasAnyOf(NAMESPACES)),
        "a namespace of its own would give capabilities in it",
    ),
    CallRule::never_if_both(
        &[libc::SYS_prctl],
        int(0, Is(libc::PR_SET_DUMPABLE as u64)),
        long(1, IsNot(0)),
        "a process that became dumpable again could be read by this user's other programs",
    ),
];

/// The kernel's keyrings, for all but a broker whose custody they are.
pub(super) const NO_KEYRING: &[CallRule] = &[CallRule::never(
    &[libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key],
    "the kernel's keyrings hold this user's secrets",
)];

/// For all but the supervisor, which has a line of its own.
pub(super) const NO_MODE_BY_NAME: &[CallRule] = &[CallRule::never(
    &[libc::SYS_fchmodat],
    "the mode of a foreign file is not Landlock's to keep; open files may be changed",
)];

/// For all but the supervisor, whose children set it for themselves.
pub(super) const STAYS_BOUND_TO_PARENT: &[CallRule] = &[CallRule::never_if(
    &[libc::SYS_prctl],
    int(0, Is(libc::PR_SET_PDEATHSIG as u64)),
    "a captured process must not outlive its parent",
)];

/// For every role.
pub(crate) const NO_CORE: LimitRule =
    LimitRule::at_most(Resource::Core, 0, "a core file would hold secrets and private text");
