//! Each layer with the other removed (architecture section 3, promise 5), and what each leaves
//! open alone, which is why there are two.
use crate::stage::{Stage, everybody};

#[test]
fn landlock_alone_keeps_files_tcp_abstract_sockets_and_signals() {
    let abi = confine::supported().expect("Landlock").landlock_abi;
    for who in everybody() {
        let outcomes = Stage::new(who).attempts("files:frontdoor");
        for (name, refusal, since) in [
            ("read a foreign file", "EACCES", 1),
            ("make a foreign file", "EACCES", 1),
            ("write a foreign file", "EACCES", 1),
            ("exec a foreign file", "EACCES", 1),
            ("read its own /proc files", "EACCES", 1),
            ("cut a foreign file", "EACCES", 3),
            ("connect a TCP socket", "EACCES", 4),
            ("bind a TCP socket", "EACCES", 4),
            ("connect to an abstract socket", "EPERM", 6),
            ("signal a foreign process", "EPERM", 6),
            ("connect to a path socket", "EACCES", 9),
        ] {
            if abi >= since {
                assert_eq!(outcomes[name], refusal, "{name} as {who:?}");
            }
        }
    }
}

#[test]
fn landlock_alone_leaves_open_what_the_filter_is_for() {
    for who in everybody() {
        let outcomes = Stage::new(who).attempts("files:frontdoor");
        for name in [
            "connect by sendto",
            "connect by sendmsg",
            "connect by sendmmsg",
            "socket inet datagram",
            "socket netlink",
            "pair unix datagram",
            "change a foreign file's mode",
            "change a foreign file's times",
            "watch a foreign directory",
            "make a file in memory",
            "fork",
        ] {
            assert_eq!(outcomes[name], "ok", "{name} as {who:?}");
        }
    }
}

#[test]
fn landlock_alone_lets_the_runtime_execute_nothing_but_its_binary() {
    for who in everybody() {
        let outcomes = Stage::new(who).attempts("files:runtime");
        assert_eq!(outcomes["exec the handed binary"], "ENOEXEC");
        assert_eq!(outcomes["exec a file of the store"], "ENOEXEC", "it is the same file");
        for name in [
            "exec a foreign file",
            "exec another descriptor",
            "exec another file by the number of the binary",
            "spawn the jail",
            "spawn a foreign program",
        ] {
            assert_eq!(outcomes[name], "EACCES", "{name} as {who:?}");
        }
    }
}

#[test]
fn the_filter_alone_keeps_connections_programs_and_other_processes() {
    for who in everybody() {
        let outcomes = Stage::new(who).attempts("calls:frontdoor");
        for name in [
            "connect to a path socket",
            "connect to an abstract socket",
            "connect a TCP socket",
            "connect by sendto",
            "reconnect a handed connection",
            "socket unix stream",
            "bind a TCP socket",
            "listen on it",
            "exec a foreign file",
            "exec the handed binary",
            "fork",
            "trace a foreign process",
            "read a foreign process's memory",
            "take a foreign process's descriptor",
        ] {
            assert_eq!(outcomes[name], "EPERM", "{name} as {who:?}");
        }
    }
}

#[test]
fn the_filter_alone_leaves_open_what_landlock_is_for() {
    for who in everybody() {
        let outcomes = Stage::new(who).attempts("calls:frontdoor");
        for name in ["read a foreign file", "make a foreign file", "signal a foreign process"] {
            assert_eq!(outcomes[name], "ok", "{name} as {who:?}");
        }
    }
}
