//! Attempts at the kernel itself, its keyrings and its queues. Most are made with arguments that
//! the kernel refuses otherwise than the filter does, so that nothing happens where they pass.

use crate::Attempt;
use crate::kernel::{attempt, open};

const NOTHING: usize = usize::MAX;
const SYS_OPEN_TREE_ATTR: libc::c_long = 467;

pub(crate) const ATTEMPTS: &[Attempt] = &[
    ("set up a ring", |_| attempt(libc::SYS_io_uring_setup, [0, 0])),
    ("enter a ring", |_| attempt(libc::SYS_io_uring_enter, [NOTHING, 0, 0, 0, 0, 0])),
    ("register with a ring", |_| attempt(libc::SYS_io_uring_register, [NOTHING, 0, 0, 0])),
    ("load a kernel program", |_| attempt(libc::SYS_bpf, [0, 0, 1 << 20])),
    ("handle page faults", |_| attempt(libc::SYS_userfaultfd, [0x7fff_0001])),
    ("mount", |_| attempt(libc::SYS_mount, [1, 1, 1, 0, 0])),
    ("unmount", |_| attempt(libc::SYS_umount2, [1, NOTHING])),
    ("pivot the root", |_| attempt(libc::SYS_pivot_root, [1, 1])),
    ("change the root", |_| attempt(libc::SYS_chroot, [1])),
    ("move a mount", |_| attempt(libc::SYS_move_mount, [NOTHING, 1, NOTHING, 1, NOTHING])),
    ("open a tree", |_| attempt(libc::SYS_open_tree, [NOTHING, 1, NOTHING])),
    ("open a tree with attributes", |_| attempt(SYS_OPEN_TREE_ATTR, [NOTHING, 1, NOTHING, 0, 0])),
    ("open a file system", |_| attempt(libc::SYS_fsopen, [1, NOTHING])),
    ("configure a file system", |_| attempt(libc::SYS_fsconfig, [NOTHING, NOTHING, 0, 0, 0])),
    ("mount a file system", |_| attempt(libc::SYS_fsmount, [NOTHING, NOTHING, 0])),
    ("pick a file system", |_| attempt(libc::SYS_fspick, [NOTHING, 1, NOTHING])),
    ("change a mount", |_| attempt(libc::SYS_mount_setattr, [NOTHING, 1, NOTHING, 0, 0])),
    ("leave its namespaces", |_| attempt(libc::SYS_unshare, [1])),
    ("join a namespace", |_| attempt(libc::SYS_setns, [NOTHING, 0])),
    ("ask a keyring", |_| attempt(libc::SYS_keyctl, [9999, 0, 0, 0, 0])),
    ("add a key", |_| attempt(libc::SYS_add_key, [1, 1, 0, 0, 0])),
    ("request a key", |_| attempt(libc::SYS_request_key, [1, 1, 0, 0])),
    ("get shared memory", |_| attempt(libc::SYS_shmget, [0x5eed_5eed, 1, 0])),
    ("attach shared memory", |_| attempt(libc::SYS_shmat, [NOTHING, 0, 0])),
    ("control shared memory", |_| attempt(libc::SYS_shmctl, [NOTHING, NOTHING, 0])),
    ("get a semaphore", |_| attempt(libc::SYS_semget, [0x5eed_5eed, 1, 0])),
    ("use a semaphore", |_| attempt(libc::SYS_semop, [NOTHING, 0, 0])),
    ("use a semaphore for a while", |_| attempt(libc::SYS_semtimedop, [NOTHING, 0, 0, 0])),
    ("control a semaphore", |_| attempt(libc::SYS_semctl, [NOTHING, 0, NOTHING, 0])),
    ("get a message queue", |_| attempt(libc::SYS_msgget, [0x5eed_5eed, 0])),
    ("send to a message queue", |_| attempt(libc::SYS_msgsnd, [NOTHING, 0, 0, 0])),
    ("receive from a message queue", |_| attempt(libc::SYS_msgrcv, [NOTHING, 0, 0, 0, 0])),
    ("control a message queue", |_| attempt(libc::SYS_msgctl, [NOTHING, NOTHING, 0])),
    ("open a POSIX queue", |_| attempt(libc::SYS_mq_open, [1, 0, 0, 0])),
    ("unlink a POSIX queue", |_| attempt(libc::SYS_mq_unlink, [1])),
    ("type into the terminal", |_| attempt(libc::SYS_ioctl, [2, libc::TIOCSTI as usize, 0])),
    ("type into the terminal, upper half set", |_| {
        attempt(libc::SYS_ioctl, [2, libc::TIOCSTI as usize | 1 << 40, 0])
    }),
    ("paste into the console", |_| attempt(libc::SYS_ioctl, [2, libc::TIOCLINUX as usize, 0])),
    ("make a file in memory", |_| open(libc::SYS_memfd_create, [c"x".as_ptr() as usize, 1])),
    ("make a secret file in memory", |_| attempt(libc::SYS_memfd_secret, [NOTHING])),
    #[cfg(target_arch = "x86_64")]
    ("call by an x32 number", |_| attempt(libc::SYS_getpid | 0x4000_0000, [])),
];
