//! The walls between crates, read from `cargo metadata` over all targets and kinds of
//! dependency (architecture 3, promise 1, and the arrows of section 4). `deny.toml` refuses a
//! bad direct edge; this test follows the edges to their ends.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// The broker's own: nobody else reaches one of these, however far away.
const CREDENTIALS: &str = "authority-broker authority-core keyring-core oauth2 linux-keyutils \
    apple-native-keyring-store windows-native-keyring-store secret-service zbus tough";
/// Time, randomness, files, network, executors: nothing that decides reaches one of these.
const INPUT_AND_OUTPUT: &str = "tokio tokio-util mio hyper tonic axum socket2 rustix nix tempfile \
    getrandom futures-util rustls tracing";
/// Every crate of the workspace, and the workspace crates it may name.
const ARROWS: &str = "
authority-broker: authority-core authority-api runtime-api frontdoor-api monitor-api peer-socket confine capabilities companion-settings
runtime-supervisor: runtime-core runtime-archive runtime-api monitor-api peer-socket confine capabilities companion-settings
runtime-jail: confine
frontdoor: frontdoor-core frontdoor-api runtime-api monitor-api peer-socket confine capabilities companion-settings
companion-launcher: confine monitor-api peer-socket companion-settings
companionctl: authority-api runtime-api frontdoor-api capability-api peer-socket confine companion-settings
companion-catalog:
gguf-facts: confine runtime-archive
authority-core:
runtime-core:
runtime-archive: runtime-core
frontdoor-core:
authority-api:
runtime-api:
frontdoor-api:
capability-api:
capabilities: capability-api confine monitor-api peer-socket
peer-socket: monitor-api
monitor-api: companion-settings
companion-settings:
confine:
devstack:
xtask:
endpoint-bench: captured confine runtime-core
captured:
typist:
promises: captured devstack typist authority-api runtime-api frontdoor-api capability-api monitor-api peer-socket companion-settings
";
const CORES: &str = "authority-core runtime-core frontdoor-core";
const DEVELOPMENT: &str = "devstack endpoint-bench captured typist xtask promises";

#[test]
fn no_process_but_the_broker_links_credential_code() {
    assert_eq!(Graph::read().violations(), [""; 0]);
}

/// The test can fail: each of these edges is one that somebody might add.
#[test]
fn a_planted_edge_is_caught_wherever_it_is() {
    let real = Graph::read();
    for (from, to) in [
        ("runtime-supervisor", "authority-api"),
        ("frontdoor", "authority-core"),
        ("frontdoor", "oauth2"),
        ("runtime-supervisor", "linux-keyutils"),
        ("companion-launcher", "zbus"),
        ("hyper-util", "keyring-core"),
        ("runtime-api", "authority-api"),
        ("frontdoor", "devstack"),
        ("frontdoor", "captured"),
        ("runtime-supervisor", "captured"),
        ("runtime-core", "tokio"),
        ("frontdoor-core", "confine"),
        ("companionctl", "authority-core"),
        ("runtime-jail", "peer-socket"),
        ("thiserror", "rustix"),
    ] {
        let mut graph = real.clone();
        graph.linked.entry(from.to_owned()).or_default().insert(to.to_owned());
        graph.named.entry(from.to_owned()).or_default().insert(to.to_owned());
        assert_ne!(graph.violations(), [""; 0], "{from} -> {to}");
    }
}

#[test]
fn a_crate_that_disappears_or_appears_is_caught() {
    let real = Graph::read();
    let mut graph = real.clone();
    graph.linked.remove("oauth2");
    assert_ne!(graph.violations(), [""; 0], "a renamed crate must not leave an empty rule");
    let mut graph = real;
    graph.members.insert("newcomer".to_owned());
    assert_ne!(graph.violations(), [""; 0], "a new crate must be given its arrows");
}

type Edges = BTreeMap<String, BTreeSet<String>>;

#[derive(Clone)]
struct Graph {
    members: BTreeSet<String>,
    /// Edges of every kind, development ones too.
    named: Edges,
    /// Edges that end up in a program: normal and build.
    linked: Edges,
}

impl Graph {
    fn read() -> Self {
        let here = std::env::var("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
        let metadata = MetadataCommand::new().current_dir(here).exec().expect("cargo metadata");
        let name = |id| metadata[id].name.to_string();
        let mut graph = Self {
            members: metadata.workspace_members.iter().map(name).collect(),
            named: BTreeMap::new(),
            linked: BTreeMap::new(),
        };
        for node in &metadata.resolve.as_ref().expect("a resolved graph").nodes {
            let named = graph.named.entry(name(&node.id)).or_default();
            let linked = graph.linked.entry(name(&node.id)).or_default();
            for dependency in &node.deps {
                named.insert(name(&dependency.pkg));
                if dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
                {
                    linked.insert(name(&dependency.pkg));
                }
            }
        }
        graph
    }

    fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        for name in [CREDENTIALS, INPUT_AND_OUTPUT, CORES].iter().flat_map(|list| words(list)) {
            if !self.linked.contains_key(name) {
                found.push(format!("{name} is named by a rule and is not in the graph"));
            }
        }
        let rows = || ARROWS.trim().lines().filter_map(|row| row.split_once(':'));
        let placed = rows().map(|(krate, _)| krate.to_owned()).collect();
        let misplaced = self.members.symmetric_difference(&placed);
        found.extend(misplaced.map(|krate| format!("{krate} has no place, or is gone")));
        for (krate, arrows) in rows() {
            for named in self.named.get(krate).into_iter().flatten() {
                if self.members.contains(named) && !words(arrows).any(|arrow| arrow == named) {
                    found.push(format!("{krate} names {named}"));
                }
            }
            if words(DEVELOPMENT).any(|name| name == krate) {
                continue;
            }
            found.extend(self.reached(&self.named, krate, DEVELOPMENT));
            if !["authority-broker", "authority-core"].contains(&krate) {
                // The signer of a catalog links the library of catalogs, and no credential.
                let signs = krate == "companion-catalog";
                let credentials = self.reached(&self.named, krate, CREDENTIALS).into_iter();
                found.extend(credentials.filter(|it| !signs || !it.ends_with(" tough")));
            }
            if !["authority-broker", "authority-api", "companionctl"].contains(&krate) {
                found.extend(self.reached(&self.named, krate, "authority-api"));
            }
            if words(CORES).any(|core| core == krate) {
                found.extend(self.reached(&self.linked, krate, INPUT_AND_OUTPUT));
            }
        }
        found
    }

    /// Which of `forbidden` a crate reaches: its own edges as in `first`, from there the linked.
    fn reached(&self, first: &Edges, krate: &str, forbidden: &str) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<_> = first.get(krate).into_iter().flatten().collect();
        while let Some(next) = open.pop() {
            if seen.insert(next.as_str()) {
                open.extend(self.linked.get(next).into_iter().flatten());
            }
        }
        let hit = words(forbidden).filter(|name| seen.contains(name));
        hit.map(|name| format!("{krate} reaches {name}")).collect()
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split_whitespace()
}
