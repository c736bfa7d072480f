//! A model file that its signer should not have signed: rightly verified, and made to hurt whoever
//! parses it. The real runtime meets it behind its walls, and the companion goes on.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use devstack::assets::Assets;
use devstack::catalog::{Artifact, ArtifactKind};
use devstack::companion::{Companion, CompanionOptions};
use devstack::session_bus::SessionBus;
use devstack::stack::{Stack, StackOptions};
use devstack::{MODEL_ID, RUNTIME_ID};

/// Of a GGUF file: where its version, the number of its tensors and of its metadata begin, each
/// little-endian; then the first key, its length before it.
const VERSION_AT: usize = 4;
const TENSORS_AT: usize = 8;
const METADATA_AT: usize = 16;
const FIRST_KEY_AT: usize = 24;

/// What is done to the bytes of a good model.
type Poison = fn(&mut Vec<u8>);
const POISONS: [(&str, Poison); 7] = [
    ("no-model-at-all", |bytes| *bytes = b"#!/bin/sh\nexit 0\n".to_vec()),
    ("version-from-nowhere", |bytes| bytes[VERSION_AT..][..4].fill(0xff)),
    ("endless-tensors", |bytes| bytes[TENSORS_AT..][..8].copy_from_slice(&u64::MAX.to_le_bytes())),
    ("endless-metadata", |bytes| {
        bytes[METADATA_AT..][..8].copy_from_slice(&(1_u64 << 40).to_le_bytes())
    }),
    ("endless-key", |bytes| {
        bytes[FIRST_KEY_AT..][..8].copy_from_slice(&(1_u64 << 62).to_le_bytes())
    }),
    ("cut-in-its-metadata", |bytes| bytes.truncate(4096)),
    ("cut-in-its-tensors", |bytes| bytes.truncate(bytes.len() / 2)),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_model_starts_nothing_and_a_good_one_starts_after_it() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("poi").tempdir()?;
    let sub = |name: &str| {
        let path = dir.path().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path).map(|()| path)
    };
    let assets = Assets::find()?;
    let mut options = StackOptions::new(&sub("stack")?).set("runtime", "threads", 1);
    options.more = poisoned(&assets.model, &sub("poisoned")?)?;
    options.llama_server = Some(assets.llama_server);
    options.model = Some(assets.model);
    let stack = Stack::start(options).await?;
    let bus = SessionBus::start(&sub("bus")?).await?;
    let companion_options = CompanionOptions {
        dbus_address: Some(bus.address().to_owned()),
        dir: Some(sub("c")?),
        ..CompanionOptions::default()
    };
    let companion = Companion::up(&stack, companion_options).await?;
    companion.sign_in().await?.success()?;
    for id in [RUNTIME_ID, MODEL_ID] {
        companion.ctl_events(&["pull", id]).await?.success()?;
    }
    let before = companion.status().await?["pids"].clone();
    for (id, _) in POISONS {
        companion.ctl_events(&["pull", id]).await?.success()?;
        let started = companion.ctl_events(&["start", id]).await?;
        let reason = started.failure().with_context(|| format!("{id} started: {started:?}"))?;
        assert!(["spawn_failed", "health_failed"].contains(&reason), "{id}: {reason}");
        let status = companion.status().await?;
        assert_eq!(status["lifecycle"], "stopped", "{id}");
        assert_eq!(status["pids"], before, "{id}: a process was replaced, or a runtime is left");
    }
    companion.ctl_events(&["start", MODEL_ID]).await?.success()?;
    assert_eq!(companion.status().await?["available"], true);
    Ok(())
}

fn poisoned(good: &Path, dir: &Path) -> Result<Vec<Artifact>> {
    let good = fs::read(good)?;
    let artifact = |(id, poison): &(&str, Poison)| {
        let mut bytes = good.clone();
        poison(&mut bytes);
        let file: PathBuf = dir.join(id);
        fs::write(&file, bytes)?;
        Ok(Artifact {
            id: (*id).to_owned(),
            file,
            target: (*id).to_owned(),
            urls: Vec::new(),
            license: "Apache-2.0".to_owned(),
            kind: ArtifactKind::Model {
                context_length: 8192,
                architecture: "llama".to_owned(),
                quantization: "Q4_1".to_owned(),
            },
        })
    };
    POISONS.iter().map(artifact).collect()
}
