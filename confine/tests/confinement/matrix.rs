//! Every attempt of the probe under every policy, and without one: architecture section 2, the
//! table of roles; contract 2, Pe, Pg, Pj. `EPERM` is the filter's answer, `EACCES` and `EXDEV`
//! are Landlock's (but for signals and abstract sockets, where it answers `EPERM` too).
//!
//! The unconfined column is what makes the others mean something: there each attempt passes, or
//! fails by its arguments and not by permission.
use std::collections::{BTreeMap, BTreeSet};

use crate::stage::{Stage, Who, everybody};
use Unconfined::{FailsOtherwise, FailsOtherwiseForRoot, Passes};

/// What comes of an attempt without a policy.
#[derive(Debug, Clone, Copy)]
enum Unconfined {
    Passes,
    /// Its arguments are refused, by another error than the policy's.
    FailsOtherwise,
    /// The same, and an ordinary user is refused as the policy would: proved as root alone.
    FailsOtherwiseForRoot,
}

/// Denied to every role, with `EPERM`.
const DENIED_TO_ALL: &[(&str, Unconfined)] = &[
    ("connect to a path socket", Passes),
    ("connect to an abstract socket", Passes),
    ("connect a TCP socket", Passes),
    ("connect by sendto", Passes),
    ("connect by sendmsg", Passes),
    ("connect by sendmmsg", Passes),
    ("reconnect a handed connection", Passes),
    ("socket inet stream", Passes),
    ("socket inet datagram", Passes),
    ("socket inet6 stream", Passes),
    ("socket netlink", Passes),
    ("socket unix seqpacket", Passes),
    ("socket unix datagram", Passes),
    ("socket unix raw", Passes),
    ("pair unix datagram", Passes),
    ("change a foreign file's mode", Passes),
    ("change a foreign file's mode, newer call", Passes),
    #[cfg(target_arch = "x86_64")]
    ("change a foreign file's mode, older call", Passes),
    ("change a foreign file's owner", Passes),
    #[cfg(target_arch = "x86_64")]
    ("change a foreign file's owner, older call", Passes),
    #[cfg(target_arch = "x86_64")]
    ("change a foreign link's owner", Passes),
    ("change an open file's owner", Passes),
    ("change a foreign file's times", Passes),
    #[cfg(target_arch = "x86_64")]
    ("change a foreign file's times, utime", Passes),
    #[cfg(target_arch = "x86_64")]
    ("change a foreign file's times, utimes", Passes),
    #[cfg(target_arch = "x86_64")]
    ("change a foreign file's times, futimesat", Passes),
    ("watch a foreign directory", Passes),
    ("trace a foreign process", Passes),
    ("compare with a foreign process", Passes),
    ("take a foreign process's descriptor", Passes),
    ("read a foreign process's limits", Passes),
    ("become dumpable", Passes),
    ("make a file in memory", Passes),
    ("make a secret file in memory", FailsOtherwise),
    ("pair of another family", FailsOtherwise),
    ("change a foreign file's attributes", FailsOtherwise),
    ("set a foreign file's extended attribute", FailsOtherwise),
    ("set a foreign link's extended attribute", FailsOtherwise),
    ("set an open file's extended attribute", FailsOtherwise),
    ("set an extended attribute, newer call", FailsOtherwise),
    ("remove a foreign file's extended attribute", FailsOtherwise),
    ("remove a foreign link's extended attribute", FailsOtherwise),
    ("remove an open file's extended attribute", FailsOtherwise),
    ("remove an extended attribute, newer call", FailsOtherwise),
    ("open a file by its handle", FailsOtherwise),
    ("set up a ring", FailsOtherwise),
    ("enter a ring", FailsOtherwise),
    ("register with a ring", FailsOtherwise),
    ("load a kernel program", FailsOtherwise),
    ("handle page faults", FailsOtherwise),
    ("mount", FailsOtherwise),
    ("unmount", FailsOtherwise),
    ("change the root", FailsOtherwise),
    ("open a tree", FailsOtherwise),
    ("open a tree with attributes", FailsOtherwise),
    ("configure a file system", FailsOtherwise),
    ("change a mount", FailsOtherwise),
    ("leave its namespaces", FailsOtherwise),
    ("join a namespace", FailsOtherwise),
    ("ask a keyring", FailsOtherwise),
    ("add a key", FailsOtherwise),
    ("request a key", FailsOtherwise),
    ("get shared memory", FailsOtherwise),
    ("attach shared memory", FailsOtherwise),
    ("control shared memory", FailsOtherwise),
    ("get a semaphore", FailsOtherwise),
    ("use a semaphore", FailsOtherwise),
    ("use a semaphore for a while", FailsOtherwise),
    ("control a semaphore", FailsOtherwise),
    ("get a message queue", FailsOtherwise),
    ("send to a message queue", FailsOtherwise),
    ("receive from a message queue", FailsOtherwise),
    ("control a message queue", FailsOtherwise),
    ("open a POSIX queue", FailsOtherwise),
    ("unlink a POSIX queue", FailsOtherwise),
    ("type into the terminal", FailsOtherwise),
    ("type into the terminal, upper half set", FailsOtherwise),
    ("paste into the console", FailsOtherwise),
    #[cfg(target_arch = "x86_64")]
    ("call by an x32 number", FailsOtherwise),
    ("clone into a mount namespace", FailsOtherwise),
    ("clone into a control group namespace", FailsOtherwise),
    ("clone into a host name namespace", FailsOtherwise),
    ("clone into a queue namespace", FailsOtherwise),
    ("clone into a user namespace", FailsOtherwise),
    ("clone into a process namespace", FailsOtherwise),
    ("clone into a network namespace", FailsOtherwise),
    ("read a foreign process's memory", FailsOtherwise),
    ("write a foreign process's memory", FailsOtherwise),
    ("advise a foreign process's memory", FailsOtherwise),
    ("reap a foreign process's memory", FailsOtherwise),
    ("count a foreign process's events", FailsOtherwise),
    ("move a foreign process's pages", FailsOtherwise),
    ("migrate a foreign process's pages", FailsOtherwise),
    ("watch everything", FailsOtherwiseForRoot),
    ("pivot the root", FailsOtherwiseForRoot),
    ("move a mount", FailsOtherwiseForRoot),
    ("open a file system", FailsOtherwiseForRoot),
    ("mount a file system", FailsOtherwiseForRoot),
    ("pick a file system", FailsOtherwiseForRoot),
];

const OK: &str = "ok";
const EPERM: &str = "EPERM";
const EACCES: &str = "EACCES";
const EXDEV: &str = "EXDEV";
const ENOEXEC: &str = "ENOEXEC";
const ENOSYS: &str = "ENOSYS";
/// Anything but a refusal of permission.
const ANY: &str = "not refused";
/// As without a policy.
const SAME: &str = "as unconfined";

/// Not every distribution has these files (ENOENT): where nobody reads them nothing is proved.
const MAY_BE_ABSENT: &[&str] = &[
    "read the loader's cache",
    "read the time zone",
    "read the graphics driver's parameters",
    "read beneath /usr/local/nvidia",
    "command the graphics driver",
    "command the memory of graphics cards",
    "command a graphics card",
    "read beneath /lib",
    "read beneath /lib64",
    "read beneath /usr/lib",
    "read beneath /usr/lib64",
];
const ABSENT: &str = "errno 2";

const ROLES: [&str; 5] = ["nothing", "broker", "supervisor", "frontdoor", "runtime"];

/// What differs between the roles, in their order.
#[rustfmt::skip]
const BY_ROLE: &[(&str, [&str; 5])] = &[
    ("send on a handed connection", [OK, OK, OK, OK, OK]),
    ("accept on an inherited listener", [OK, OK, OK, OK, OK]),
    ("receive a descriptor", [OK, OK, OK, OK, OK]),
    ("socket unix stream", [OK, EPERM, OK, EPERM, OK]),
    ("pair unix stream", [OK, OK, OK, OK, OK]),
    ("pair unix seqpacket", [OK, OK, OK, OK, OK]),
    ("bind a TCP socket", [OK, EPERM, EACCES, EPERM, EACCES]),
    ("bind a socket in the scratch directory", [OK, EPERM, OK, EPERM, OK]),
    ("listen on it", [OK, EPERM, OK, EPERM, OK]),
    ("read a foreign file", [OK, EACCES, EACCES, EACCES, EACCES]),
    ("list a foreign directory", [OK, EACCES, EACCES, EACCES, EACCES]),
    ("make a foreign file", [OK, EACCES, EACCES, EACCES, EACCES]),
    ("write a foreign file", [OK, EACCES, EACCES, EACCES, EACCES]),
    ("cut a foreign file", [OK, EACCES, EACCES, EACCES, EACCES]),
    ("link a foreign file into the state directory", [OK, EXDEV, EACCES, EACCES, EACCES]),
    ("read the list of users", [OK, EACCES, EACCES, EACCES, EACCES]),
    ("read its own /proc files", [OK, EACCES, EACCES, EACCES, EACCES]),
    ("read a foreign process's /proc files", [OK, EACCES, EACCES, EACCES, EACCES]),
    ("write in the state directory", [OK, OK, EACCES, EACCES, EACCES]),
    ("write in the store", [OK, EACCES, OK, EACCES, EACCES]),
    ("write in the scratch directory", [OK, EACCES, OK, EACCES, OK]),
    ("plant a link in the scratch directory", [OK, EACCES, EACCES, EACCES, EACCES]),
    ("make a pipe in the scratch directory", [OK, EACCES, EACCES, EACCES, EACCES]),
    ("read beneath /lib", [OK, EACCES, OK, EACCES, OK]),
    ("read beneath /lib64", [OK, EACCES, OK, EACCES, OK]),
    ("read beneath /usr/lib", [OK, EACCES, OK, EACCES, OK]),
    ("read beneath /usr/lib64", [OK, EACCES, OK, EACCES, OK]),
    ("read the processor's facts", [OK, EACCES, OK, EACCES, OK]),
    ("read which devices the machine has", [OK, EACCES, OK, EACCES, EACCES]),
    ("read the graphics driver's parameters", [ANY, EACCES, SAME, EACCES, EACCES]),
    ("read beneath /usr/local/nvidia", [ANY, EACCES, SAME, EACCES, EACCES]),
    ("command the graphics driver", [ANY, EACCES, SAME, EACCES, EACCES]),
    ("command the memory of graphics cards", [ANY, EACCES, EACCES, EACCES, EACCES]),
    ("command a graphics card", [ANY, EACCES, SAME, EACCES, EACCES]),
    ("read the memory's facts", [OK, EACCES, OK, EACCES, OK]),
    ("list the processor's cores", [OK, EACCES, OK, EACCES, OK]),
    ("read which cores there are", [OK, EACCES, OK, EACCES, OK]),
    ("read the loader's cache", [ANY, EACCES, SAME, EACCES, SAME]),
    ("read the time zone", [ANY, EACCES, SAME, EACCES, SAME]),
    ("read the null device", [OK, EACCES, OK, EACCES, OK]),
    ("write to the null device", [OK, EACCES, OK, EACCES, OK]),
    ("command a device", [ANY, EACCES, EACCES, EACCES, EACCES]),
    ("open the handed model again", [OK, EACCES, OK, EACCES, OK]),
    ("narrow a foreign file's mode to 0500", [OK, EPERM, OK, EPERM, EPERM]),
    ("change an open file's mode", [OK, OK, OK, EPERM, EPERM]),
    ("change an open file's times", [OK, OK, OK, OK, OK]),
    ("start a thread", [OK, OK, OK, OK, OK]),
    #[cfg(target_arch = "x86_64")]
    ("vfork", [OK, EPERM, OK, EPERM, EPERM]),
    ("fork", [OK, EPERM, OK, EPERM, EPERM]),
    #[cfg(target_arch = "x86_64")]
    ("fork by its old number", [OK, EPERM, OK, EPERM, EPERM]),
    ("clone3", [ANY, ENOSYS, ENOSYS, ENOSYS, ENOSYS]),
    ("spawn the loader", [OK, EACCES, OK, EACCES, EPERM]),
    ("spawn the jail", [OK, EACCES, OK, EACCES, EPERM]),
    ("spawn a foreign program", [OK, EACCES, EACCES, EACCES, EPERM]),
    ("exec a foreign file", [ENOEXEC, EPERM, EACCES, EPERM, EPERM]),
    ("exec a file of the store", [ENOEXEC, EPERM, ENOEXEC, EPERM, EPERM]),
    ("exec the handed binary", [ENOEXEC, EPERM, ENOEXEC, EPERM, ENOEXEC]),
    ("exec without the flag", [ANY, EPERM, SAME, EPERM, EPERM]),
    ("exec another descriptor", [ENOEXEC, EPERM, EACCES, EPERM, EPERM]),
    ("exec another file by the number of the binary", [ENOEXEC, EPERM, EACCES, EPERM, EACCES]),
    ("signal a foreign process", [OK, EPERM, EPERM, EPERM, EPERM]),
    ("signal a child", [OK, EPERM, OK, EPERM, EPERM]),
    ("read its own limits", [OK, OK, OK, OK, OK]),
    ("unbind from the parent's death", [OK, EPERM, OK, EPERM, EPERM]),
    ("stay not dumpable", [OK, OK, OK, OK, OK]),
];

/// Where a parser's row differs from the front door's.
const PARSER_DIFFERS: &[(&str, &str)] = &[("change an open file's mode", OK)];

/// The Landlock ABI that an attempt's refusal takes, where it is not the first.
const SINCE: &[(&str, i32)] = &[
    ("cut a foreign file", 3),
    ("bind a TCP socket", 4),
    ("command a device", 5),
    ("signal a foreign process", 6),
];

#[test]
fn every_role_can_do_what_its_row_says_and_nothing_else() {
    for who in everybody() {
        let outcomes = ROLES.map(|role| Stage::new(who).attempts(role));
        assert_every_attempt_is_in_a_table(&outcomes[0]);
        for (name, unconfined) in DENIED_TO_ALL {
            assert_unconfined(who, name, *unconfined, &outcomes[0]);
            for (role, outcome) in ROLES.iter().zip(&outcomes).skip(1) {
                assert_eq_unless_old(name, &outcome[*name], EPERM, &format!("{role} as {who:?}"));
            }
        }
        for (name, expected) in BY_ROLE {
            if MAY_BE_ABSENT.contains(name) && outcomes[0][*name] == ABSENT {
                continue;
            }
            for ((role, outcome), expected) in ROLES.iter().zip(&outcomes).zip(expected) {
                let meant = if *expected == SAME { &outcomes[0][*name] } else { *expected };
                let got = &outcome[*name];
                assert_eq_unless_old(name, got, meant, &format!("{role} as {who:?}"));
            }
        }
    }
}

/// On a machine without a card only the list of devices is there to be gained.
#[test]
fn a_runtime_that_computes_on_a_card_gains_the_drivers_places_and_nothing_else() {
    let gained = [
        "read which devices the machine has",
        "read the graphics driver's parameters",
        "read beneath /usr/local/nvidia",
        "command the graphics driver",
        "command the memory of graphics cards",
        "command a graphics card",
    ];
    for who in everybody() {
        let unconfined = Stage::new(who).attempts("nothing");
        let without = Stage::new(who).attempts("runtime");
        let with = Stage::new(who).attempts("runtime-with-gpu");
        for (name, outcome) in &with {
            let gained = gained.contains(&name.as_str());
            let expected = if gained { &unconfined[name] } else { &without[name] };
            assert_eq!(outcome, expected, "{name} as {who:?}");
        }
        assert_ne!(with[gained[0]], without[gained[0]]);
    }
}

/// Layer by layer, since its limit of open files would spoil the attempts that open any.
#[test]
fn a_parser_can_do_what_the_front_door_can_and_no_more() {
    for who in everybody() {
        for layer in ["files", "calls"] {
            let frontdoor = Stage::new(who).attempts(&format!("{layer}:frontdoor"));
            let parser = Stage::new(who).attempts(&format!("{layer}:parser"));
            assert_eq!(frontdoor.len(), parser.len());
            for (name, outcome) in &parser {
                let differs = PARSER_DIFFERS.iter().find(|(other, _)| other == name);
                let expected = differs.map_or(frontdoor[name].as_str(), |(_, outcome)| outcome);
                assert_eq!(outcome, expected, "{name}, {layer} as {who:?}");
            }
        }
    }
}

/// Landlock and the lack of capabilities refuse some of them too, with the same error.
#[test]
fn the_filter_alone_denies_what_every_role_is_denied() {
    for who in everybody() {
        for role in &ROLES[1..] {
            let outcomes = Stage::new(who).attempts(&format!("calls:{role}"));
            for (name, _) in DENIED_TO_ALL {
                assert_eq!(outcomes[*name], EPERM, "{name}, filter of {role} as {who:?}");
            }
        }
    }
}

#[test]
fn only_a_broker_whose_custody_is_the_kernel_keyring_may_ask_it() {
    for who in everybody() {
        let unconfined = Stage::new(who).attempts("nothing");
        let with_keyring = Stage::new(who).attempts("broker-with-keyring");
        for name in ["ask a keyring", "add a key", "request a key"] {
            assert_eq!(with_keyring[name], unconfined[name], "{name} as {who:?}");
            assert_ne!(with_keyring[name], EPERM, "{name} as {who:?}");
        }
        assert_eq!(with_keyring["connect to a path socket"], EPERM);
    }
}

fn assert_every_attempt_is_in_a_table(outcomes: &BTreeMap<String, String>) {
    let made: BTreeSet<&str> = outcomes.keys().map(String::as_str).collect();
    let denied = DENIED_TO_ALL.iter().map(|(name, _)| *name);
    let tabled: BTreeSet<&str> = denied.chain(BY_ROLE.iter().map(|(name, _)| *name)).collect();
    assert_eq!(made, tabled);
}

fn assert_unconfined(
    who: Who,
    name: &str,
    expected: Unconfined,
    outcomes: &BTreeMap<String, String>,
) {
    let outcome = outcomes[name].as_str();
    match expected {
        Passes => assert_eq!(outcome, OK, "{name} unconfined as {who:?}"),
        FailsOtherwise => assert!(not_refused(outcome), "{name} unconfined as {who:?}: {outcome}"),
        FailsOtherwiseForRoot => {
            assert!(who == Who::Ordinary || not_refused(outcome), "{name} as {who:?}: {outcome}");
        }
    }
}

fn assert_eq_unless_old(name: &str, outcome: &str, expected: &str, context: &str) {
    let abi = confine::supported().expect("Landlock and seccomp").landlock_abi;
    if SINCE.iter().any(|(since, first)| *since == name && abi < *first) {
        return;
    }
    if expected == ANY {
        assert!(not_refused(outcome), "{name}, {context}: {outcome}");
    } else {
        assert_eq!(outcome, expected, "{name}, {context}");
    }
}

fn not_refused(outcome: &str) -> bool {
    ![EPERM, EACCES].contains(&outcome)
}
